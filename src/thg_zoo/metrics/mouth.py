"""How far the mouth is open, as far as pictures tell, against how loud the sound is."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.transforms import similarity_from_points, warp_crop
from thg_zoo.metrics.meter import Batch, Meter, Points, Skip, eye_distance

LOUDNESS_RATE = 16_000
# What counts as silence, in dB re full scale, and how far below the loudest frame speech still matters.
_FLOOR, _RANGE = 1e-10, 50.0
# The region of the mouth in a face whose eyes are 1 apart: half its width, and how far it reaches up and down.
_HALF_WIDTH, _ABOVE, _BELOW = 0.5, 0.22, 0.5
_SIZE = (28, 32)
# A pixel is as bright as that, or brighter, while the mouth does not open over it.
_CLOSED = 0.8
# Points are averaged over so many frames before the mouth is cut out: their trembling is no opening.
_SMOOTHED = 5
_FEWEST = 8


class MouthMeter(Meter):
    """lip_loudness, and the curves behind it.

    An open mouth shows a dark cavity. The mouth is cut out in step with the face; how much darker its pixels are than
    they are for a fifth of the time, on average, is taken for its opening. That is no distance in pixels, and changing
    light disturbs it, but it needs no landmarks on the lips. 0.9 kB are kept of each frame.
    """

    names = ("lip_loudness",)
    looks_at_faces = True

    def __init__(self, blocks: Iterable[NDArray[np.float32]], fps: Fraction) -> None:
        self._loudness = loudness(blocks, fps)
        self._crops: list[NDArray[np.uint8] | None] = []
        self._recent: list[Points] = []

    def update(self, batch: Batch) -> None:
        for frame, face in zip(batch.frames, batch.faces, strict=True):
            if face is None or face.points is None:
                self._crops.append(None)
                self._recent.clear()
                continue
            self._recent = [*self._recent[1 - _SMOOTHED :], face.points]
            self._crops.append(mouth_crop(frame, np.mean(self._recent, axis=0)))

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(opening, loudness), [T] each and 0..1, NaN where no face was seen; None if there is too little of either."""
        n = min(len(self._crops), len(self._loudness))
        seen = np.array([crop is not None for crop in self._crops[:n]], bool)
        if seen.sum() < _FEWEST:
            return None
        loud = self._loudness[:n]
        crops = np.stack([crop for crop in self._crops[:n] if crop is not None]).astype(np.float32)
        closed = np.quantile(crops, _CLOSED, axis=0)
        opening = np.full(n, np.nan)
        opening[seen] = np.maximum(closed - crops, 0).mean(axis=(1, 2)) / 255
        return opening, loud

    def result(self) -> dict[str, float]:
        curves = self.curves()
        if curves is None:
            raise Skip(f"fewer than {_FEWEST} frames show a face while there is sound")
        opening, loud = curves
        seen = np.isfinite(opening)
        if np.ptp(loud[seen]) < 1e-6 or np.ptp(opening[seen]) < 1e-6:
            raise Skip("the mouth does not move" if np.ptp(opening[seen]) < 1e-6 else "the sound does not vary")
        return {"lip_loudness": float(np.corrcoef(opening[seen], loud[seen])[0, 1])}


def mouth_crop(frame: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The mouth as grey levels [28, 32], turned upright and scaled by the eyes of the five points [5, 2]."""
    eyes = np.asarray(points[:2], np.float64)
    mouth = np.asarray(points[3:], np.float64).mean(axis=0)
    across = (eyes[1] - eyes[0]) / eye_distance(np.asarray(points, np.float32))
    down = np.array([-across[1], across[0]])
    unit = eye_distance(np.asarray(points, np.float32))
    left, right = mouth - across * unit * _HALF_WIDTH, mouth + across * unit * _HALF_WIDTH
    height, width = _SIZE
    middle = height * _ABOVE / (_ABOVE + _BELOW)
    target = np.array([[0.0, middle], [width - 1.0, middle], [(width - 1) / 2, height - 1.0]])
    matrix = similarity_from_points(np.stack([left, right, mouth + down * unit * _BELOW]), target)
    return np.asarray(cv2.cvtColor(warp_crop(frame, matrix, _SIZE), cv2.COLOR_RGB2GRAY), np.uint8)


def loudness(blocks: Iterable[NDArray[np.float32]], fps: Fraction) -> NDArray[np.float64]:
    """How loud the sound is while each frame is shown: 0..1 over the upper 50 dB of its own range, [T].

    blocks: consecutive pieces of sound at `LOUDNESS_RATE`; the energy of every sample goes to the frame on screen.
    """
    energies: list[float] = []
    counts: list[int] = []
    done = 0
    for block in blocks:
        power = np.square(block.astype(np.float64))
        frame = ((np.arange(done, done + len(block)) * fps.numerator) // (LOUDNESS_RATE * fps.denominator)).astype(int)
        done += len(block)
        for index in np.unique(frame):
            if index == len(energies):
                energies.append(0.0)
                counts.append(0)
            energies[index] += float(power[frame == index].sum())
            counts[index] += int((frame == index).sum())
    if not energies:
        return np.empty(0)
    level = 10 * np.log10(np.array(energies) / np.array(counts) + _FLOOR)
    relative: NDArray[np.float64] = np.clip((level - level.max()) / _RANGE + 1, 0, 1)
    return relative
