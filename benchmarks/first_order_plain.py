"""The first-order-motion family evaluated as its published programs do it: the side that benchmarks compare with.

The layers are those of the package, with the same weights; what is evaluated otherwise than it is written (shared
sources, split convolutions, separable sampling, attention in turns, folded norms) is written out here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.adapters.mcnet import memory
from thg_zoo.nn import blocks, convolution, dense_motion, spade
from thg_zoo.nn.grid import coordinate_grid


def conv_of_nearest(x: Tensor, conv: nn.Module, factor: int) -> Tensor:
    factors = (1.0,) * (x.dim() - 4) + (float(factor),) * 2
    enlarged: Tensor = conv(F.interpolate(x, scale_factor=factors, mode="nearest"))
    return enlarged


def narrow(self: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, self.weight, self.bias, padding=self.padding)


def gaussian_maps(points: Tensor, size: Any, variance: float = 0.01) -> Tensor:
    ones = (1,) * len(size)
    distance = coordinate_grid(size, points) - points.view(*points.shape[:2], *ones, -1)
    return torch.exp(-0.5 * (distance**2).sum(-1) / variance)


def sample_candidates(maps: Tensor, motions: Tensor, *, align_corners: bool = False) -> Tensor:
    frames, candidates = motions.shape[:2]
    repeated = maps[:, None].repeat(frames // len(maps), candidates, 1, 1, 1).flatten(0, 1)
    sampled = F.grid_sample(repeated, motions.flatten(0, 1), align_corners=align_corners)
    return sampled.unflatten(0, (frames, candidates))


def sample_translated(volume: Tensor, shift: Tensor) -> Tensor:
    frames, candidates = shift.shape[:2]
    grids = coordinate_grid(volume.shape[2:], volume) + shift[:, :, None, None, None]
    repeated = volume[:, None].repeat(frames // len(volume), candidates, 1, 1, 1, 1).flatten(0, 1)
    return F.grid_sample(repeated, grids.flatten(0, 1), align_corners=False).unflatten(0, (frames, candidates))


def spade_forward(self: Any, x: Tensor, condition: Tensor) -> Tensor:
    normalised = F.instance_norm(x)
    condition = F.interpolate(condition, size=x.shape[2:], mode="nearest")
    hidden = F.relu(self.mlp_shared(condition))
    out: Tensor = normalised * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
    return out


def spade_block(self: Any, x: Tensor, condition: Tensor) -> Tensor:
    shortcut = self.conv_s(self.norm_s(x, condition)) if self.learned_shortcut else x
    x = self.conv_0(F.leaky_relu(self.norm_0(x, condition), 0.2))
    x = self.conv_1(F.leaky_relu(self.norm_1(x, condition), 0.2))
    out: Tensor = shortcut + x
    return out


def spade_decoder(self: Any, features: Tensor, condition: Tensor) -> Tensor:
    x = self.fc(features)
    for name in self.middle:
        x = self.get_submodule(name)(x, condition)
    for block in (self.up_0, self.up_1):
        x = block(F.interpolate(x, scale_factor=2.0, mode="nearest"), condition)
    return torch.sigmoid(self.conv_img(F.leaky_relu(x, 0.2)))


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
    return torch.bmm(torch.softmax(torch.bmm(query, key.mT) * scale, dim=2), value)


def modulated_conv(self: Any, x: Tensor, style: Tensor) -> Tensor:
    channels = style.shape[1]
    scale = F.linear(style, self.modulation.weight * channels**-0.5, self.modulation.bias)
    kernel = self.weight * (channels * 9) ** -0.5 * scale.view(-1, 1, channels, 1, 1)
    kernel = kernel * (kernel**2).sum((2, 3, 4), keepdim=True).add(1e-8).rsqrt()
    x = x.expand(len(style), -1, -1, -1).reshape(1, -1, *x.shape[2:])
    return F.conv2d(x, kernel.flatten(0, 1), padding=1, groups=len(style)).unflatten(1, (len(style), -1)).squeeze(0)


def memory_unit(self: Any, features: Tensor, keypoints: Tensor, noise: Tensor | None = None) -> Tensor:
    size = features.shape[-1]
    f = self.get_submodule(f"feat_forward_proj_{size}")(features[:, 1::2])
    code = torch.cat([f.mean((2, 3)), keypoints.flatten(1)], dim=1)
    held = self.styleconv(self.mb, self.style_route(code), noise)
    key, value = F.relu(self.conv_kv(f, held)).flatten(2).mT.chunk(2, dim=2)
    query = F.relu(self.query_conv(f)).flatten(2).mT
    recalled = attend(query, key, value, scale=0.25).mT.reshape_as(f)
    out = self.get_submodule(f"conv_{size}")(f + F.relu(self.diff_conv(f - recalled)))
    norm = self.get_submodule(f"norm_{size}")
    out = F.relu(F.instance_norm(out, weight=norm.weight, bias=norm.bias))
    return torch.stack([features[:, 0::2], out], dim=2).flatten(1, 2)


@contextlib.contextmanager
def as_published() -> Iterator[None]:
    """Inside, the family's unfolded networks compute every operation as it is written in the papers' code."""
    written: list[tuple[Any, str, Any]] = [
        (blocks, "conv_of_nearest", conv_of_nearest),
        (convolution.NarrowConv2d, "forward", narrow),
        (dense_motion, "gaussian_maps", gaussian_maps),
        (dense_motion, "sample_candidates", sample_candidates),
        (dense_motion, "sample_translated", sample_translated),
        (spade.Spade, "forward", spade_forward),
        (spade.SpadeResBlock, "forward", spade_block),
        (spade.SpadeDecoder, "forward", spade_decoder),
        (memory.ModulatedConv, "forward", modulated_conv),
        (memory.MemoryUnit, "forward", memory_unit),
    ]
    with contextlib.ExitStack() as stack:
        for place, name, plain in written:
            stack.enter_context(mock.patch.object(place, name, plain))
        from thg_zoo.adapters.dagan import networks as dagan

        stack.enter_context(mock.patch.object(dagan, "attend", attend))
        yield
