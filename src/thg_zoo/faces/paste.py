"""Rendered crops back into the full picture, blended over a feathered border."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thg_zoo.errors import FaceError
from thg_zoo.faces.resample import sample_crops
from thg_zoo.faces.transforms import Matrix, apply, invert, shrink_factor

_OUTWARDS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def feather_mask(size: tuple[int, int], feather: float = 0.1, device: torch.device | str = "cpu") -> Tensor:
    """Weights [h, w] of a crop of `size` (h, w): 1 inside, falling smoothly to 0 at its border.

    feather: width of the fall as a fraction of the shorter side, 0..0.5; 0 gives a hard edge.
    """
    if not 0 <= feather <= 0.5:
        raise FaceError(f"A feathered border of {feather} is no fraction of a side.", "Give 0 to 0.5.")
    width = feather * min(size)

    def ramp(n: int) -> Tensor:
        distance = torch.minimum(torch.arange(n) + 0.5, n - torch.arange(n) - 0.5)
        t = (distance / max(width, 1e-6)).clamp(0, 1)
        return t * t * (3 - 2 * t)

    return (ramp(size[0])[:, None] * ramp(size[1])[None, :]).to(device)


def paste(crops: Tensor, background: Tensor, matrix: ArrayLike, mask: Tensor) -> Tensor:
    """`crops` blended into copies of `background`: uint8 [B, H, W, 3] on the crops' device.

    crops: float [B, 3, h, w] in 0..1. background: uint8 [1 or B, H, W, 3], same device. matrix: [2, 3] or
    [B, 2, 3], background to crop. mask: [h, w], or [B, h, w] for one each, weights 0..1 of the crop.
    Pixels where the weight is 0 keep the background's exact values. Beyond the copy of the background, the
    work grows with the area that the crop covers, not with the picture. A crop wholly outside changes nothing.
    """
    count = len(crops)
    frames = background.expand(count, -1, -1, -1).clone(memory_format=torch.contiguous_format)
    matrices = np.asarray(matrix, np.float64).reshape(-1, 2, 3)
    size, origins = _windows(matrices, crops.shape[-2:], background.shape[1:3])
    if not all(size):
        return frames
    masks = mask.reshape(-1, 1, *mask.shape[-2:])
    # One place and one mask for all need only one weight window.
    weighted = max(len(matrices), len(masks))
    back = invert(matrices)
    weights = sample_crops(masks, _repeat(back, weighted), size, None, "black", _repeat(origins, weighted))
    back, origins = _repeat(back, count), _repeat(origins, count)
    new = sample_crops(crops.clamp(0, 1) * 255, back, size, None, "edge", origins)
    h, w = size
    if len(matrices) == 1:
        x, y = (int(v) for v in origins[0])
        _blend(frames[:, y : y + h, x : x + w], new, weights)
        return frames
    for i, (x, y) in enumerate(origins.astype(int)):
        _blend(frames[i : i + 1, y : y + h, x : x + w], new[i : i + 1], weights[i : i + 1])
    return frames


def _blend(window: Tensor, new: Tensor, weights: Tensor) -> None:
    """Write into `window`, a view uint8 [B, h, w, 3]."""
    # Planes of floats on both sides: mixing layouts makes every operation several times slower.
    old = window.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    mixed = (new - old).mul_(weights).add_(old).round_().to(torch.uint8)
    window.copy_(mixed.permute(0, 2, 3, 1))


def _repeat(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return np.broadcast_to(values, (count, *values.shape[1:])) if len(values) == 1 else values


def _windows(matrices: Matrix, crop: torch.Size, picture: torch.Size) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """One size (h, w) for all, and the first pixel (x, y) [B, 2] of each, of windows inside the picture that
    hold all pixels the crops reach."""
    h, w = crop
    back = invert(matrices)
    # Interpolation carries the outermost pixels, averaged ones where the crop shrinks, one step further out.
    reach = shrink_factor(back)[:, None, None]
    corners = np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]]) + reach * _OUTWARDS
    reached = apply(back, corners)
    limit = np.array([picture[1], picture[0]], np.float64)
    first = np.clip(np.ceil(reached.min(axis=1)), 0, limit)
    last = np.clip(np.floor(reached.max(axis=1)) + 1, 0, limit)
    extent = np.max(np.where(np.all(last > first, axis=1, keepdims=True), last - first, 0), axis=0)
    return (int(extent[1]), int(extent[0])), np.minimum(first, limit - extent)
