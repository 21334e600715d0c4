"""SPADE decoder: pictures from features, each norm modulated by a condition map.

Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019, in the form that
face-vid2vid, SadTalker, LivePortrait (condition: the 256-channel feature itself) and DaGAN (7 channels)
publish.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.convolution import NarrowConv2d, conv_of_nearest
from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.spade_joined import JoinedSpadeResBlock
from thg_zoo.nn.spectral import SpectralConv2d

_HIDDEN = 128
_SLOPE = 0.2


class Spade(nn.Module):
    """Modulation of an instance-normalised map: n (1 + gamma) + beta, with gamma and beta from the condition.

    n `[B, C, H, W]`, condition `[B, L, h, w]`, which is resized to the nearest; to `[B, C, H, W]`. enlarged: the
    condition is smaller than the map, by a whole factor.
    """

    def __init__(self, channels: int, condition_channels: int, *, enlarged: bool = False) -> None:
        super().__init__()
        self.enlarged = enlarged
        self.winograd = ("mlp_gamma", "mlp_beta") if enlarged else ("mlp_shared.0", "mlp_gamma", "mlp_beta")
        self.mlp_shared = nn.Sequential(nn.Conv2d(condition_channels, _HIDDEN, 3, padding=1))
        self.mlp_gamma = nn.Conv2d(_HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(_HIDDEN, channels, 3, padding=1)

    def forward(self, normalised: Tensor, condition: Tensor) -> Tensor:
        if self.enlarged:
            factor = normalised.shape[-1] // condition.shape[-1]
            hidden = conv_of_nearest(condition, self.mlp_shared[0], factor)
        else:
            if condition.shape[2:] != normalised.shape[2:]:
                condition = F.interpolate(condition, size=normalised.shape[2:], mode="nearest")
            hidden = self.mlp_shared(condition)
        hidden = F.relu(hidden, inplace=True)
        shifted: Tensor = self.mlp_beta(hidden).add_(normalised)
        return shifted.addcmul_(normalised, self.mlp_gamma(hidden))


class SpadeResBlock(nn.Module):
    """Residual block with SPADE norms: x `[B, in, H, W]`, condition `[B, L, h, w]` to `[B, out, H, W]`; see `Spade`."""

    winograd: ClassVar = ("conv_0", "conv_1")

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int, *, enlarged: bool = False) -> None:
        super().__init__()
        middle = min(in_channels, out_channels)
        self.learned_shortcut = in_channels != out_channels
        self.conv_0 = SpectralConv2d(in_channels, middle, 3)
        self.conv_1 = SpectralConv2d(middle, out_channels, 3)
        self.norm_0 = Spade(in_channels, condition_channels, enlarged=enlarged)
        self.norm_1 = Spade(middle, condition_channels, enlarged=enlarged)
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(in_channels, out_channels, 1, bias=False)
            self.norm_s = Spade(in_channels, condition_channels, enlarged=enlarged)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        normalised = instance_norm(x)
        shortcut: Tensor = self.conv_s(self.norm_s(normalised, condition)) if self.learned_shortcut else x
        x = self.conv_0(F.leaky_relu(self.norm_0(normalised, condition), _SLOPE, inplace=True))
        x = self.conv_1(F.leaky_relu(self.norm_1(instance_norm(x), condition), _SLOPE, inplace=True))
        return shortcut + x


class SpadeDecoder(nn.Module):
    """features `[B, 256, h, w]`, condition `[B, L, ...]` to pictures `[B, 3, 4 s h, 4 s w]` in 0..1.

    middle_blocks: how many blocks run at the size of the features, before the two that enlarge. enlarged: the
    condition has the size of the features, not that of the picture. shuffle: the factor s by which the last
    convolution's channels become pixels (LivePortrait has 2).
    """

    winograd: ClassVar = ("fc",)

    def __init__(
        self, *, condition_channels: int = 256, middle_blocks: int = 6, enlarged: bool = True, shuffle: int = 1
    ) -> None:
        super().__init__()
        self.enlarged = enlarged
        self.fc = nn.Conv2d(256, 512, 3, padding=1)
        self.middle = [f"G_middle_{i}" for i in range(middle_blocks)]
        for name in self.middle:
            self.add_module(name, SpadeResBlock(512, 512, condition_channels))
        self.up_0: nn.Module = SpadeResBlock(512, 256, condition_channels, enlarged=enlarged)
        self.up_1: nn.Module = SpadeResBlock(256, 64, condition_channels, enlarged=enlarged)
        self.conv_img = NarrowConv2d(64, 3, 3) if shuffle == 1 else _to_pixels(shuffle)

    def use_fast_form(self) -> None:
        """Joins the convolutions of every block; see `thg_zoo.nn.spade_joined`."""
        for name in self.middle:
            block = self.get_submodule(name)
            assert isinstance(block, SpadeResBlock)
            self.set_submodule(name, JoinedSpadeResBlock(block))
        for name, factor in (("up_0", 2), ("up_1", 4)):
            block = self.get_submodule(name)
            assert isinstance(block, SpadeResBlock)
            joined = JoinedSpadeResBlock(block, enlarge=2, condition_factor=factor if self.enlarged else 1)
            self.set_submodule(name, joined)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        features, condition = (t.contiguous(memory_format=torch.channels_last) for t in (features, condition))
        x: Tensor = self.fc(features)
        for name in self.middle:
            x = self.get_submodule(name)(x, condition)
        for block in (self.up_0, self.up_1):
            if not isinstance(block, JoinedSpadeResBlock):
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x, condition)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, _SLOPE, inplace=True)))


def _to_pixels(factor: int) -> nn.Sequential:
    """64 channels to a picture that is larger by a factor."""
    return nn.Sequential(nn.Conv2d(64, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor))
