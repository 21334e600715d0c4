"""Coordinate grids and what is separable on them.

Coordinates run from -1 at the first sample to 1 at the last; the components of a point are ordered x, y (, z),
the axes of a map (depth,) height, width. Source: the first-order-motion reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def axis(n: int, like: Tensor) -> Tensor:
    """n coordinates from -1 to 1, on the device and in the precision of `like`."""
    return torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype)


def coordinate_grid(size: Sequence[int], like: Tensor) -> Tensor:
    """The point at every position of a map of `size` ((D,) H, W): `[(D,) H, W, 2 or 3]`."""
    axes = torch.meshgrid(*(axis(n, like) for n in size), indexing="ij")
    return torch.stack(axes[::-1], dim=-1)


def expectation(heat: Tensor) -> Tensor:
    """Mean point of probability maps: `[B, K, (D,) H, W]` to `[B, K, 2 or 3]`."""
    spatial = range(2, heat.dim())
    means = [heat.sum([d for d in spatial if d != axis_]) @ axis(heat.shape[axis_], heat) for axis_ in spatial]
    return torch.stack(means[::-1], dim=-1)


def gaussian_maps(points: Tensor, size: Sequence[int], variance: float = 0.01) -> Tensor:
    """exp(-|z - p|^2 / (2 variance)) at every position z: `[B, K, 2 or 3]` to `[B, K, (D,) H, W]`."""
    maps = points.new_ones(*points.shape[:2], *[1] * len(size))
    for i, n in enumerate(size):
        distance = axis(n, points) - points[..., -1 - i, None]
        line = torch.exp(distance**2 * (-0.5 / variance))
        maps = maps * line.view(*points.shape[:2], *[n if j == i else 1 for j in range(len(size))])
    return maps
