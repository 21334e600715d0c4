"""DaGAN's face depth network, of the Monodepth2 design (Godard et al., ICCV 2019).

Parts of its two files: `encoder` is `DepthEncoder`, `decoder` is `DepthDecoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.resnet import ResNet

_MEAN, _STD = 0.45, 0.225
_WIDTHS = (16, 32, 64, 128, 256)
_DISPARITIES = 4


class DepthEncoder(nn.Module):
    """Pictures `[B, 3, H, W]` in 0..1 to five features at 1/2, 1/4, ... 1/32; H and W are multiples of 32.

    The published file holds an unused classifier beside the layers.
    """

    def __init__(self, layers: Literal[18, 50] = 18) -> None:
        super().__init__()
        self.encoder = ResNet(layers, classes=1000)

    @property
    def widths(self) -> list[int]:
        """Channels of the five features."""
        return self.encoder.widths

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.encoder.features((image - _MEAN) / _STD)


class _Conv3x3(nn.Module):
    """Convolution with the border mirrored."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect"))
        return out


class _ConvBlock(nn.Module):
    """Mirrored convolution and ELU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _Conv3x3(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x), inplace=True)


class DepthDecoder(nn.Module):
    """Five features to the disparity `[B, 1, H, W]` in 0..1 (larger is nearer).

    The layers lie in one list: two blocks per level from the deepest on, then a head per disparity. Only the head at
    full size is used for animation.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        below = widths[-1]
        for level in reversed(range(len(_WIDTHS))):
            width = _WIDTHS[level]
            skip = widths[level - 1] if level else 0
            blocks += [_ConvBlock(below, width), _ConvBlock(width + skip, width)]
            below = width
        self.decoder = nn.ModuleList(blocks + [_Conv3x3(_WIDTHS[i], 1) for i in range(_DISPARITIES)])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.disparity(self.levels(features)[0], 0)

    def levels(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Decoded maps by level: `[B, 16, H, W]`, `[B, 32, H/2, W/2]`, ..."""
        x = features[-1]
        levels: list[Tensor] = []
        for level in reversed(range(len(_WIDTHS))):
            first = 2 * (len(_WIDTHS) - 1 - level)
            x = F.interpolate(self.decoder[first](x), scale_factor=2.0, mode="nearest")
            if level:
                x = torch.cat([x, features[level - 1]], dim=1)
            x = self.decoder[first + 1](x)
            levels.insert(0, x)
        return levels

    def disparity(self, decoded: Tensor, level: int) -> Tensor:
        """The disparity at one level, `[B, 1, H / 2^level, W / 2^level]`."""
        return torch.sigmoid(self.decoder[2 * len(_WIDTHS) + level](decoded))
