"""An image pyramid, packed into one canvas so that a convolutional network looks at all levels in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where the levels of pictures of one size lie.

    sizes: (height, width) of each level, falling; corners: (y, x) of each in the canvas; canvas: its (height,
    width); level_of: int [h, w], for every cell the level that holds it entirely, or -1.
    """

    sizes: tuple[tuple[int, int], ...]
    corners: tuple[tuple[int, int], ...]
    canvas: tuple[int, int]
    level_of: NDArray[np.int64]


@lru_cache(maxsize=32)
def plan(size: tuple[int, int], scale: float, factor: float, cell: int, stride: int) -> Layout:
    """Levels of a picture of `size` at scale, scale * factor, ... while a cell fits, laid out in shelves."""
    sizes = []
    while min(size) * scale >= cell:
        sizes.append((round(size[0] * scale), round(size[1] * scale)))
        scale *= factor
    # The second and third level just fit side by side.
    width = _up(1 + int(max(sizes[0][1], sum(w + stride for _, w in sizes[1:3]))), stride) if sizes else 0
    corners, shelf, x, height = [], 0, 0, 0
    for h, w in sizes:
        if x + w > width:
            shelf, x = height, 0
        corners.append((shelf, x))
        x = _up(x + w, stride)
        height = max(height, _up(shelf + h, stride))
    level_of = np.full((max(0, (height - cell) // stride + 1), max(0, (width - cell) // stride + 1)), -1)
    for level, ((h, w), (y, x)) in enumerate(zip(sizes, corners, strict=True)):
        y, x = y // stride, x // stride
        level_of[y : y + (h - cell) // stride + 1, x : x + (w - cell) // stride + 1] = level
    return Layout(tuple(sizes), tuple(corners), (height, width), level_of)


def shrink(batch: Tensor, layout: Layout) -> list[Tensor]:
    """The levels, float32 [B, C, h, w], of pictures [B, C, H, W] (uint8, or float in 0..255)."""
    # Only the CPU has the kernel for bytes, which is several times faster than that for floats.
    levels = [batch if batch.device.type == "cpu" else batch.float()]
    for size in layout.sizes:
        # Two levels up is a picture about twice as large: near enough to be cheap, far enough not to blur.
        source = levels[max(0, len(levels) - 2)]
        levels.append(F.interpolate(source, size, mode="bilinear", antialias=True, align_corners=False))
    return [level.float() for level in levels[1:]]


def pack(levels: list[Tensor], layout: Layout) -> Tensor:
    """One canvas [B, C, *layout.canvas]; the gaps are never inside a cell of any level."""
    first = levels[0]
    canvas = torch.zeros((*first.shape[:2], *layout.canvas), device=first.device, dtype=first.dtype).contiguous(
        memory_format=torch.channels_last
    )
    for level, (y, x) in zip(levels, layout.corners, strict=True):
        canvas[:, :, y : y + level.shape[2], x : x + level.shape[3]] = level
    return canvas


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
