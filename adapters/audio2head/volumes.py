"""The hourglass over time: blocks for volumes `[B, C, T, H, W]` that halve and double time as well as the plane."""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.blocks import ResBlock
from thg_zoo.nn.convolution import kernel_of_nearest

LEVELS = 5
_BASE, _WIDEST = 32, 512
# Wider blocks see a few hundred positions: minimal filtering and split kernels would cost more memory than time.
_LARGE_MAPS = 128
# Frames that the last level sees beyond a frame: three convolutions.
_REACH = 3


class VolumeDown(nn.Module):
    """Residual block, convolution, half of everything: `[B, in, T, H, W]` to `[B, out, T/2, H/2, W/2]`."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.winograd = ("conv",) if in_channels <= _LARGE_MAPS else ()
        self.res = _residual(in_channels)
        self.norm_res = nn.BatchNorm3d(in_channels)
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm_res(self.res(x)), inplace=True)
        return F.avg_pool3d(F.relu(self.norm(self.conv(x)), inplace=True), 2)


class VolumeUp(nn.Module):
    """Twice of everything, convolution, residual block: `[B, in, T, H, W]` to `[B, out, 2 T, 2 H, 2 W]`."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv: nn.Conv3d | nn.ConvTranspose3d = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm3d(out_channels)
        self.res = _residual(out_channels)
        self.norm2 = nn.BatchNorm3d(out_channels)

    def use_fast_form(self) -> None:
        """A transposed convolution of the volume before it is enlarged: 64 instead of 216 products per position."""
        conv = self.conv
        if not isinstance(conv, nn.Conv3d) or conv.out_channels > _LARGE_MAPS:
            return
        self.conv = nn.ConvTranspose3d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
        self.conv.weight = nn.Parameter(kernel_of_nearest(conv.weight.detach(), (2, 2, 2)), requires_grad=False)
        self.conv.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.conv, nn.Conv3d):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        return F.relu(self.norm2(self.res(x)), inplace=True)


class VolumeEncoder(nn.Module):
    """All levels of a volume, itself first."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(VolumeDown(a, b) for a, b in itertools.pairwise(_widths(in_channels)))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class VolumeDecoder(nn.Module):
    """From the deepest level up; behind each result comes the encoder's level, passed through a residual block."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        skips = _widths(in_channels)[:-1]
        outs = [_BASE, *skips[1:]]
        ins = [*(out + skip for out, skip in zip(outs[1:], skips[1:], strict=True)), _WIDEST]
        self.up_blocks = nn.ModuleList(VolumeUp(a, b) for a, b in zip(ins[::-1], outs[::-1], strict=True))
        self.res_blocks = nn.ModuleList(
            nn.Sequential(_residual(width), nn.BatchNorm3d(width), nn.ReLU(inplace=True)) for width in reversed(skips)
        )
        self.out_channels = _BASE + in_channels

    def forward(self, levels: list[Tensor], frames: range) -> Tensor:
        x = levels[-1]
        *before, (last_up, last_res, whole) = zip(self.up_blocks, self.res_blocks, reversed(levels[:-1]), strict=True)
        for up, res, skip in before:
            x = torch.cat([up(x), res(skip)], dim=1)
        # What lies beyond the frames that are wanted, and what they see, is left out of the widest level.
        first, last = max(0, frames.start - _REACH) // 2, (frames.stop + _REACH + 1) // 2
        skip = last_res(whole)[:, :, 2 * first : 2 * last]
        x = torch.cat([last_up(x[:, :, first:last]), skip], dim=1)
        return x[:, :, frames.start - 2 * first : frames.stop - 2 * first]


class VolumeHourglass(nn.Module):
    """`[B, in, T, H, W]` to the frames `[B, 32 + in, k, H, W]` that are wanted; T, H and W are multiples of 32."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.encoder = VolumeEncoder(in_channels)
        self.decoder = VolumeDecoder(in_channels)
        self.out_channels = self.decoder.out_channels

    def forward(self, x: Tensor, frames: range) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x), frames)
        return out


def _residual(channels: int) -> ResBlock:
    return ResBlock(channels, dims=3, large_maps=channels <= _LARGE_MAPS)


def _widths(in_channels: int) -> list[int]:
    """Channels of all levels, the input first."""
    return [in_channels, *(min(_WIDEST, _BASE * 2 ** (level + 1)) for level in range(LEVELS))]
