"""What a face detector returns, and the interface that every detector has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
Box: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture, in pixels of that picture.

    box: float32 [4], the edges x1, y1, x2, y2: `picture[y1:y2, x1:x2]` holds the face. It lies inside the
    picture (0 <= x1 < x2 <= width).
    points: float32 [5, 2], x and y of left eye, right eye, nose, left and right corner of the mouth, where
    left means left in the picture when the face is upright. A whole number is the centre of a pixel, as in
    OpenCV and in `thg_zoo.faces.transforms`. Points may lie outside the picture. None from a detector that
    finds boxes alone.
    score: 0..1, how sure the detector is.
    """

    box: Box
    points: NDArray[np.float32] | None
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.box)
        return (x2 - x1) * (y2 - y1)


class FaceDetector(Protocol):
    """Finds faces in pictures. Results depend on each picture alone, never on its neighbours in the batch."""

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """The faces of each picture, by falling score.

        images: RGB uint8, a sequence of [H, W, 3] of any sizes, or one array [B, H, W, 3].
        """
        ...
