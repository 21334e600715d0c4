"""Lips and jaw from speech: IP_LAP's landmark generator, with the published names.

Zhong et al., "Identity-Preserving Talking Face Generation with Landmark and Appearance Priors", CVPR 2023
(github.com/Weizhi-Zhong/IP_LAP). A transformer over tokens of three kinds: reference landmarks, sounds and the poses of
consecutive frames. Lips are read from the tokens of the sounds, jaws from those of the poses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from thg_zoo.adapters.iplap.points import CONTENT, JAW, LIPS, POINTS
from thg_zoo.nn.speech_encoder import EMBEDDING, ConvBlock, speech_encoder

_LAYERS, _HEADS, _FEED_FORWARD = 4, 4, 1024
_POSITIONS = 512
# Rows of the table of kinds; the first is not used.
_POSE_KIND, _SOUND_KIND, _REFERENCE_KIND = 1, 2, 3


class Positions(nn.Module):
    """The constant table of sinusoids that tells frames apart: sines on even channels, cosines on odd ones."""

    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, EMBEDDING, 2) * (-math.log(10_000) / EMBEDDING))
        angles = torch.arange(_POSITIONS).unsqueeze(1) * rates
        table = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)
        self.register_buffer("pe", table.unsqueeze(0))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, T, 512]` with the positions 0 .. T - 1 added."""
        return tokens + self.pe[:, : tokens.shape[1]]


class Fusion(nn.Module):
    """8.4 M parameters: all tokens look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.position_v, self.position_a = Positions(), Positions()
        self.modality = nn.Embedding(4, EMBEDDING)
        layer = nn.TransformerEncoderLayer(EMBEDDING, _HEADS, _FEED_FORWARD, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)

    def forward(self, references: Tensor, sounds: Tensor, poses: Tensor) -> Tensor:
        """`[B, R, 512]`, `[B, T, 512]` and `[B, T, 512]` to `[B, R + 2 T, 512]`, in this order."""
        kinds = self.modality.weight
        tokens = (
            references + kinds[_REFERENCE_KIND],
            self.position_a(sounds) + kinds[_SOUND_KIND],
            self.position_v(poses) + kinds[_POSE_KIND],
        )
        fused: Tensor = self.transformer_encoder(torch.cat(tokens, dim=1))
        return fused


class LandmarkGenerator(nn.Module):
    """13.7 M parameters. Points are in parts of the face crop's width and height, see `points`.

    What a frame or a sound adds is encoded on its own, so that windows that overlap share it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mel_encoder = speech_encoder(torch.tanh)
        self.ref_encoder = _point_encoder(first_stride=2, wide=1, last_residual=False)
        self.pose_encoder = _point_encoder(first_stride=1, wide=2, last_residual=True)
        self.fusion_transformer = Fusion()
        self.mouse_keypoint_map = nn.Linear(EMBEDDING, 2 * LIPS)
        self.jaw_keypoint_map = nn.Linear(EMBEDDING, 2 * JAW)
        self.Norm = nn.LayerNorm(EMBEDDING)

    def encode_sounds(self, mel: Tensor) -> Tensor:
        """`[N, 1, 80, 16]` mel spectrograms in -4..4 to tokens `[N, 512]`."""
        return self._token(self.mel_encoder(mel))

    def encode_poses(self, pose: Tensor) -> Tensor:
        """`[N, 2, 74]` to tokens `[N, 512]`."""
        return self._token(self.pose_encoder(pose))

    def encode_references(self, landmarks: Tensor) -> Tensor:
        """All points of reference frames `[R, 2, 131]` to tokens `[R, 512]`."""
        assert landmarks.shape[1:] == (2, POINTS)
        return self._token(self.ref_encoder(landmarks))

    def predict(self, references: Tensor, sounds: Tensor, poses: Tensor) -> Tensor:
        """Tokens `[R, 512]` of one person's references, and `[B, T, 512]` each of B windows of T frames, to lips and
        jaw of every frame: `[B, T, 2, 57]`, the jaw first.
        """
        batch, frames = sounds.shape[:2]
        fused = self.fusion_transformer(references.expand(batch, -1, -1), sounds, poses)
        heard, seen = fused[:, -2 * frames :].chunk(2, dim=1)
        lips = self.mouse_keypoint_map(heard).unflatten(2, (LIPS, 2)).mT
        jaw = self.jaw_keypoint_map(seen).unflatten(2, (JAW, 2)).mT
        content = torch.cat((jaw, lips), dim=3)
        assert content.shape[3] == CONTENT
        return content

    def _token(self, embedding: Tensor) -> Tensor:
        token: Tensor = self.Norm(embedding.flatten(1))
        return token


def _point_encoder(*, first_stride: int, wide: int, last_residual: bool) -> nn.Sequential:
    """`[N, 2, points]` to `[N, 512, 1]` along the row of points.

    first_stride: of the first widening; wide: residual blocks at 256 channels. The two encoders of the published
    network differ in these, and in whether their last block is residual.
    """
    blocks = [_block(2, 4), _block(4, 8, first_stride), _residual(8), _residual(8)]
    for channels in (8, 16, 32, 64):
        blocks += [_block(channels, 2 * channels, 2), _residual(2 * channels), _residual(2 * channels)]
    blocks += [_block(128, 256, 2), *(_residual(256) for _ in range(wide)), _block(256, EMBEDDING, padding=0)]
    last = ConvBlock(nn.Conv1d(EMBEDDING, EMBEDDING, 1), residual=last_residual, activation=torch.tanh)
    return nn.Sequential(*blocks, last)


def _block(cin: int, cout: int, stride: int = 1, padding: int = 1) -> ConvBlock:
    return ConvBlock(nn.Conv1d(cin, cout, 3, stride, padding))


def _residual(channels: int) -> ConvBlock:
    return ConvBlock(nn.Conv1d(channels, channels, 3, padding=1), residual=True)
