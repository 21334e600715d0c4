"""LivePortrait's motion extractor: canonical key points, head pose and expression of a face in one pass.

Guo et al., "LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control", 2024, section 3.1; the
backbone is the tiny one of Woo et al., "ConvNeXt V2", CVPR 2023.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.keypoints.headpose import degrees_from_bins
from thg_zoo.motion import Parameters

NUM_KP = 21

_WIDTHS = (96, 192, 384, 768)
_DEPTHS = (3, 3, 9, 3)
_EPSILON = 1e-6
_BINS = 66
# The lower edge of the first bin; face-vid2vid counts from its own, -99.
_LOWEST_ANGLE = -97.5


class MotionExtractor(nn.Module):
    """Pictures `[B, 3, H, W]` in 0..1, H and W multiples of 32 (trained at 256), to motion parameters.

    kp `[B, 21, 3]`: canonical key points; exp `[B, 21, 3]`: expression; pitch, yaw, roll `[B]`: degrees; scale
    `[B, 1]`; t `[B, 3]`: translation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.detector = _ConvNextV2()

    def forward(self, pictures: Tensor) -> Parameters:
        heads = self.detector(pictures)
        angles = {name: degrees_from_bins(heads[name], _LOWEST_ANGLE) for name in ("pitch", "yaw", "roll")}
        points = {name: heads[name].view(-1, NUM_KP, 3) for name in ("kp", "exp")}
        return {**points, **angles, "scale": heads["scale"], "t": heads["t"]}


class _ConvNextV2(nn.Module):
    """The backbone and its linear heads; angles as `[B, 66]` bins, key points and expression as `[B, 63]`."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, _WIDTHS[0], 4, 4), _ChannelNorm(_WIDTHS[0]))
        halve = [nn.Sequential(_ChannelNorm(a), nn.Conv2d(a, b, 2, 2)) for a, b in itertools.pairwise(_WIDTHS)]
        self.downsample_layers = nn.ModuleList([stem, *halve])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(depth))) for width, depth in zip(_WIDTHS, _DEPTHS, strict=True)
        )
        self.norm = nn.LayerNorm(_WIDTHS[-1], eps=_EPSILON)
        heads = {"kp": 3 * NUM_KP, "scale": 1, "pitch": _BINS, "yaw": _BINS, "roll": _BINS, "t": 3, "exp": 3 * NUM_KP}
        self.heads = tuple(heads)
        for name, width in heads.items():
            self.add_module(f"fc_{name}", nn.Linear(_WIDTHS[-1], width))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        # Every other operation wants the channels innermost.
        x = x.contiguous(memory_format=torch.channels_last)
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
        pooled = self.norm(x.mean((2, 3)))
        return {name: self.get_submodule(f"fc_{name}")(pooled) for name in self.heads}


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of `[B, C, H, W]` at every position."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """Depthwise 7x7, norm, four times wider, GELU, response norm, back, plus the input: `[B, C, H, W]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = _ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        residual = self.pwconv2(self.grn(F.gelu(self.pwconv1(residual))))
        return x + residual.permute(0, 3, 1, 2)


class _ResponseNorm(nn.Module):
    """Global response normalisation of `[B, H, W, C]`: channels compete by their norm over the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        response = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = response / (response.mean(-1, keepdim=True) + _EPSILON)
        # gamma (x share) + beta + x, with one pass over the map.
        return torch.addcmul(self.beta, x, self.gamma * share + 1)
