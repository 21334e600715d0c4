"""Layers with an equalised learning rate, and the residual encoder blocks of StyleGAN2 that are made of them.

Weights are stored with unit variance and scaled at run time by 1 / sqrt(fan-in). Karras et al., "Progressive Growing
of GANs", ICLR 2018, and "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.fir import Blur

SLOPE = 0.2
GAIN = math.sqrt(2)


class EqualConv2d(nn.Module):
    """A convolution without bias; weight `[O, C, k, k]` times 1 / sqrt(C k k)."""

    def __init__(self, channels: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.empty(outputs, channels, kernel, kernel))

    def scaled(self) -> Tensor:
        """The weight as it acts."""
        return self.weight / math.sqrt(self.weight[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled(), stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """`[..., C]` to `[..., O]`; weight `[O, C]` times 1 / sqrt(C), bias as stored."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, channels))
        self.bias = nn.Parameter(torch.empty(outputs))

    def scaled(self) -> Tensor:
        """The weight as it acts."""
        return self.weight / math.sqrt(self.weight.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled(), self.bias)


class FusedLeakyReLU(nn.Module):
    """A bias `[1, C, 1, 1]`, a leaky ReLU, and a gain that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias, SLOPE) * GAIN


class ConvLayer(nn.Sequential):
    """[Blur,] convolution [, bias and activation], numbered in this order: `[B, C, H, W]` to `[B, O, H, W]` or half."""

    def __init__(self, channels: int, outputs: int, kernel: int, *, down: bool = False, activate: bool = True) -> None:
        conv = EqualConv2d(channels, outputs, kernel, stride=1 + down, padding=0 if down else kernel // 2)
        blur = [Blur((kernel + 1) // 2)] if down else []
        super().__init__(*blur, conv, *([FusedLeakyReLU(outputs)] if activate else []))

    def fold(self, gain: float = 1.0) -> None:
        """From now on `gain` times the same function, by a plain convolution with bias: gains pass a leaky ReLU."""
        i = next(i for i, layer in enumerate(self) if isinstance(layer, EqualConv2d))
        conv, last = cast("EqualConv2d", self[i]), self[-1]
        if isinstance(last, FusedLeakyReLU):
            self[-1] = nn.LeakyReLU(SLOPE, inplace=True)
            bias = last.bias.flatten() * (GAIN * gain)
            self[i] = plain_conv(conv.scaled() * (GAIN * gain), conv.stride, conv.padding, bias)
        else:
            self[i] = plain_conv(conv.scaled() * gain, conv.stride, conv.padding)


class ResBlock(nn.Module):
    """Two convolutions beside a plain one, halving: `[B, C, H, W]` to `[B, O, H/2, W/2]`.

    winograd: whether Winograd's algorithm pays for the first convolution, which is so for maps of middling size.
    """

    def __init__(self, channels: int, outputs: int, *, winograd: bool = False) -> None:
        super().__init__()
        self.winograd = ("conv1.0",) if winograd else ()
        self.conv1 = ConvLayer(channels, channels, 3)
        self.conv2 = ConvLayer(channels, outputs, 3, down=True)
        self.skip = ConvLayer(channels, outputs, 1, down=True, activate=False)
        self.gain = math.sqrt(0.5)

    def fold(self) -> None:
        """Scales, biases and gains within the convolutions: the same function."""
        self.conv1.fold()
        self.conv2.fold(self.gain)
        self.skip.fold(self.gain)
        self.gain = 1.0

    def forward(self, x: Tensor) -> Tensor:
        both: Tensor = self.conv2(self.conv1(x)).add_(self.skip(x))
        return both if self.gain == 1.0 else both * self.gain


def plain_conv(weight: Tensor, stride: int = 1, padding: int = 0, bias: Tensor | None = None) -> nn.Conv2d:
    """A convolution with these weights."""
    outputs, channels, side = weight.shape[:3]
    conv = nn.Conv2d(channels, outputs, side, stride, padding, bias=bias is not None, device="meta")
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return conv


def plain_linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer
