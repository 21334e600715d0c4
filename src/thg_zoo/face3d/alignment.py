"""A face brought to the size and place that the 3DMM regression expects: 224 x 224 pixels (Deng et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thg_zoo.errors import FaceError
from thg_zoo.face3d.points import Points, five_points
from thg_zoo.face3d.standard_points import STANDARD_POINTS
from thg_zoo.faces.detector import Picture

SIZE = 224
# How many pixels of the aligned picture one unit of the standard points spans.
_SCALE = 102.0
# Pictures are resized by the scale before they are cut: points almost in one place would ask for a giant.
_LARGEST_SIDE = 1 << 14


@dataclass(frozen=True, eq=False)
class Alignment:
    """An aligned face.

    picture: RGB uint8 [224, 224, 3], black beyond the source. params: float32 [5], the source's width and height,
    the scale, and where the standard origin lies in it, t_x to the right and t_y upwards from the lower left; the
    last three are coefficients 70 to 72. points: float64 [N, 2] the points in the aligned picture, y upwards.
    """

    picture: Picture
    params: NDArray[np.float32]
    points: NDArray[np.float64]


def align(picture: Picture, points: Points | None) -> Alignment:
    """`picture`, RGB uint8 [H, W, 3], aligned by `points`, float [68, 2] or five [5, 2] in its pixels.

    None stands for a picture in which no face was found: as published, a face that fills it is assumed.
    Raises FaceError if the points do not make a face.
    """
    height, width = picture.shape[:2]
    upward = _assumed(width, height) if points is None else _upwards(points, height)
    (t_x, t_y), spread = _fit(upward if points is None else _upwards(five_points(points), height))
    scale = _SCALE / spread if spread > 0 else np.inf
    if not max(width, height) * scale < _LARGEST_SIDE or min(width, height) * scale < 1:
        raise FaceError("The points of the face do not make a face.", "Use a clearer or larger face.")
    w, h = int(width * scale), int(height * scale)
    left = int(w / 2 - SIZE / 2 + (t_x - width / 2) * scale)
    up = int(h / 2 - SIZE / 2 + (height / 2 - t_y) * scale)
    resized = Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC)
    aligned = np.asarray(resized.crop((left, up, left + SIZE, up + SIZE)))
    corner = np.array([w / 2 - SIZE / 2, h / 2 - SIZE / 2])
    moved = (upward - (t_x - width / 2, t_y - height / 2)) * scale - corner
    return Alignment(aligned, np.array([width, height, scale, t_x, t_y], dtype=np.float32), moved)


def _upwards(points: Points, height: int) -> Points:
    """The points with y counted from the lowest row."""
    return np.stack([points[:, 0], height - 1 - points[:, 1]], axis=1)


def _assumed(width: int, height: int) -> Points:
    """Five points of a face that fills the picture.

    In float32: the aligned picture's side would be a whole number but for rounding, and is cut off to one below.
    """
    sides = np.array([width, height], np.float32)
    assumed = (five_points(STANDARD_POINTS)[:, :2] + 1) / 2 * sides
    return assumed.astype(np.float32)


def _fit(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Translation (x, y) and scale of the affine camera that shows the standard points at `points` [5, 2].

    Least squares over a linear map of the 3-D points to each of x and y; the scale is the mean length of its rows.
    """
    standard = np.column_stack([five_points(STANDARD_POINTS), np.ones(5)]).astype(np.float64)
    camera = np.linalg.lstsq(standard, points.astype(np.float64))[0]
    return camera[3], float(np.linalg.norm(camera[:3], axis=0).mean())
