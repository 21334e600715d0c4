"""When the eyes close: at random, as published."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

_SHAPE = np.array([0.5, 0.9, 1.0, 0.9, 0.5], np.float32)
_EARLIEST, _LATEST = 10, 70
# Speech this short has no blink.
_SHORTEST = 22


def blink_ratio(n_frames: int, chance: random.Random) -> NDArray[np.float32]:
    """How far the eyes are closed in each frame, `[T, 1]` in 0..1.

    The next blink begins after 10 to 69 frames of open eyes, in short videos after half of them at most; it is over
    five frames later. With fewer than 22 frames the eyes stay open (with 21 the published program fails).
    """
    ratio = np.zeros((n_frames, 1), np.float32)
    if n_frames < _SHORTEST:
        return ratio
    pauses = range(min(_EARLIEST, n_frames), min(n_frames // 2, _LATEST))
    begin = chance.choice(pauses)
    while begin + len(_SHAPE) <= n_frames - 1:
        ratio[begin : begin + len(_SHAPE), 0] = _SHAPE
        begin += len(_SHAPE) + chance.choice(pauses)
    return ratio
