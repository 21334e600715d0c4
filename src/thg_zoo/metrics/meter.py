"""What every metric is given, and how it answers: batches of frames in, values at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face

Frames: TypeAlias = NDArray[np.uint8]
Points: TypeAlias = NDArray[np.float32]


class Skip(Exception):
    """Raised by a meter that cannot give a value; its text is the reason that people read."""


@dataclass(frozen=True)
class Batch:
    """Consecutive frames of a video, and what belongs to them.

    frames: uint8 [B, H, W, 3]; faces: of each frame, None where there is none (and everywhere if no meter looks at
    faces); reference, reference_faces: the same of the reference at the same times and of the same size; shorter than
    `frames`, or empty, where it has ended.
    """

    frames: Frames
    faces: Sequence[Face | None]
    reference: Frames
    reference_faces: Sequence[Face | None]


class Meter(ABC):
    """Takes a video batch by batch. `names`: its metrics; `looks_at_faces`: whether it needs `Batch.faces`."""

    names: tuple[str, ...]
    looks_at_faces = False

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """The next frames."""

    @abstractmethod
    def result(self) -> dict[str, float]:
        """Values by name. Raises Skip."""


class Mean:
    """A mean that is taken piece by piece."""

    def __init__(self) -> None:
        self._total, self._n = 0.0, 0

    def add(self, value: float, weight: int = 1) -> None:
        """Take in `value`, which stands for `weight` items."""
        self._total += value * weight
        self._n += weight

    def value(self, nothing: str) -> float:
        """The mean. Raises Skip with the reason `nothing` if there was nothing to take."""
        if not self._n:
            raise Skip(nothing)
        return self._total / self._n


def pairs(batch: Batch) -> list[tuple[Points, Points]]:
    """Points [5, 2] of the frames that show a face in the video and in the reference."""
    found = []
    for face, other in zip(batch.faces, batch.reference_faces, strict=False):
        if face is not None and other is not None and face.points is not None and other.points is not None:
            found.append((face.points, other.points))
    return found


def eye_distance(points: Points) -> float:
    """Between the eyes of five points [5, 2], in pixels."""
    return max(float(np.linalg.norm(points[1] - points[0])), 1e-6)
