"""The warping network of PIRenderer: a flow that brings the portrait near to the wanted expression and pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.adain import AdaIn
from thg_zoo.nn.convolution import NarrowConv2d
from thg_zoo.nn.layer_norm import LayerNorm2d
from thg_zoo.nn.warp import warp

DESCRIPTOR = 256
SLOPE = 0.1
_BASE, _WIDEST, _LEVELS, _DECODED = 32, 256, 5, 3


@dataclass(frozen=True)
class Warped:
    """flow `[B, 2, H/4, W/4]`, x and y in its own pixels; picture `[B, 3, H, W]`, the portrait moved by it."""

    flow: Tensor
    picture: Tensor


class WarpingNet(nn.Module):
    """A portrait and descriptors of B frames to a flow and the portrait so moved.

    The published file calls the part `warpping_net`. It has no fast form: a flow that is off by 1e-5 of a pixel shows
    in a warped picture of noise, and the whole network takes a fifth of a frame's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hourglass = Hourglass()
        to_flow = NarrowConv2d(self.hourglass.channels, 2, 7)
        self.flow_out = nn.Sequential(LayerNorm2d(self.hourglass.channels), nn.LeakyReLU(SLOPE), to_flow)

    def encode(self, image: Tensor) -> Tensor:
        """What depends on the portrait `[1 or B, 3, H, W]` in -1..1 alone; H and W are multiples of 32."""
        features: Tensor = self.hourglass.encoder.input_layer(image)
        return features

    def forward(self, image: Tensor, features: Tensor, z: Tensor) -> Warped:
        """image as given to `encode`, features as it returned them, z `[B, 256]`."""
        flow: Tensor = self.flow_out(self.hourglass(features, z))
        return Warped(flow, warp(image, deformation(flow)))


def deformation(flow: Tensor) -> Tensor:
    """Pixels `[B, 2, h, w]` (x, y) to absolute points `[B, h, w, 2]` between -1 and 1.

    The grid's ends are the centres of the border samples, as published; the sampler's are their edges.
    """
    height, width = flow.shape[2:]
    extent = flow.new_tensor((width - 1, height - 1))
    down, across = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (height, width))
    pixels = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    # In this order, as published: `linspace` rounds otherwise, by more than the whole network.
    return 2 * (pixels / extent) - 1 + 2 * flow.permute(0, 2, 3, 1) / extent


class Hourglass(nn.Module):
    """Features `[1 or B, 32, H, W]` and z `[B, 256]` to `[B, 256, H/4, W/4]`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.channels = self.decoder.channels

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        maps: Tensor = self.decoder(self.encoder(features, z), z)
        return maps


class Encoder(nn.Module):
    """Maps at 1/2, 1/4, ... 1/32 of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Conv2d(3, _BASE, 7, padding=3)
        for i in range(_LEVELS):
            self.add_module(f"encoder{i}", EncoderBlock(_width(i), _width(i + 1)))

    def forward(self, features: Tensor, z: Tensor) -> list[Tensor]:
        levels = [features]
        for i in range(_LEVELS):
            levels.append(self.get_submodule(f"encoder{i}")(levels[-1], z))
        return levels[1:]


class Decoder(nn.Module):
    """From the smallest map up to a quarter of the picture, where the encoder's is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = _width(_LEVELS)
        for i in reversed(range(_LEVELS - _DECODED, _LEVELS)):
            self.add_module(f"decoder{i}", DecoderBlock(self.channels, _width(i)))
            self.channels = 2 * _width(i)

    def forward(self, levels: list[Tensor], z: Tensor) -> Tensor:
        x = levels[-1]
        for i in reversed(range(_LEVELS - _DECODED, _LEVELS)):
            x = torch.cat([self.get_submodule(f"decoder{i}")(x, z), levels[i - 1]], dim=1)
        return x


def _width(level: int) -> int:
    return min(_BASE << level, _WIDEST)


class EncoderBlock(nn.Module):
    """`[1 or B, in, H, W]` to `[B, out, H/2, W/2]`: norm, activation, convolution, twice; the first has stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(in_channels, out_channels, 4, 2, padding=1)
        self.norm_0 = AdaIn(in_channels, DESCRIPTOR)
        self.conv_1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm_1 = AdaIn(out_channels, DESCRIPTOR)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        x = self.conv_0(_act(self.norm_0(x, z)))
        halved: Tensor = self.conv_1(_act(self.norm_1(x, z)))
        return halved


class DecoderBlock(nn.Module):
    """`[B, in, H, W]` to `[B, out, 2 H, 2 W]`, with a learned shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = min(in_channels, out_channels)
        self.conv_0 = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.norm_0 = AdaIn(in_channels, DESCRIPTOR)
        self.conv_1 = _doubling(hidden, out_channels)
        self.norm_1 = AdaIn(hidden, DESCRIPTOR)
        self.conv_s = _doubling(in_channels, out_channels)
        self.norm_s = AdaIn(in_channels, DESCRIPTOR)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        moved = self.conv_0(_act(self.norm_0(x, z)))
        moved = self.conv_1(_act(self.norm_1(moved, z)))
        shortcut: Tensor = self.conv_s(_act(self.norm_s(x, z)))
        return shortcut.add_(moved)


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 3, 2, padding=1, output_padding=1)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)
