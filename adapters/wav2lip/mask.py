"""Pasting only what the network is there for: the mouth and the jaw, with soft edges."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapters.wav2lip.networks import FACE_SIZE
from thg_zoo.adapters.wav2lip.processing import Box, Frame, paste_face

# An ellipse in fractions of the box: mouth and jaw lie inside, the border of the box outside. The weight is 1 up to
# _CORE of its radius and falls to 0 at its edge.
_CENTRE = (0.5, 0.70)
_RADII = (0.44, 0.30)
_CORE = 0.6


@cache
def mouth_mask() -> NDArray[np.float32]:
    """Weights [96, 96] of the network's face: 1 on the mouth, 0 on the upper face and along the border."""
    position = (np.arange(FACE_SIZE) + 0.5) / FACE_SIZE
    x, y = (position - _CENTRE[0]) / _RADII[0], (position - _CENTRE[1]) / _RADII[1]
    radius = np.hypot(x[None, :], y[:, None])
    t = np.clip((1 - radius) / (1 - _CORE), 0, 1)
    mask: NDArray[np.float32] = (t * t * (3 - 2 * t)).astype(np.float32)
    mask.flags.writeable = False
    return mask


def blend_face(frame: Frame, face: Frame, box: Box, shown: float, mouth_only: bool) -> None:
    """The network's face [96, 96, 3] over the box of the frame, in place.

    shown: its weight, 0..1; mouth_only: times `mouth_mask`. Pixels of weight 0 stay as they are.
    """
    if shown <= 0:
        return
    if shown >= 1 and not mouth_only:
        paste_face(frame, face, box)
        return
    top, bottom, left, right = (int(edge) for edge in box)
    region = frame[top:bottom, left:right]
    size = (right - left, bottom - top)
    new = cv2.resize(face, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    weight: NDArray[np.float32] | float = shown
    if mouth_only:
        weight = shown * cv2.resize(mouth_mask(), size, interpolation=cv2.INTER_LINEAR)[..., None]
    region[:] = np.rint(region + (new - region) * weight)
