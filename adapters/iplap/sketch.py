"""Landmarks as line drawings, the form in which IP_LAP's renderer sees them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapters.iplap.points import LINES

SIDE = 128
"""Height and width of faces and sketches in the networks."""
_GREY = 224


def draw_sketch(landmarks: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Levels 0..224 `[128, 128]` of landmarks `[2, 131]` (x, y in parts of the crop) of a crop of (height, width)."""
    canvas = draw_canvas(landmarks, size)
    return cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def draw_canvas(landmarks: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Lines of one pixel on a canvas of the crop's proportions, whose shorter side is 128.

    As published, a line of which one end lies outside of the crop is left out.
    """
    height, width = size
    shorter = min(size)
    canvas = np.zeros((height * SIDE // shorter, width * SIDE // shorter))
    limit = np.array(canvas.shape[::-1])
    ends = np.minimum(np.floor(landmarks.astype(np.float64).T * limit), limit - 1).astype(int)
    inside = np.asarray(((landmarks >= 0) & (landmarks <= 1)).all(axis=0), dtype=np.bool_)
    for a, b in LINES[inside[LINES].all(axis=1)]:
        cv2.line(canvas, ends[a].tolist(), ends[b].tolist(), (_GREY,), 1)
    return canvas
