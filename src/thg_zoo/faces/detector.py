"""What a face detector returns, and the interface that every detector has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import MediaError

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


def same_size_batches(images: Sequence[Picture] | Picture, pixels: int) -> Iterator[Picture]:
    """Consecutive pictures of one size, stacked: [B, H, W, 3], of at most `pixels` in all, but at least one.

    Raises MediaError for anything but [H, W, 3].
    """
    for shape, group in itertools.groupby(images, key=np.shape):
        if len(shape) != 3 or shape[2] != 3 or not all(shape):
            raise MediaError(f"An array of shape {shape} is no picture to look for faces in.", "Give [H, W, 3].")
        same_size = list(group)
        batch = max(1, pixels // (shape[0] * shape[1]))
        for start in range(0, len(same_size), batch):
            yield np.stack(same_size[start : start + batch])
