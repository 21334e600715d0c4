"""Residual networks (He et al., CVPR 2016) with the parameter names that published checkpoints use.

The stride of a bottleneck lies in its 3x3 convolution ("v1.5").
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions: `[B, in, H, W]` to `[B, width, H/stride, W/stride]`."""

    folds: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"))
    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.bn1(self.conv1(x)), inplace=True)
        residual = self.bn2(self.conv2(residual))
        return F.relu(residual + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions: `[B, in, H, W]` to `[B, 4 width, H/stride, W/stride]`."""

    folds: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.bn1(self.conv1(x)), inplace=True)
        residual = F.relu(self.bn2(self.conv2(residual)), inplace=True)
        residual = self.bn3(self.conv3(residual))
        return F.relu(residual + (x if self.downsample is None else self.downsample(x)), inplace=True)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """ResNet of 18, 34 or 50 layers. classes: width of the classifier `fc` that a file holds, 0 for none; channels: of
    the pictures.
    """

    folds: ClassVar = (("conv1", "bn1"),)

    def __init__(self, layers: Literal[18, 34, 50], *, classes: int = 0, channels: int = 3) -> None:
        super().__init__()
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck if layers == 50 else BasicBlock
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.widths = [64, *(64 * 2**i * block.expansion for i in range(4))]
        for i, count in enumerate(_BLOCKS[layers]):
            first = block(self.widths[i], 64 * 2**i, 1 if i == 0 else 2)
            rest = (block(self.widths[i + 1], 64 * 2**i, 1) for _ in range(count - 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *rest))
        if classes:
            self.fc = nn.Linear(self.widths[-1], classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """The stem and the four stages of `[B, channels, H, W]`, at 1/2, 1/4, ... 1/32, `widths` channels each."""
        stem = F.relu(self.bn1(self.conv1(x)), inplace=True)
        levels = [stem]
        x = F.max_pool2d(stem, 3, 2, padding=1)
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            levels.append(x)
        return levels
