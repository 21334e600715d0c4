"""The published crops: a square about a face's landmarks, turned upright if wanted.

Which points stand for eyes and lips depends on the set: 203 (the authors' network), 106 and 101 (InsightFace and
others), 68 (the usual outline), 5 (eyes, nose, corners of the mouth) or 9 (the animals' points).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import FaceError
from thg_zoo.inputs import Frame

Points: TypeAlias = NDArray[np.floating[Any]]
Matrix: TypeAlias = NDArray[np.float32]

# Indices of the left eye's points, the right eye's, and the lips', by the number of points.
_LANDMARKS: dict[int, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: ((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: ((36, 39), (42, 45), (48, 54)),
    9: ((2, 3), (0, 1), (5, 6)),
    5: ((0,), (1,), (3, 4)),
}
# Published scales are in sizes of an outline from brows to chin; five points span eyes to mouth. By a mean face
# (MediaPipe's canonical one, from the front at 60 cm) the outline's square is so much larger, and its centre that much
# lower, in sides of the five points' square. Of that face turned by 30 degrees the square so found is up to a tenth
# too large and lies up to 8 % of its side off.
_OUTLINE_OF_FIVE, _BELOW_FIVE = 2.1, 0.18
# The side of what is cut out, and of what the networks see of it.
CROP_SIDE, INPUT_SIDE = 512, 256


def axis_points(points: Points, use_lip: bool = True) -> NDArray[np.float32]:
    """`[2, 2]`: the centre of the eyes and that of the lips, whose line is the face's axis.

    Without lips: the left eye, and as far below it, at a right angle, as the right eye is away. Raises FaceError for a
    number of points that is no known set.
    """
    known = 101 if len(points) > 101 and len(points) not in _LANDMARKS else len(points)
    if known not in _LANDMARKS:
        raise FaceError(f"{len(points)} landmarks are no known set.", f"Give one of {sorted(_LANDMARKS)}.")
    left, right, lips = (points[list(indices)].mean(axis=0) for indices in _LANDMARKS[known])
    if use_lip:
        return np.stack([(left + right) / 2, lips]).astype(np.float32)
    x, y = right - left
    return np.stack([left, left + np.array([-y, x])]).astype(np.float32)


def square(
    points: Points, scale: float, vx_ratio: float, vy_ratio: float, use_lip: bool = True
) -> tuple[NDArray[np.float64], float, float]:
    """The centre `[2]` of the square about a face, its side in pixels, and the angle of the face in radians.

    scale: side in sizes of the face (the longer side of the points' extent along and across the face's axis);
    vx_ratio, vy_ratio: shift across and along it, in sides.
    """
    eyes, lips = axis_points(points, use_lip).astype(np.float64)
    length = float(np.hypot(*(lips - eyes)))
    down = (lips - eyes) / length if length > 1e-3 else np.array([0.0, 1.0])
    across = np.array([down[1], -down[0]])
    angle = float(np.arccos(np.clip(across[0], -1, 1)) * (-1 if across[1] < 0 else 1))
    axes = np.stack([across, down])
    mean = points.mean(axis=0)
    along = (points - mean) @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    side = float((high - low).max()) * scale
    shift = np.array([vx_ratio, vy_ratio]) * side
    return mean + ((low + high) / 2 + shift) @ axes, side, angle


def face_square(
    points: Points, scale: float, vx_ratio: float, vy_ratio: float
) -> tuple[NDArray[np.float64], float, float]:
    """`square` by any set of points, with scale and ratios for an outline: five points are enlarged to one."""
    if len(points) != 5:
        return square(points, scale, vx_ratio, vy_ratio)
    enlarged = scale * _OUTLINE_OF_FIVE
    return square(points, enlarged, vx_ratio, vy_ratio + _BELOW_FIVE / enlarged)


def crop_matrix(centre: NDArray[np.float64], side: float, angle: float | None = None, size: int = CROP_SIDE) -> Matrix:
    """`[2, 3]` from a picture to the crop of `size` that shows a square about `centre`, turned by `angle`."""
    scale = size / side
    c, s = (1.0, 0.0) if angle is None else (np.cos(angle), np.sin(angle))
    linear = scale * np.array([[c, s], [-s, c]])
    return np.column_stack([linear, size / 2 - linear @ centre]).astype(np.float32)


def cut(frame: Frame, matrix: Matrix, size: int = CROP_SIDE) -> Frame:
    """The crop `[size, size, 3]`, black beyond the picture; pixels as published (bilinear)."""
    return np.asarray(cv2.warpAffine(frame, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def reduced(crop: Frame) -> Frame:
    """What the networks see of a source's crop."""
    return np.asarray(cv2.resize(crop, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def squeezed(frame: Frame) -> Frame:
    """What the networks see of a picture that is taken whole, and of driving frames, cropped or not."""
    if frame.shape[:2] == (INPUT_SIDE, INPUT_SIDE):
        return frame
    return np.asarray(cv2.resize(frame, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)


def limited(frame: Frame, longest: int, division: int) -> Frame:
    """The frame reduced to `longest` pixels of its longer side (0: no limit), and cut to multiples of `division`."""
    height, width = frame.shape[:2]
    if longest and max(height, width) > longest:
        if height > width:
            height, width = longest, int(width * (longest / height))
        else:
            height, width = int(height * (longest / width)), longest
        frame = np.asarray(cv2.resize(frame, (width, height)), np.uint8)
    # What is smaller than one multiple stays: there is nothing to cut.
    rows, columns = (n - n % division or n for n in (height, width))
    return frame[:rows, :columns]


def mean_box(points: Iterable[Points], scale: float, vx_ratio: float, vy_ratio: float) -> NDArray[np.float64]:
    """The mean over frames of the upright squares about a face, as edges (left, top, right, bottom)."""
    total, n = np.zeros(4), 0
    for landmarks in points:
        centre, side, _ = face_square(landmarks, scale, vx_ratio, vy_ratio)
        total += np.concatenate([centre - side / 2, centre + side / 2])
        n += 1
    return total / n
