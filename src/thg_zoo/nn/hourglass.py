"""The U-shaped hourglass of the first-order-motion family: five levels down, five up, skips concatenated."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.blocks import DownBlock, Scaling, UpBlock
from thg_zoo.nn.convolution import BATCH_NORM, CONVOLUTION, Dims

LEVELS = 5
_WIDEST = 1024


class Encoder(nn.Module):
    """Halves height and width once per level. Returns all levels, the input itself first."""

    def __init__(self, in_channels: int, base: int, *, dims: Dims, scaling: Scaling) -> None:
        super().__init__()
        widths = [in_channels, *_widths(base)[1:]]
        self.down_blocks = nn.ModuleList(
            DownBlock(a, b, dims=dims, scaling=scaling) for a, b in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """Doubles height and width once per level; after each, the encoder's level is concatenated behind.

    smooth: ends with one more convolution, norm and ReLU on the concatenated map (face-vid2vid).
    """

    def __init__(self, in_channels: int, base: int, *, dims: Dims, scaling: Scaling, smooth: bool) -> None:
        super().__init__()
        widths = _widths(base)
        self.up_blocks = nn.ModuleList(
            UpBlock(widths[i + 1] * (1 if i == LEVELS - 1 else 2), widths[i], dims=dims, scaling=scaling)
            for i in reversed(range(LEVELS))
        )
        self.out_channels = base + in_channels
        self.smooth = smooth
        self.folds = (("conv", "norm"),) if smooth else ()
        self.winograd = ("conv",) if smooth else ()
        if smooth:
            self.conv = CONVOLUTION[dims](self.out_channels, self.out_channels, 3, padding=1)
            self.norm = BATCH_NORM[dims](self.out_channels)

    def forward(self, levels: list[Tensor]) -> Tensor:
        x = levels[-1]
        for block, skip in zip(self.up_blocks, reversed(levels[:-1]), strict=True):
            x = torch.cat([block(x), skip], dim=1)
        return F.relu(self.norm(self.conv(x)), inplace=True) if self.smooth else x


class Hourglass(nn.Module):
    """`[B, in, (D,) H, W]` to `[B, base + in, (D,) H, W]`; H and W are multiples of 32.

    Widths double from `base` up to 1024 at most.
    """

    def __init__(
        self, in_channels: int, base: int, *, dims: Dims = 2, scaling: Scaling = "pooled", smooth: bool = False
    ) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, base, dims=dims, scaling=scaling)
        self.decoder = Decoder(in_channels, base, dims=dims, scaling=scaling, smooth=smooth)
        self.out_channels = self.decoder.out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


def _widths(base: int) -> list[int]:
    return [min(_WIDEST, base * 2**level) for level in range(LEVELS + 1)]
