"""How visible the border of a pasted part is: edges in the result that the source does not have there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.metrics.meter import Batch, Mean, Meter, Skip

# Grey levels that compression alone changes; a part smaller than this share of the picture is no pasted part.
_CHANGED = 10
_SMALLEST = 0.002
_REACH = 3


class Seam(Meter):
    """seam: see `seam_visibility`; the mean over the frames in which a part of the source's picture has changed."""

    names = ("seam",)

    def __init__(self, source: NDArray[np.uint8]) -> None:
        self._source = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float32)
        self._mean = Mean()

    def update(self, batch: Batch) -> None:
        if batch.frames.shape[1:3] != self._source.shape:
            raise Skip("the frames are not the source's picture with a part replaced: they have another size")
        for frame in batch.frames:
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
            visible = seam_visibility(grey, self._source)
            if visible is not None:
                self._mean.add(visible)

    def result(self) -> dict[str, float]:
        return {"seam": self._mean.value("no part of the picture, but for specks, differs from the source")}


def seam_visibility(grey: NDArray[np.float32], source: NDArray[np.float32]) -> float | None:
    """By how many grey levels per pixel the gradient at the border of the changed part exceeds the source's.

    Both [H, W], 0..255. The changed part is the largest connected one, holes filled; of each pixel of its outline the
    largest excess within 3 pixels counts, and these are averaged. None if nothing has changed.
    """
    changed = (cv2.GaussianBlur(np.abs(grey - source), (0, 0), 1.0) > _CHANGED).astype(np.uint8)
    count, labels, sizes, _ = cv2.connectedComponentsWithStats(changed)
    largest = 1 + int(np.argmax(sizes[1:, cv2.CC_STAT_AREA])) if count > 1 else 0
    if not largest or sizes[largest, cv2.CC_STAT_AREA] < _SMALLEST * grey.size:
        return None
    outline, _ = cv2.findContours((labels == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y = np.concatenate(outline)[:, 0].T
    # Where the part ends with the picture there is no border to see.
    inside = (x > _REACH) & (y > _REACH) & (x < grey.shape[1] - 1 - _REACH) & (y < grey.shape[0] - 1 - _REACH)
    if not inside.any():
        return None
    excess = np.maximum(_gradient(grey) - _gradient(source), 0).astype(np.float32)
    across = cv2.dilate(excess, np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8))
    return float(across[y[inside], x[inside]].mean())


def _gradient(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Its length in levels per pixel."""
    y, x = np.gradient(grey)
    length: NDArray[np.float32] = np.hypot(y, x)
    return length
