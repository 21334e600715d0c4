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
    interpolation = np.zeros((m, n))
    for tap, weight in ((before, 1 - (positions - before)), (before + 1, positions - before)):
        np.add.at(interpolation, (np.arange(m), _mirrored(tap, n)), weight)
    sigma = (n / m - 1) / 2
    return interpolation @ _blur(n, sigma) if sigma > 0 else interpolation


def _blur(n: int, sigma: float) -> NDArray[np.float64]:
    """A Gaussian filter of n samples as a matrix `[n, n]`."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    blur = np.zeros((n, n))
    for offset, weight in zip(offsets, weights, strict=True):
        np.add.at(blur, (np.arange(n), _mirrored(np.arange(n) + offset, n)), weight)
    return blur


def _mirrored(index: NDArray[np.int_], n: int) -> NDArray[np.int_]:
    """Indices beyond 0..n-1 reflected about the outermost samples."""
    if n == 1:
        return np.zeros_like(index)
    folded: NDArray[np.int_] = np.abs((index + n - 1) % (2 * n - 2) - (n - 1))
    return folded
