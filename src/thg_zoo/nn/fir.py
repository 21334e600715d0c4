"""Filtered resampling as StyleGAN2 does it: short finite impulse responses on zero-padded maps.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; its CUDA extension `upfirdn2d` as
convolutions per channel, which processors do several times as fast on maps that lie channels last. There, merging a
blur and the convolution beside it into one kernel of 6 was measured to be slower, with Winograd's algorithm too.
Published files carry the kernel `[4, 4]` of every layer as `kernel`, a constant.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def binomial_kernel(gain: float = 1.0) -> Tensor:
    """`[4, 4]`: the outer product of (1, 3, 3, 1) with itself, with the sum `gain`."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(line, line)
    return kernel / kernel.sum() * gain


def fir(x: Tensor, kernel: Tensor, padding: int, *, stride: int = 1) -> Tensor:
    """`[B, C, H, W]` convolved (kernel `[k, k]` flipped), `padding` zeros on every side; every `stride`-th sample."""
    channels = x.shape[1]
    return F.conv2d(x, _by_channel(kernel.flip(0, 1), channels), stride=stride, padding=padding, groups=channels)


def fir_enlarge(x: Tensor, kernel: Tensor) -> Tensor:
    """`[B, C, H, W]` to `[B, C, 2 H, 2 W]`: a zero behind every sample, then a kernel `[4, 4]` with pads (2, 1)."""
    channels = x.shape[1]
    return F.conv_transpose2d(x, _by_channel(kernel, channels), stride=2, padding=1, groups=channels)


def _by_channel(kernel: Tensor, channels: int) -> Tensor:
    return kernel.expand(channels, 1, *kernel.shape)


class Blur(nn.Module):
    """`fir` with the binomial kernel."""

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("kernel", binomial_kernel(gain))

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        return fir(x, self.kernel, self.padding, stride=stride)


class Enlarge(nn.Module):
    """`fir_enlarge` with the binomial kernel: twice the height and width, smooth."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", binomial_kernel(4.0))

    def forward(self, x: Tensor) -> Tensor:
        return fir_enlarge(x, self.kernel)
