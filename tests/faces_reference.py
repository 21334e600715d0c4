"""A float64 reference for crops."""

from __future__ import annotations

import numpy as np


def bilinear(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: str) -> np.ndarray:
    """[H, W, C] -> [h, w, C]: whole numbers are the centres of pixels."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[: size[0], : size[1]]
    u, v = np.linalg.solve(matrix[:, :2], np.stack([x.ravel(), y.ravel()]) - matrix[:, 2:])
    out = np.zeros((size[0] * size[1], picture.shape[2]))
    for row, col in ((r, c) for r in (np.floor(v), np.floor(v) + 1) for c in (np.floor(u), np.floor(u) + 1)):
        weight = (1 - np.abs(u - col)) * (1 - np.abs(v - row))
        if border == "black":
            weight = weight * ((row >= 0) & (row < h) & (col >= 0) & (col < w))
        value = picture[np.clip(row, 0, h - 1).astype(int), np.clip(col, 0, w - 1).astype(int)]
        out += weight[:, None] * value.astype(np.float64)
    return out.reshape(*size, -1)
