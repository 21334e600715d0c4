"""The picture encoder and the residual decoder that the first-order-motion generators share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thg_zoo.nn.blocks import DownBlock, SameBlock, UpBlock
from thg_zoo.nn.convolution import NarrowConv2d

BASE = 64


def feature_pyramid(image: Tensor, first: nn.Module, down_blocks: nn.ModuleList) -> list[Tensor]:
    """Features of a picture at full size, half, quarter, ...: `[B, 64, H, W]`, `[B, 128, H/2, W/2]`, ..."""
    levels = [first(image)]
    for block in down_blocks:
        levels.append(block(levels[-1]))
    return levels


def down_path(levels: int) -> nn.ModuleList:
    """Blocks from 64 channels to 64 * 2^levels."""
    return nn.ModuleList(DownBlock(BASE * 2**i, BASE * 2 ** (i + 1)) for i in range(levels))


class ImageEncoder(nn.Module):
    """Picture `[B, 3, H, W]` in 0..1 to features `[B, 64 * 2^levels, H / 2^levels, W / 2^levels]`."""

    def __init__(self, *, kernel: int = 7, levels: int = 2) -> None:
        super().__init__()
        self.first = SameBlock(3, BASE, kernel)
        self.down_blocks = down_path(levels)

    def pyramid(self, image: Tensor) -> list[Tensor]:
        return feature_pyramid(image, self.first, self.down_blocks)


def up_path() -> nn.ModuleList:
    """Blocks from 256 channels at quarter size to 64 at full size."""
    return nn.ModuleList(UpBlock(BASE * 2**i, BASE * 2 ** (i - 1)) for i in (2, 1))


def to_rgb() -> NarrowConv2d:
    """The last convolution of the residual decoder; a sigmoid follows."""
    return NarrowConv2d(BASE, 3, 7)


def decode(features: Tensor, bottleneck: nn.Module, up_blocks: nn.ModuleList, final: nn.Module) -> Tensor:
    """Features `[B, 256, H/4, W/4]` to a picture `[B, 3, H, W]` in 0..1."""
    x = bottleneck(features)
    for block in up_blocks:
        x = block(x)
    return torch.sigmoid(final(x))
