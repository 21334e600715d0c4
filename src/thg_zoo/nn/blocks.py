"""The convolution blocks of the first-order-motion family (Siarohin et al., "First Order Motion Model for
Image Animation", NeurIPS 2019), in two and three dimensions (Wang et al., face-vid2vid, CVPR 2021).

Maps are `[B, C, H, W]`, volumes `[B, C, D, H, W]`. `Scaling` names the two ways in which published networks
change the size: "pooled" averages 2x2 after the convolution and enlarges to the nearest before it;
"strided" convolves with stride 2 and enlarges linearly (the first, "beta", release of the face-vid2vid
reproduction, with the same parameter names).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.convolution import BATCH_NORM, CONVOLUTION, Dims, conv_of_nearest, plane_factor
from thg_zoo.nn.nearest import NearestConv

Scaling = Literal["pooled", "strided"]

# From so many outputs on `NearestConv` pays; by dimensions.
_LEAST_OUTPUTS = {2: 128, 3: 64}


class SameBlock(nn.Module):
    """Convolution, batch norm, (leaky) ReLU: `[B, in, H, W]` to `[B, out, H, W]`."""

    folds: ClassVar = (("conv", "norm"),)
    winograd: ClassVar = ("conv",)

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, negative_slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), self.negative_slope, inplace=True)


class DownBlock(nn.Module):
    """Convolution, batch norm, ReLU, half the height and width: `[B, in, ..., H, W]` to `[B, out, ..., H/2, W/2]`."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, in_channels: int, out_channels: int, *, dims: Dims = 2, scaling: Scaling = "pooled") -> None:
        super().__init__()
        self.factors = plane_factor(dims, 2)
        self.pooled = scaling == "pooled"
        stride = 1 if self.pooled else self.factors
        self.conv = CONVOLUTION[dims](in_channels, out_channels, 3, padding=1, stride=stride)  # type: ignore[arg-type]
        self.norm = BATCH_NORM[dims](out_channels)
        self.winograd = ("conv",) if dims == 3 else ()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        if not self.pooled:
            return x
        return F.avg_pool2d(x, 2) if len(self.factors) == 2 else F.avg_pool3d(x, self.factors)


class UpBlock(nn.Module):
    """Twice the height and width, convolution, batch norm, ReLU: `[B, in, ..., H, W]` to `[B, out, ..., 2H, 2W]`."""

    folds: ClassVar = (("conv", "norm"),)

    def __init__(self, in_channels: int, out_channels: int, *, dims: Dims = 2, scaling: Scaling = "pooled") -> None:
        super().__init__()
        self.scaling = scaling
        self.conv: nn.Module = CONVOLUTION[dims](in_channels, out_channels, 3, padding=1)
        self.norm = BATCH_NORM[dims](out_channels)
        self.winograd = ("conv",) if scaling == "strided" else ()

    def use_fast_form(self) -> None:
        """Products of differences, where they pay: with few outputs, sums cost more than the products saved."""
        conv = self.conv
        if self.scaling != "pooled" or not isinstance(conv, nn.Conv2d | nn.Conv3d):
            return
        if conv.out_channels >= _LEAST_OUTPUTS[len(conv.kernel_size)]:
            self.conv = NearestConv(conv, 2)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.conv, NearestConv):
            x = self.conv(x)
        elif self.scaling == "pooled":
            x = conv_of_nearest(x, self.conv, 2)
        else:
            x = self.conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="trilinear"))
        return F.relu(self.norm(x), inplace=True)


class ResBlock(nn.Module):
    """Pre-activation residual block of constant width: norm, ReLU, convolution, twice, plus the input.

    large_maps: whether it sees maps on which minimal filtering pays for its kernels' memory.
    """

    folds: ClassVar = (("conv1", "norm2"),)

    def __init__(self, channels: int, *, dims: Dims = 2, large_maps: bool = True) -> None:
        super().__init__()
        self.winograd = ("conv1", "conv2") if large_maps else ()
        self.conv1 = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.conv2 = CONVOLUTION[dims](channels, channels, 3, padding=1)
        self.norm1 = BATCH_NORM[dims](channels)
        self.norm2 = BATCH_NORM[dims](channels)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.norm2(self.conv1(F.relu(self.norm1(x), inplace=True)))
        residual = self.conv2(F.relu(residual, inplace=True))
        # In this order the sum lies in memory as the convolution's result does, channels last in the fast form.
        return residual + x


def residual_blocks(channels: int, names: str, *, dims: Dims = 2, count: int = 6) -> nn.Sequential:
    """`count` residual blocks in a row, called `names` + index as in the published files."""
    return nn.Sequential(OrderedDict((f"{names}{i}", ResBlock(channels, dims=dims)) for i in range(count)))
