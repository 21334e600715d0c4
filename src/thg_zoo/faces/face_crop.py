"""The crop that checkpoints trained on VoxCeleb expect: a square about the face, seen over a whole shot.

Source: the crop suggestion of the first-order-motion reference implementation. Boxes are (left, top, right,
bottom) in pixels.
"""

from __future__ import annotations

from typing import TypeAlias

Box: TypeAlias = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, with sides counted inclusively (right - left + 1)."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    shared = width * height
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def union(a: Box, b: Box) -> Box:
    """The smallest box around both: the space that a face takes over time."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def face_crop(box: Box, frame: tuple[int, int], increase: float = 0.1) -> tuple[int, int, int, int]:
    """Crop (x, y, width, height) about a face box in a frame of (height, width) pixels.

    A square whose side is the longer side of the box plus `increase` of it on either side, cut at the frame's borders:
    there it is no longer square, and scaling it to a square distorts.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    beside = max(increase, ((1 + 2 * increase) * height - width) / (2 * width))
    above = max(increase, ((1 + 2 * increase) * width - height) / (2 * height))
    x1, y1 = max(0, int(left - beside * width)), max(0, int(top - above * height))
    x2, y2 = min(frame[1], int(right + beside * width)), min(frame[0], int(bottom + above * height))
    return x1, y1, x2 - x1, y2 - y1
