"""The modulated blocks of IP_LAP's renderer, with the published names (Zhong et al., CVPR 2023).

They differ from the SPADE of other models (`thg_zoo.nn.spade`): nothing bends the hidden map between the convolutions
that give scale and shift, and a block adds nothing to its input.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.adain import AdaIn
from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.speech_encoder import EMBEDDING

_HIDDEN = 256
_SLOPE = 0.2


class Modulation(NamedTuple):
    """What a norm is multiplied by, less one, and what is added to it, each `[B, C, H, W]`."""

    gamma: Tensor
    beta: Tensor

    def frame(self, i: int) -> Modulation:
        """That of one frame, `[1, C, H, W]`."""
        return Modulation(self.gamma[i : i + 1], self.beta[i : i + 1])


class SpadeNorm(nn.Module):
    """n (1 + gamma) + beta, gamma and beta by two convolutions in a row from the condition."""

    winograd: ClassVar = ("conv1", "gamma", "beta")

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(condition_channels, _HIDDEN, 3, padding=1)
        self.gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, condition: Tensor) -> Modulation:
        """`[B, L, H, W]` to `[B, C, H, W]` each."""
        hidden = self.conv1(condition)
        return Modulation(self.gamma(hidden), self.beta(hidden))


class SpadeBlock(nn.Module):
    """Norm, leaky ReLU and convolution, twice. No sum with the input."""

    winograd: ClassVar = ("conv_1", "conv_2")

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.spade_layer_1 = SpadeNorm(channels, condition_channels)
        self.spade_layer_2 = SpadeNorm(channels, condition_channels)

    def modulations(self, condition: Tensor) -> tuple[Modulation, Modulation]:
        """Those of both norms: `[B, L, H, W]` to `[B, C, H, W]` each."""
        return self.spade_layer_1(condition), self.spade_layer_2(condition)

    def modulate(self, normalised: Tensor, modulations: tuple[Modulation, Modulation]) -> Tensor:
        """Maps that were instance-normalised before `[N, C, H, W]`, and modulations of N maps or of one for all."""
        first, second = modulations
        x = self.conv_1(_modulated(normalised, first))
        y: Tensor = self.conv_2(_modulated(instance_norm(x), second))
        return y

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`[B, C, H, W]` and `[B, L, H, W]` to `[B, C, H, W]`."""
        return self.modulate(instance_norm(x), self.modulations(condition))


def _modulated(normalised: Tensor, modulation: Modulation) -> Tensor:
    # In the published order: in others the flow rounds so that pictures of noise differ by more than parity allows.
    return F.leaky_relu_(torch.addcmul(normalised, normalised, modulation.gamma).add_(modulation.beta), _SLOPE)


class AdaInBlock(nn.Module):
    """As `SpadeBlock`, modulated channel by channel by the embedding of the sound."""

    winograd: ClassVar = ("conv_1", "conv_2")

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.adain_layer_1 = AdaIn(channels, EMBEDDING)
        self.adain_layer_2 = AdaIn(channels, EMBEDDING)

    def forward(self, x: Tensor, sound: Tensor) -> Tensor:
        """`[B, C, H, W]` and `[B, 512]` to `[B, C, H, W]`."""
        x = self.conv_1(F.leaky_relu(self.adain_layer_1(x, sound), _SLOPE))
        y: Tensor = self.conv_2(F.leaky_relu(self.adain_layer_2(x, sound), _SLOPE))
        return y
