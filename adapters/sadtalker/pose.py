"""PoseVAE: how the head moves, from sound, a style and chance (SadTalker, section 3.3), and the smoothing after it.

A pose is six numbers: three angles and a translation of the 3-D face model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thg_zoo.nn.speech_encoder import EMBEDDING, speech_encoder

POSE = 6
STYLES = 46
LATENT = 64
SEGMENT = 32
_WIDTHS = (32, 64, 128, 256)
# Segments decoded at once: their number must not depend on what a person chooses as batch size.
_SEGMENTS_AT_ONCE = 64
_SMOOTHED = 13


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3; a stride applies to time alone."""
    return nn.Conv2d(in_channels, out_channels, 3, (stride, 1), padding=1)


class _ResidualConv(nn.Module):
    """Pre-activation residual block: `[B, in, T, 6]` to `[B, out, T / stride, 6]`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            _conv(in_channels, out_channels, stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            _conv(out_channels, out_channels),
        )
        self.conv_skip = nn.Sequential(_conv(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv_block(x)
        shortcut: Tensor = self.conv_skip(x)
        return residual + shortcut


def _doubled(channels: int) -> nn.Module:
    """Twice as many steps of time."""
    return nn.Sequential(OrderedDict(upsample=nn.ConvTranspose2d(channels, channels, (2, 1), (2, 1))))


class _ResUnet(nn.Module):
    """U-Net over time, of residual blocks: `[B, 1, 32, 6]` to the same shape, in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.input_layer = nn.Sequential(_conv(1, a), nn.BatchNorm2d(a), nn.ReLU(), _conv(a, a))
        self.input_skip = nn.Sequential(_conv(1, a))
        self.residual_conv_1 = _ResidualConv(a, b, 2)
        self.residual_conv_2 = _ResidualConv(b, c, 2)
        self.bridge = _ResidualConv(c, d, 2)
        self.upsample_1, self.up_residual_conv1 = _doubled(d), _ResidualConv(d + c, c, 1)
        self.upsample_2, self.up_residual_conv2 = _doubled(c), _ResidualConv(c + b, b, 1)
        self.upsample_3, self.up_residual_conv3 = _doubled(b), _ResidualConv(b + a, a, 1)
        self.output_layer = nn.Sequential(nn.Conv2d(a, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        first = self.input_layer(x) + self.input_skip(x)
        second = self.residual_conv_1(first)
        third = self.residual_conv_2(second)
        x = self.bridge(third)
        x = self.up_residual_conv1(torch.cat((self.upsample_1(x), third), dim=1))
        x = self.up_residual_conv2(torch.cat((self.upsample_2(x), second), dim=1))
        x = self.up_residual_conv3(torch.cat((self.upsample_3(x), first), dim=1))
        out: Tensor = self.output_layer(x)
        return out


class PoseDecoder(nn.Module):
    """Movement of one segment of 32 frames, relative to a reference pose."""

    def __init__(self) -> None:
        super().__init__()
        hidden, steps = 128, SEGMENT * POSE
        self.classbias = nn.Parameter(torch.empty(STYLES, LATENT))
        self.linear_audio = nn.Linear(EMBEDDING, POSE)
        self.MLP = nn.Sequential(
            OrderedDict(
                L0=nn.Linear(POSE + LATENT + steps, hidden), A0=nn.ReLU(), L1=nn.Linear(hidden, steps), S=nn.Sigmoid()
            )
        )
        self.resunet = _ResUnet()
        self.pose_linear = nn.Linear(POSE, POSE)

    def forward(self, heard: Tensor, reference: Tensor, latent: Tensor, style: int) -> Tensor:
        """heard `[B, 32, 6]` (`linear_audio` of the sound), reference `[B, 6]`, latent `[B, 64]` to `[B, 32, 6]`."""
        code = torch.cat((reference, latent + self.classbias[style], heard.flatten(1)), dim=1)
        drawn = self.resunet(self.MLP(code).view(-1, 1, SEGMENT, POSE))
        motion: Tensor = self.pose_linear(drawn.squeeze(1))
        return motion


class _AudioEncoder(nn.Module):
    """`[B, 1, 80, 16]` to `[B, 512]`, under the name that it has in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = speech_encoder()

    def forward(self, mel: Tensor) -> Tensor:
        embedding: Tensor = self.audio_encoder(mel).flatten(1)
        return embedding


class PoseVae(nn.Module):
    """What inference uses of the published network, which holds the halves for training too."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = _AudioEncoder()
        self.netG = nn.ModuleDict({"decoder": PoseDecoder()})

    @property
    def decoder(self) -> PoseDecoder:
        """The half that makes motion."""
        decoder = self.netG["decoder"]
        assert isinstance(decoder, PoseDecoder)
        return decoder

    def listen(self, mel: Tensor) -> Tensor:
        """All that the decoder takes of the sound, frame by frame: `[B, 1, 80, 16]` to `[B, 6]`."""
        heard: Tensor = self.decoder.linear_audio(self.audio_encoder(mel))
        return heard

    def motion(self, heard: Tensor, reference: Tensor, latents: Tensor, style: int) -> Tensor:
        """Movement of T frames, relative to the reference pose: heard `[T, 6]`, reference `[1, 6]` to `[T, 6]`.

        The first frame rests; the others are made in segments, latents `[segment_count(T), 64]` one for each. As
        published, the last segment hears the last 32 frames, if fewer are left over, and only its end is used;
        segments know nothing of each other.
        """
        first, heard = heard[:1], heard[1:]
        still = torch.zeros_like(first)
        if not len(heard):
            return still
        whole, rest = divmod(len(heard), SEGMENT)
        segments = heard[: whole * SEGMENT].view(whole, SEGMENT, POSE)
        if rest:
            last = heard[-SEGMENT:]
            last = torch.cat((last[:1].expand(SEGMENT - len(last), -1), last))
            segments = torch.cat((segments, last.unsqueeze(0)))
        made = torch.cat(list(self._decoded(segments, reference, latents, style)))
        return torch.cat((still, made[:whole].flatten(0, 1), made[whole:].flatten(0, 1)[SEGMENT - rest :]))

    def _decoded(self, segments: Tensor, reference: Tensor, latents: Tensor, style: int) -> Iterator[Tensor]:
        for start in range(0, len(segments), _SEGMENTS_AT_ONCE):
            rows = slice(start, start + _SEGMENTS_AT_ONCE)
            heard, latent = segments[rows], latents[rows]
            yield self.decoder(heard, reference.expand(len(heard), -1), latent, style)


def segment_count(n_frames: int) -> int:
    """How many segments, and so how many latents, the motion of so many frames has."""
    return -(-(n_frames - 1) // SEGMENT)


def draw_latents(n_frames: int, seed: int) -> Tensor:
    """The chance in the movement of so many frames, `[segments, 64]`: the same on every device."""
    return torch.randn(segment_count(n_frames), LATENT, generator=torch.Generator().manual_seed(seed))


def smooth_poses(poses: NDArray[np.float32]) -> NDArray[np.float32]:
    """Poses `[T, 6]` after a Savitzky-Golay filter over 13 frames, as published; fewer frames, a shorter filter.

    Of one or two frames, with which the published program fails, nothing can be smoothed.
    """
    from scipy.signal import savgol_filter

    window = _SMOOTHED if len(poses) >= _SMOOTHED else (len(poses) - 1) // 2 * 2 + 1
    if window < 3:
        return poses
    return np.asarray(savgol_filter(poses, window, 2, axis=0), dtype=np.float32)
