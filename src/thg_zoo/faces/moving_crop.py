"""A square that follows a person's face through a driving clip, for people who walk about."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face, Picture

# The longer side of the face's box and a tenth on either side, as in `face_crop`.
_MARGIN = 1.2


class MovingCrop:
    """Grows with every frame; what it keeps is one point per frame.

    The square has one size for all frames, that of the largest face, so that a head that comes nearer grows. Where a
    face is missing the square stays; before the first it waits there. first: the first frame with a face, None as long
    as there was none.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.seen = 0
        self._side = 0.0
        self._centres: list[NDArray[np.float64]] = []

    def add(self, face: Face | None) -> None:
        """The next frame's face, its position smoothed."""
        if face is not None:
            corners = face.box.astype(np.float64).reshape(2, 2)
            self._side = max(self._side, float((corners[1] - corners[0]).max()) * _MARGIN)
            if self.first is None:
                self.first = self.seen
                self._centres = [corners.mean(0)] * self.seen
            self._centres.append(corners.mean(0))
        elif self._centres:
            self._centres.append(self._centres[-1])
        self.seen += 1

    def cut(self, frame: Picture, index: int) -> Picture:
        """The square of frame `index`, to a part of a pixel, so that it does not tremble; borders are repeated."""
        side = round(self._side)
        # A box's corner at x is the edge of a pixel, whose centre is at x + 0.5 for the sampler.
        x, y = self._centres[min(index, len(self._centres) - 1)] - 0.5
        return cv2.getRectSubPix(frame, (side, side), (float(x), float(y))).astype(np.uint8, copy=False)
