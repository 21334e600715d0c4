"""From face points: distance to the reference's, trembling, eye aspect ratio and blinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face
from thg_zoo.metrics.meter import Batch, Frames, Mean, Meter, Points, Skip, eye_distance, pairs

# Finds the 68 landmarks of the iBUG scheme, [68, 2] in pixels, in each of uint8 [B, H, W, 3]; None without a face.
LandmarkFinder: TypeAlias = Callable[[Frames], Sequence[Points | None]]
# The same, told which face was found in each.
FaceLandmarkFinder: TypeAlias = Callable[[Frames, Sequence[Face | None]], Sequence[Points | None]]

_RIGHT_EYE, _LEFT_EYE, _MOUTH = slice(36, 42), slice(42, 48), slice(48, 68)
# Soukupova and Cech 2016: below it an eye is closed; a blink lasts at least so long (three frames at 30 per second).
CLOSED = 0.2
_SHORTEST_BLINK = 0.1
_EVALUATED_AT = 256
_NO_PAIR = "no frame shows a face both in the video and in the reference"
_NO_LANDMARKS = "no landmarks were found"


def centred_distance(points: NDArray[np.float32], reference: NDArray[np.float32], scale: float) -> float:
    """Mean distance of points [N, 2] after their means were laid on each other, in percent of `scale`."""
    moved = points - points.mean(axis=0) - (reference - reference.mean(axis=0))
    return float(np.linalg.norm(moved, axis=1).mean() / scale * 100)


class FivePoints(Meter):
    """akd5 and lmd5: the five points of the bundled detector against those of the reference."""

    names = ("akd5", "lmd5")
    looks_at_faces = True

    def __init__(self) -> None:
        self._akd, self._lmd = Mean(), Mean()

    def update(self, batch: Batch) -> None:
        scale = _EVALUATED_AT / batch.frames.shape[1]
        for points, reference in pairs(batch):
            self._akd.add(float(np.linalg.norm(points - reference, axis=1).mean()) * scale)
            self._lmd.add(centred_distance(points, reference, eye_distance(reference)))

    def result(self) -> dict[str, float]:
        return {"akd5": self._akd.value(_NO_PAIR), "lmd5": self._lmd.value(_NO_PAIR)}


class Jitter(Meter):
    """jitter: how far the five points depart from even motion, in percent of the distance between the eyes.

    The mean length of p[t + 1] - 2 p[t] + p[t - 1] over the points of all three frames in a row that show a face.
    """

    names = ("jitter",)
    looks_at_faces = True

    def __init__(self) -> None:
        self._last: list[Points | None] = [None, None]
        self._mean = Mean()

    def update(self, batch: Batch) -> None:
        for face in batch.faces:
            points = None if face is None else face.points
            before, middle = self._last
            if points is not None and middle is not None and before is not None:
                departure = np.linalg.norm(points - 2 * middle + before, axis=1).mean()
                self._mean.add(float(departure) / eye_distance(middle) * 100)
            self._last = [middle, points]

    def result(self) -> dict[str, float]:
        return {"jitter": self._mean.value("no three frames in a row show a face")}


class Landmarks68(Meter):
    """akd, lmd, m_lmd, ear and blink_rate, from landmarks that `find` gives."""

    names = ("akd", "lmd", "m_lmd", "ear", "blink_rate")
    looks_at_faces = True

    def __init__(self, find: FaceLandmarkFinder, fps: Fraction, reference: bool) -> None:
        self._find, self._fps, self._reference = find, fps, reference
        self._akd, self._lmd, self._mouth = Mean(), Mean(), Mean()
        self._openness: list[float] = []

    def update(self, batch: Batch) -> None:
        found = self._find(batch.frames, batch.faces)
        self._openness += [np.nan if points is None else eye_aspect_ratio(points) for points in found]
        scale = _EVALUATED_AT / batch.frames.shape[1]
        others = self._find(batch.reference, batch.reference_faces) if len(batch.reference) else []
        for points, other in zip(found, others, strict=False):
            if points is not None and other is not None:
                eyes = float(np.linalg.norm(other[_LEFT_EYE].mean(axis=0) - other[_RIGHT_EYE].mean(axis=0)))
                self._akd.add(float(np.linalg.norm(points - other, axis=1).mean()) * scale)
                self._lmd.add(centred_distance(points, other, eyes))
                self._mouth.add(centred_distance(points[_MOUTH], other[_MOUTH], eyes))

    def result(self) -> dict[str, float]:
        openness = np.array(self._openness)
        if not np.isfinite(openness).any():
            raise Skip(_NO_LANDMARKS)
        minutes = float(len(openness) / self._fps / 60)
        values = {
            "ear": float(np.nanmean(openness)),
            "blink_rate": count_blinks(openness, self._fps) / minutes,
        }
        if self._reference:
            compared = {"akd": self._akd, "lmd": self._lmd, "m_lmd": self._mouth}
            values |= {name: mean.value(_NO_PAIR) for name, mean in compared.items()}
        return values


def eye_aspect_ratio(points: NDArray[np.float32]) -> float:
    """Height over width of the eyes of 68 landmarks [68, 2], mean of both (Soukupova and Cech 2016, equation 1)."""
    ratios = []
    for eye in (points[_RIGHT_EYE], points[_LEFT_EYE]):
        heights = np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])
        ratios.append(heights / max(2 * np.linalg.norm(eye[0] - eye[3]), 1e-6))
    return float(np.mean(ratios))


def count_blinks(openness: NDArray[np.float64], fps: Fraction) -> int:
    """How often the eye aspect ratio [T] falls below `CLOSED` for a tenth of a second or longer."""
    closed = np.concatenate(([False], openness < CLOSED, [False]))
    begins, ends = np.flatnonzero(closed[1:] & ~closed[:-1]), np.flatnonzero(~closed[1:] & closed[:-1])
    return int(((ends - begins) / float(fps) >= _SHORTEST_BLINK - 1e-9).sum())
