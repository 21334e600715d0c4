"""The 131 points of MediaPipe's face mesh that IP_LAP knows: their order in its networks, and the lines between them.

Numbers are those of the mesh (468 points); left and right are the viewer's. In the networks 74 points of the pose come
first (temples and cheeks, brows, nose, eyes), then 57 of the content: the jaw and the lips.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_LEFT_CHEEK = (162, 127, 234, 93)
_RIGHT_CHEEK = (323, 454, 356, 389)
_BROWS = (
    (70, 63, 105, 66, 107),
    (55, 65, 52, 53, 46),
    (336, 296, 334, 293, 300),
    (276, 283, 282, 295, 285),
)
_BRIDGE = (168, 6, 197, 195, 5)
_NOSTRILS = (48, 115, 220, 45, 4, 275, 440, 344, 278)
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382),
)
_JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
_LIPS = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)

_POSE = (*_LEFT_CHEEK, *_RIGHT_CHEEK, *sum(_BROWS, ()), *_BRIDGE, *_NOSTRILS, *sum(_EYES, ()))
ORDER = (*_POSE, *_JAW, *sum(_LIPS, ()))
"""The number in the mesh of each of the networks' points."""

POINTS, POSE, JAW, LIPS = len(ORDER), len(_POSE), len(_JAW), len(sum(_LIPS, ()))
CONTENT = JAW + LIPS

UPPER_LIP, LOWER_LIP = ORDER.index(0), ORDER.index(17)
"""The outer middles of the lips: how far they are apart orders frames by their mouths."""


def _lines() -> NDArray[np.int64]:
    oval = (*_LEFT_CHEEK, *_JAW, *_RIGHT_CHEEK)
    drawn = [oval, *_BROWS, (*_BRIDGE, 4), _NOSTRILS, *((*ring, ring[0]) for ring in (*_EYES, *_LIPS))]
    return np.array([[ORDER.index(a), ORDER.index(b)] for line in drawn for a, b in pairwise(line)])


LINES = _lines()
"""[125, 2] pairs of points that a sketch joins."""

OUTLINE = np.array(
    [ORDER.index(n) for n in (*_LEFT_CHEEK, *_JAW, *_RIGHT_CHEEK, *reversed(_BROWS[2]), *reversed(_BROWS[0]))]
)
"""The face within its temples, jaw and brows, once around: what is pasted."""
