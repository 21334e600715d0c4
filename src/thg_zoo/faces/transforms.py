"""Affine transforms between pictures and crops, and the crops themselves.

A matrix is float64 [2, 3] and maps points of the picture to points of the crop: x' = A x + t. Points follow
OpenCV: a whole number is the centre of a pixel, so a picture of width W spans -0.5 to W - 0.5. Boxes are
edges (`picture[y1:y2, x1:x2]`), spanning 0 to W: the box edge x is the point x - 0.5.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from thg_zoo.errors import FaceError

Matrix: TypeAlias = NDArray[np.float64]
Border: TypeAlias = Literal["edge", "black"]


def similarity_from_points(src: ArrayLike, dst: ArrayLike) -> Matrix:
    """The rotation, uniform scale and shift that bring `src` [N, 2] closest to `dst` [N, 2], without reflection.

    Least squares after Umeyama, Least-squares estimation of transformation parameters between two point
    patterns, 1991. Raises FaceError if the points are fewer than two, coincide, or are not finite.
    """
    a, b = np.asarray(src, np.float64), np.asarray(dst, np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise FaceError(f"Points of shapes {a.shape} and {b.shape} fix no transform.", "Give two or more pairs.")
    a_mean, b_mean = a.mean(0), b.mean(0)
    a_centred, b_centred = a - a_mean, b - b_mean
    spread = (a_centred**2).sum()
    if not np.isfinite(a).all() or not np.isfinite(b).all() or spread <= (1e-9 * (1 + np.abs(a_mean).max())) ** 2:
        raise FaceError("The points of the face coincide or are not finite.", "Use a clearer or larger face.")
    u, singular, vt = np.linalg.svd(b_centred.T @ a_centred)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = (singular @ sign / spread) * (u * sign) @ vt
    return np.column_stack([linear, b_mean - linear @ a_mean])


def apply(matrix: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """`points` [..., 2] after `matrix` [2, 3]; with matrices [B, 2, 3], points [B, N, 2]."""
    m = np.asarray(matrix, np.float64)
    moved: NDArray[np.float64] = np.asarray(points, np.float64) @ m[..., :2].swapaxes(-1, -2)
    return moved + (m[..., 2] if m.ndim == 2 else m[:, None, :, 2])


def invert(matrix: ArrayLike) -> Matrix:
    """The way back: [2, 3], or [B, 2, 3] for several. Raises FaceError if a matrix flattens the picture."""
    m = np.asarray(matrix, np.float64)
    determinant = np.linalg.det(m[..., :2])
    if not np.isfinite(m).all() or np.any(np.abs(determinant) < 1e-12):
        raise FaceError("A crop transform cannot be undone: it has no area.", "Use a larger face.")
    back = np.linalg.inv(m[..., :2])
    return np.concatenate([back, -back @ m[..., 2:]], axis=-1)


def compose(first: ArrayLike, then: ArrayLike) -> Matrix:
    """One matrix that does `first`, then `then`; either may be [B, 2, 3]."""
    a, b = np.asarray(first, np.float64), np.asarray(then, np.float64)
    linear = b[..., :2] @ a[..., :2]
    shift = b[..., :2] @ a[..., 2:] + b[..., 2:]
    return np.concatenate([linear, np.broadcast_to(shift, (*linear.shape[:-1], 1))], axis=-1)


def crop_box(
    box: ArrayLike, margin: float | tuple[float, float, float, float] = 0.0, square: bool = False
) -> NDArray[np.float64]:
    """A box [4] with a margin around it, then enlarged to a square of the same centre if `square`.

    margin: fractions of the width (left, right) and of the height (top, bottom) in the order left, top, right,
    bottom, or one for all; negative ones shrink. The result may reach beyond the picture: crops continue it.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    left, top, right, bottom = margin if isinstance(margin, tuple) else (margin,) * 4
    w, h = x2 - x1, y2 - y1
    x1, y1, x2, y2 = x1 - left * w, y1 - top * h, x2 + right * w, y2 + bottom * h
    if square:
        half = max(x2 - x1, y2 - y1) / 2
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        x1, y1, x2, y2 = x - half, y - half, x + half, y + half
    return np.array([x1, y1, x2, y2])


def matrix_from_box(box: ArrayLike, size: tuple[int, int]) -> Matrix:
    """The matrix whose crop of `size` (height, width) shows exactly the box [4]; boxes [B, 4] give [B, 2, 3].

    Raises FaceError if a box has no area.
    """
    b = np.asarray(box, np.float64)
    sides = b[..., 2:] - b[..., :2]
    if not np.all(sides > 0):
        raise FaceError("A face box has no area.", "Use a larger face, or a smaller negative margin.")
    scale = np.array([size[1], size[0]]) / sides
    shift = (0.5 - b[..., :2]) * scale - 0.5
    linear = scale[..., None] * np.eye(2)
    return np.concatenate([linear, shift[..., None]], axis=-1)


def shrink_factor(matrix: ArrayLike) -> NDArray[np.int64]:
    """How many pixels of the picture a pixel of the crop spans in each direction: whole, at least 1. [...].

    Crops average over that many pixels before they interpolate: an interpolation alone would skip pixels.
    """
    area = np.abs(np.linalg.det(np.asarray(matrix, np.float64)[..., :2]))
    # The tiny surplus keeps an exact 1/2 or 1/3 from falling below the whole number by rounding.
    factor: NDArray[np.int64] = np.maximum(np.floor(1 / np.sqrt(area) + 1e-6), 1).astype(np.int64)
    return factor


def after_shrinking(matrix: ArrayLike, factor: float) -> Matrix:
    """The matrix for the picture whose every factor x factor pixels have become one."""
    grow = np.array([[factor, 0.0, (factor - 1) / 2], [0.0, factor, (factor - 1) / 2]])
    return compose(grow, matrix)


def warp_crop(picture: NDArray[Any], matrix: ArrayLike, size: tuple[int, int], border: Border = "edge") -> NDArray[Any]:
    """The crop of `size` (height, width) that `matrix` maps `picture` [H, W, C] to, in the picture's type.

    Bilinear (OpenCV), after averaging over `shrink_factor` pixels where the crop is smaller than its part of the
    picture. Beyond the picture its edge continues, or black. `resample.sample_crops` is the same in torch.
    """
    factor = int(shrink_factor(matrix))
    if factor > 1:
        h, w = picture.shape[:2]
        picture = cv2.copyMakeBorder(picture, 0, -h % factor, 0, -w % factor, cv2.BORDER_REPLICATE)
        h, w = picture.shape[:2]
        picture = cv2.resize(picture, (w // factor, h // factor), interpolation=cv2.INTER_AREA)
        matrix = after_shrinking(matrix, factor)
    mode = cv2.BORDER_REPLICATE if border == "edge" else cv2.BORDER_CONSTANT
    crop: NDArray[Any] = cv2.warpAffine(
        picture, np.asarray(matrix, np.float64), (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=mode
    )
    return crop
