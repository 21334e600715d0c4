"""Convolutions in two and three dimensions, and two that are evaluated otherwise than they are written.

Three-dimensional maps are `[B, C, D, H, W]`; their depth is never pooled nor enlarged, as in face-vid2vid.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Dims = Literal[2, 3]

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

# Below this many input positions the time goes into reading the kernel, and the split kernel is the larger one.
_SPLIT_FROM = 1024


def plane_factor(dims: int, factor: int) -> tuple[int, ...]:
    """A factor for height and width that leaves the depth alone: (f, f) or (1, f, f)."""
    return (1,) * (dims - 2) + (factor, factor)


def conv_of_nearest(x: Tensor, conv: nn.Module, factor: int) -> Tensor:
    """`conv(nearest_enlarge(x))` without enlarging: x `[B, C, (D,) H, W]` to `[B, C', (D,) f*H, f*W]`.

    conv has a kernel of 3, stride 1 and zero padding 1. An enlarged map is constant in blocks of f, so the taps
    of the kernel that fall into one block can be summed first; what is left is a transposed convolution
    with stride f and a kernel of f + 2: 16 instead of 36 products per position for f = 2 and 36 instead of 144
    for f = 4. The same function up to rounding.
    """
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    assert set(conv.kernel_size) == {3}
    assert set(conv.stride) == {1}
    dims = x.dim() - 2
    factors = plane_factor(dims, factor)
    if x.shape[0] * x[0, 0].numel() < _SPLIT_FROM:
        enlarged = F.interpolate(x, scale_factor=tuple(map(float, factors)), mode="nearest")
        plain: Tensor = conv(enlarged)
        return plain
    kernel = kernel_of_nearest(conv.weight, factors)
    transposed = F.conv_transpose2d if dims == 2 else F.conv_transpose3d
    return transposed(x, kernel, conv.bias, stride=factors, padding=1)


def kernel_of_nearest(weight: Tensor, factors: tuple[int, ...]) -> Tensor:
    """A kernel `[O, C, (3,) 3, 3]` as that of the transposed convolution that meets a map before it is enlarged by
    `factors`: `[C, O, ...]` with taps of factor + 2 each.
    """
    for axis, factor in zip(range(-len(factors), 0), factors, strict=True):
        weight = _spread(weight, axis, factor)
    return weight.transpose(0, 1)


class NarrowConv2d(nn.Conv2d):
    """A convolution to one to four channels that keeps the size: x `[B, C, H, W]` to `[B, O, H, W]`.

    Processors convolve to 16 channels at a time, so that few channels waste most of the work. Here neighbouring
    outputs are channels too, of a convolution with a stride: the same function up to rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        self.block = 4 if out_channels == 1 else 2

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % self.block or x.shape[3] % self.block:
            return super().forward(x)
        end = self.block - 1
        shifts = [(j, end - j, i, end - i) for i in range(self.block) for j in range(self.block)]
        kernel = torch.stack([F.pad(self.weight, shift) for shift in shifts], dim=1).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat_interleave(len(shifts))
        return F.pixel_shuffle(F.conv2d(x, kernel, bias, stride=self.block, padding=self.padding), self.block)


def _spread(kernel: Tensor, axis: int, factor: int) -> Tensor:
    """The flipped kernel convolved with `factor` ones along one axis: the weight of a coarse sample by phase."""
    kernel = kernel.flip(axis).movedim(axis, -1)
    spread = torch.stack([F.pad(kernel, (j, factor - 1 - j)) for j in range(factor)]).sum(0)
    return spread.movedim(-1, axis)
