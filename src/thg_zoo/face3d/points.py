"""Points of a face as this model uses them: 68 as annotated for iBUG 300-W, or five of a lighter detector.

Five points are left eye, right eye, nose tip, left and right corner of the mouth (`thg_zoo.faces.detector.Face`), in
pixels with y downwards.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float32]

# Of the 68: both eyes with their six points each, their two corners, the nose tip, the corners of the mouth.
_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_LEFT_CORNERS, _RIGHT_CORNERS = [36, 39], [42, 45]
_NOSE, _LEFT_MOUTH, _RIGHT_MOUTH = 30, 48, 54

# Detectors of five points mark the pupils. The middle of an eye's corners, and the mean of its six points, lie below,
# as fractions of the distance of the eyes: measured on 41 faces in photographs, confirmed on 32 in art (docs/faces.md).
_CORNERS_BELOW, _MEAN_BELOW = 0.05, 0.04


def five_points(points: NDArray[Any]) -> NDArray[Any]:
    """The five [5, C] that fix the alignment, of 68 [68, C] or five [5, 2]: an eye is the middle of its corners."""
    if len(points) == 5:
        return _lowered(points, _CORNERS_BELOW)
    left, right = points[_LEFT_CORNERS].mean(axis=0), points[_RIGHT_CORNERS].mean(axis=0)
    return np.stack([left, right, points[_NOSE], points[_LEFT_MOUTH], points[_RIGHT_MOUTH]])


def eyes_and_mouth(points: NDArray[Any]) -> NDArray[Any]:
    """[4, 2] left eye, right eye, left and right corner of the mouth, for the crop: an eye is the mean of its six."""
    if len(points) == 5:
        return _lowered(points, _MEAN_BELOW)[[0, 1, 3, 4]]
    left, right = points[_LEFT_EYE].mean(axis=0), points[_RIGHT_EYE].mean(axis=0)
    return np.stack([left, right, points[_LEFT_MOUTH], points[_RIGHT_MOUTH]])


def _lowered(points: NDArray[Any], by: float) -> NDArray[Any]:
    """Five points with the eyes moved down in the face, however it is tilted."""
    x, y = points[1] - points[0]
    down = np.array([[-y, x]], dtype=points.dtype) * by
    return np.concatenate([points[:2] + down, points[2:]])
