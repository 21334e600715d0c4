"""The driving frame whose face is most like the source's: where relative motion best begins.

Source: `find_best_frame` of the first-order-motion reference implementation, which compares 68 landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def normalised_landmarks(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Landmarks `[N, 2]` about their mean, in units of the square root of the area of their hull."""
    from scipy.spatial import ConvexHull

    centred: NDArray[np.float64] = np.asarray(landmarks, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    normalised: NDArray[np.float64] = centred / float(ConvexHull(centred).volume) ** 0.5
    return normalised


def landmark_distance(source: NDArray[np.floating], driving: NDArray[np.floating]) -> float:
    """Sum of squared differences of two normalised sets of landmarks `[N, 2]`."""
    return float(((normalised_landmarks(source) - normalised_landmarks(driving)) ** 2).sum())


def best_frame(source: NDArray[np.floating], driving: Iterable[NDArray[np.floating] | None]) -> int | None:
    """Index of the first driving frame of least distance; frames without a face (None) do not count.

    None where no frame has a face.
    """
    best, least = None, float("inf")
    for i, landmarks in enumerate(driving):
        if landmarks is not None and (distance := landmark_distance(source, landmarks)) < least:
            best, least = i, distance
    return best
