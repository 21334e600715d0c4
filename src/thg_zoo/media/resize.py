"""Linear resizing with a Gaussian against aliasing, as scikit-image's `resize` does it by default.

What the first-order-motion family prepares its pictures with. Both steps are linear and separable, so one matrix per
axis does them together, for whole batches on any device.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def resize_antialiased(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """`[B, C, H, W]` float to `[B, C, *size]`; proportions are not kept.

    Where an axis shrinks by a factor f it is first blurred with sigma (f - 1) / 2, cut off at 4 sigma; samples are then
    interpolated linearly. Beyond its border the picture goes on mirrored about the outermost sample.
    """
    height, width = pictures.shape[2:]
    if (height, width) == size:
        return pictures
    rows, columns = (torch.from_numpy(_matrix(n, m)).to(pictures) for n, m in zip((height, width), size, strict=True))
    return rows @ pictures @ columns.t()


@lru_cache(maxsize=16)
def _matrix(n: int, m: int) -> NDArray[np.float64]:
    """The resizing of n samples to m as a matrix `[m, n]`."""
    positions = (np.arange(m) + 0.5) * (n / m) - 0.5
    before = np.floor(positions).astype(int)
    matrix = np.zeros((m, n))
    for tap, share in ((before, 1 - (positions - before)), (before + 1, positions - before)):
        for offset, weight in _gaussian((n / m - 1) / 2):
            np.add.at(matrix, (np.arange(m), _mirrored(_mirrored(tap, n) + offset, n)), share * weight)
    return matrix


def _gaussian(sigma: float) -> list[tuple[int, float]]:
    """Offsets and weights of a filter, which leaves everything as it is where sigma is not above 0."""
    if sigma <= 0:
        return [(0, 1.0)]
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return list(zip(offsets.tolist(), (weights / weights.sum()).tolist(), strict=True))


def _mirrored(index: NDArray[np.int_], n: int) -> NDArray[np.int_]:
    """Indices beyond 0..n-1 reflected about the outermost samples."""
    if n == 1:
        return np.zeros_like(index)
    folded: NDArray[np.int_] = np.abs((index + n - 1) % (2 * n - 2) - (n - 1))
    return folded
