"""Head poses: from the network's numbers to units, and drawn as a box in space, as another network is shown them.

A pose is a rotation vector (radians) and a translation, in front of a camera with a focal length of 233.3 pixels. Its
numbers and the box are those of the published program.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SIDE = 256

_LOWEST = (-0.639, -0.501, -0.47, -102.6, -32.5, 184.6)
_HIGHEST = (0.411, 0.547, 0.433, 159.1, 116.5, 376.5)
_FOCAL = 233.333
_CAMERA = np.array([[_FOCAL, 0, SIDE / 2], [0, _FOCAL, SIDE / 2], [0, 0, 1]])
# Around each square and back to its first corner; the rear one is the smaller.
_AROUND = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)], np.float64)
_BOX = np.concatenate([np.insert(_AROUND * half, 2, depth, axis=1) for half, depth in ((75, 0), (100, 100))])
_EDGES = ((1, 6), (2, 7), (3, 8))
# Pixels beyond which a corner may as well lie there: OpenCV's coordinates are whole numbers of limited size.
_FAR = 30_000


def to_units(poses: Tensor) -> Tensor:
    """Poses `[T, 6]` as the network says them, nominally in -1..1, in radians and units of the box."""
    lowest, highest = poses.new_tensor(_LOWEST), poses.new_tensor(_HIGHEST)
    return (poses + 1) / 2 * (highest - lowest) + lowest


def draw_poses(poses: NDArray[np.float64]) -> NDArray[np.float32]:
    """Poses `[T, 6]` in units as wire frames of the box, `[T, 256, 256]`, 255 on 0."""
    return np.stack([_drawn(pose) for pose in np.asarray(poses, np.float64)]).astype(np.float32)


def _drawn(pose: NDArray[np.float64]) -> NDArray[np.uint8]:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    projected, _ = cv2.projectPoints(_BOX, pose[:3], pose[3:], _CAMERA, None)
    corners = np.clip(projected[:, 0], -_FAR, _FAR).astype(np.int32)
    cv2.polylines(picture, [corners], True, 255, 2)
    for a, b in _EDGES:
        cv2.line(picture, corners[a].tolist(), corners[b].tolist(), 255, 2)
    return picture
