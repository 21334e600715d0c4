"""Sampling maps and volumes at the points of a flow.

Flows hold absolute points (see `thg_zoo.nn.grid`), `[B, h, w, 2]` or `[B, d, h, w, 3]`. Sampling is linear with
zeros outside. With align_corners False the sampler puts -1 and 1 on the outer edges of the border samples although
the grids put them on their centres, so that even the identity flow shrinks the picture by (n - 1) / n: that is what
the published networks do (FOMM was trained with align_corners True, under an older PyTorch).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from thg_zoo.nn.grid import axis


def warp(maps: Tensor, flow: Tensor, *, align_corners: bool = False) -> Tensor:
    """`[S, C, (D,) H, W]` sampled by a flow of B frames to `[B, C, (D,) H, W]`.

    S is B, or 1 for one source that all frames share (which is not copied). A flow of another size than the
    maps is resized first.
    """
    flow = resize_flow(flow, maps.shape[2:], align_corners=align_corners)
    return F.grid_sample(maps.expand(len(flow), *maps.shape[1:]), flow, align_corners=align_corners)


def resize_flow(flow: Tensor, size: torch.Size, *, align_corners: bool = False) -> Tensor:
    """A flow `[B, (d,) h, w, n]` interpolated linearly to the size ((D,) H, W) of a map."""
    if flow.shape[1:-1] == size:
        return flow
    mode = "bilinear" if len(size) == 2 else "trilinear"
    resized = F.interpolate(flow.movedim(-1, 1), size=size, mode=mode, align_corners=align_corners)
    return resized.movedim(1, -1)


def occlude(maps: Tensor, occlusion: Tensor, *, align_corners: bool = False) -> Tensor:
    """Maps `[B, C, H, W]` times an occlusion map `[B, 1, h, w]`, which is resized to them first."""
    return maps * resize_map(occlusion, maps.shape[2:], align_corners=align_corners)


def resize_map(x: Tensor, size: torch.Size, *, align_corners: bool = False) -> Tensor:
    """`[B, C, h, w]` interpolated linearly to `[B, C, H, W]`."""
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def sample_candidates(maps: Tensor, motions: Tensor, *, align_corners: bool = False) -> Tensor:
    """Every source map sampled by K flows per frame: `[S, C, h, w]` and `[B, K, h, w, 2]` to `[B, K, C, h, w]`.

    The flows of all frames that share a source are one tall flow, so that no source is repeated.
    """
    sources, channels = maps.shape[:2]
    frames, candidates, height, width = motions.shape[:4]
    tall = motions.reshape(sources, -1, width, 2)
    sampled = F.grid_sample(maps, tall, align_corners=align_corners)
    sampled = sampled.view(sources, channels, frames // sources, candidates, height, width)
    return sampled.permute(0, 2, 3, 1, 4, 5).reshape(frames, candidates, channels, height, width)


def sample_translated(volume: Tensor, shift: Tensor) -> Tensor:
    """Every source volume sampled on K shifted grids per frame, with align_corners False.

    volume `[S, C, D, H, W]`, shift `[B, K, 3]` (x, y, z) to `[B, K, C, D, H, W]`. Trilinear sampling of a shifted
    regular grid separates into one small interpolation matrix per axis: products of matrices instead of
    eight gathers per point. Exact up to rounding.
    """
    sources, channels, depth, height, width = volume.shape
    frames, candidates = shift.shape[:2]
    across, down, through = (
        _shift_matrix(shift[..., i], n) for i, n in enumerate((width, height, depth))
    )  # [B, K, n, n] each
    rows = volume.permute(0, 3, 2, 1, 4).reshape(sources, height, -1)
    x = torch.bmm(down.reshape(sources, -1, height), rows)  # [S, B/S K H, D C W]
    x = torch.bmm(x.view(frames * candidates, -1, width), across.reshape(-1, width, width).transpose(1, 2))
    x = x.view(frames * candidates, height, depth, channels * width)
    x = torch.matmul(through.reshape(-1, 1, depth, depth), x)
    return x.view(frames, candidates, height, depth, channels, width).permute(0, 1, 4, 3, 2, 5)


def _shift_matrix(shift: Tensor, n: int) -> Tensor:
    """Linear interpolation of n samples at the grid plus a shift: `[...]` to `[..., n, n]`, zeros outside."""
    positions = ((axis(n, shift) + shift[..., None] + 1) * n - 1) / 2
    samples = torch.arange(n, device=shift.device, dtype=shift.dtype)
    return (1 - (positions[..., None] - samples).abs()).clamp_(min=0)
