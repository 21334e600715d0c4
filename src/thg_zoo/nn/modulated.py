"""Convolutions whose input channels are scaled by a style, per picture: StyleGAN2's modulation.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2.2. Published code scales
the weights of every picture and convolves in groups; scaling the maps before and after is the same function, with one
set of weights for a whole batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.equalised import GAIN, SLOPE, EqualLinear, FusedLeakyReLU, plain_conv
from thg_zoo.nn.fir import Blur

_EPSILON = 1e-8


class ModulatedConv2d(nn.Module):
    """`[B, C, H, W]` and scales `[B, C]` of its channels to `[B, O, H, W]`, or twice the size.

    modulation turns a latent vector into the scales. demodulate: every output channel is divided by the norm of its
    scaled kernel. Entry `weight` is `[1, O, C, k, k]`, times 1 / sqrt(C k k).
    """

    def __init__(
        self, channels: int, outputs: int, kernel: int, latent: int, *, up: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.weight = nn.Parameter(torch.empty(1, outputs, channels, kernel, kernel))
        self.blur = Blur(1, 4.0) if up else None
        self.modulation = EqualLinear(latent, channels)
        self.plain: nn.Module | None = None

    def fold(self) -> None:
        """Everything done that scales do not change; `plain` is the convolution of the scaled channels."""
        weight = self.scaled().detach()
        self.register_buffer("squares", _squares(weight))
        self.plain = (
            plain_conv(weight, padding=weight.shape[-1] // 2) if self.blur is None else _transposed_conv(weight)
        )
        del self.weight

    def scaled(self) -> Tensor:
        """The weight `[O, C, k, k]` as it acts on scaled channels."""
        return self.weight[0] / math.sqrt(self.weight[0, 0].numel())

    def forward(self, x: Tensor, scales: Tensor) -> Tensor:
        x = self.convolve(x, scales)
        return x * self.norms(scales)[:, :, None, None] if self.demodulate else x

    def convolve(self, x: Tensor, scales: Tensor) -> Tensor:
        """The outputs before they are demodulated."""
        x = x * scales[:, :, None, None]
        if self.plain is not None:
            x = self.plain(x)
        elif self.blur is None:
            x = F.conv2d(x, self.scaled(), padding=self.weight.shape[-1] // 2)
        else:
            x = F.conv_transpose2d(x, self.scaled().transpose(0, 1), stride=2)
        return x if self.blur is None else self.blur(x)

    def norms(self, scales: Tensor) -> Tensor:
        """1 / the norms of the kernels whose channels are scaled, `[B, O]`."""
        squares = _squares(self.scaled()) if self.plain is None else self.get_buffer("squares")
        return (scales.square() @ squares + _EPSILON).rsqrt()


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, bias and activation: `[B, C, H, W]` and scales `[B, C]` to `[B, O, H, W]` or twice
    the size. The published weight of the noise is kept and never used: inference feeds none.

    winograd: as `thg_zoo.nn.equalised.ResBlock`.
    """

    def __init__(self, channels: int, outputs: int, latent: int, *, up: bool = False, winograd: bool = False) -> None:
        super().__init__()
        self.winograd = ("conv.plain",) if winograd else ()
        self.conv = ModulatedConv2d(channels, outputs, 3, latent, up=up)
        self.noise = nn.ParameterDict({"weight": nn.Parameter(torch.empty(1))})
        self.activate = FusedLeakyReLU(outputs)

    def fold(self) -> None:
        """Weights scaled once."""
        self.conv.fold()

    def forward(self, x: Tensor, scales: Tensor) -> Tensor:
        # Norms, bias and the gain of the activation in one pass over the maps.
        gains = self.conv.norms(scales)[:, :, None, None] * GAIN
        x = torch.addcmul(self.activate.bias * GAIN, self.conv.convolve(x, scales), gains)
        return F.leaky_relu_(x, SLOPE)


def _squares(weight: Tensor) -> Tensor:
    """`[C, O]`: squared norms of the taps of a weight `[O, C, k, k]`."""
    return weight.square().sum((2, 3)).t().contiguous()


def _transposed_conv(weight: Tensor) -> nn.ConvTranspose2d:
    """A convolution with stride 2 turned round, without padding; weight `[O, C, k, k]`."""
    outputs, channels, side = weight.shape[:3]
    conv = nn.ConvTranspose2d(channels, outputs, side, 2, bias=False, device="meta")
    conv.weight = nn.Parameter(weight.transpose(0, 1).contiguous(), requires_grad=False)
    return conv
