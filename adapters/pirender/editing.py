"""The editing network of PIRenderer: the frame, from the portrait and the portrait as it was warped."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.adapters.pirender.warping import DESCRIPTOR, SLOPE
from thg_zoo.nn.adain import AdaIn
from thg_zoo.nn.convolution import NarrowConv2d, conv_of_nearest
from thg_zoo.nn.layer_norm import LayerNorm2d
from thg_zoo.nn.nearest import NearestConv

_WIDTHS = (64, 128, 256, 256)
_LEVELS = len(_WIDTHS) - 1


class EditingNet(nn.Module):
    """The portrait's part, the warped portrait `[B, 3, H, W]` and z `[B, 256]` to frames `[B, 3, H, W]` in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def encode(self, image: Tensor) -> Tensor:
        """What depends on the portrait `[1 or B, 3, H, W]` in -1..1 alone; H and W are multiples of 8."""
        return self.encoder.first.of_image(_channels_last(image))

    def forward(self, features: Tensor, warped: Tensor, z: Tensor) -> Tensor:
        """features: of `encode`."""
        frames: Tensor = self.decoder(self.encoder(features, _channels_last(warped)), z)
        return frames


def _channels_last(x: Tensor) -> Tensor:
    """As wide maps are convolved and averaged fastest."""
    return x.contiguous(memory_format=torch.channels_last)


class ConvBlock(nn.Module):
    """Convolution, layer norm, activation: `[B, in, H, W]` to `[B, out, H, W]`."""

    winograd: ClassVar[tuple[str, ...]] = ("model.0",)

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.model = nn.Sequential(conv, LayerNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.model(x), SLOPE, inplace=True)


class FirstBlock(nn.Module):
    """The first block, which sees the portrait and the warped portrait beside each other."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        conv = nn.Conv2d(2 * 3, out_channels, 7, padding=3)
        self.model = nn.Sequential(conv, LayerNorm2d(out_channels))

    def of_image(self, image: Tensor) -> Tensor:
        """The portrait's part of the convolution, which is linear."""
        return self._convolved(image, slice(0, 3), self._conv.bias)

    def forward(self, x: Tensor, of_image: Tensor) -> Tensor:
        """x: the warped portrait."""
        together = self._convolved(x, slice(3, 6), None).add_(of_image)
        return F.leaky_relu(self.model[1](together), SLOPE, inplace=True)

    def _convolved(self, x: Tensor, channels: slice, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, self._conv.weight[:, channels], bias, padding=self._conv.padding)

    @property
    def _conv(self) -> nn.Conv2d:
        conv = self.model[0]
        assert isinstance(conv, nn.Conv2d)
        return conv


class DownBlock(ConvBlock):
    """`[B, in, H, W]` to `[B, out, H/2, W/2]`, averaged at the end."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(ConvBlock):
    """`[B, in, H, W]` to `[B, out, 2 H, 2 W]`, enlarged to the nearest at the beginning."""

    winograd: ClassVar[tuple[str, ...]] = ()

    def use_fast_form(self) -> None:
        """Products of differences, where they pay: with few outputs, sums cost more than the products saved."""
        conv = self.model[0]
        if isinstance(conv, nn.Conv2d) and conv.out_channels >= 128:
            self.model[0] = NearestConv(conv, 2)

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.model
        enlarged = conv(x) if isinstance(conv, NearestConv) else conv_of_nearest(x, conv, 2)
        return F.leaky_relu(norm(enlarged), SLOPE, inplace=True)


class ResidualBlock(nn.Module):
    """What the published block returns: a convolution and its norm, plus the input.

    The published block computes another branch before, from the same input, and drops it: the weights of that branch
    (conv1, norm1) are in the file and count for nothing. Nor is there an activation in what remains.
    """

    winograd: ClassVar = ("conv2",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = AdaIn(channels, DESCRIPTOR)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = AdaIn(channels, DESCRIPTOR)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        residual: Tensor = self.norm2(self.conv2(x), z)
        return residual.add_(x)


class ResidualBlocks(nn.Module):
    """Two in a row."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.res0 = ResidualBlock(channels)
        self.res1 = ResidualBlock(channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        twice: Tensor = self.res1(self.res0(x, z), z)
        return twice


class Encoder(nn.Module):
    """Maps of 64, 128, 256 and 256 channels, at the size of the picture, 1/2, 1/4, 1/8."""

    def __init__(self) -> None:
        super().__init__()
        self.first = FirstBlock(_WIDTHS[0])
        for i in range(_LEVELS):
            self.add_module(f"down{i}", DownBlock(_WIDTHS[i], _WIDTHS[i + 1]))

    def forward(self, features: Tensor, warped: Tensor) -> list[Tensor]:
        levels = [self.first(warped, features)]
        for i in range(_LEVELS):
            levels.append(self.get_submodule(f"down{i}")(levels[-1]))
        return levels


class Decoder(nn.Module):
    """From the smallest map to the picture; the encoder's maps are added on the way."""

    def __init__(self) -> None:
        super().__init__()
        for i in reversed(range(_LEVELS)):
            self.add_module(f"res{i}", ResidualBlocks(_WIDTHS[i + 1]))
            self.add_module(f"up{i}", UpBlock(_WIDTHS[i + 1], _WIDTHS[i]))
            self.add_module(f"jump{i}", ConvBlock(_WIDTHS[i], _WIDTHS[i]))
        self.final = nn.Sequential()
        self.final.add_module("model", nn.Sequential(NarrowConv2d(_WIDTHS[0], 3, 7)))

    def forward(self, levels: list[Tensor], z: Tensor) -> Tensor:
        x = levels[-1]
        for i in reversed(range(_LEVELS)):
            x = self.get_submodule(f"up{i}")(self.get_submodule(f"res{i}")(x, z))
            x = x.add_(self.get_submodule(f"jump{i}")(levels[i]))
        return torch.tanh(self.final(x))
