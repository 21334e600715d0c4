"""Band-limited downsampling: a Gaussian, then every n-th sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AntiAliasDownsample(nn.Module):
    """`[B, C, H, W]` to `[B, C, ceil(H/factor), ceil(W/factor)]`.

    The Gaussian has sigma (factor - 1) / 2, a support of 2 round(4 sigma) + 1, and sees zeros outside the picture;
    samples are taken from the first on. Published files carry the kernel as `weight`, a constant; a factor of 1
    has none. Source: the first-order-motion reference implementation.
    """

    weight: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        sigma = (factor - 1) / 2
        self.radius = round(4 * sigma)
        offsets = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        line = torch.exp(-(offsets**2) / (2 * sigma**2))
        kernel = torch.outer(line, line)
        kernel = (kernel / kernel.sum()).float()
        self.register_buffer("weight", kernel.expand(channels, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=self.factor, padding=self.radius, groups=len(self.weight))
