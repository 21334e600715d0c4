"""The resampling with which models of 2019 to 2021 were trained and published."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ZERO_CROSSINGS = 64
_STEPS = 512  # table entries per zero crossing
_ROLL_OFF = 0.9475937167399596
_BETA = 14.769656459379492


def resample_kaiser_best(samples: NDArray[np.float32], rate: int, new_rate: int) -> NDArray[np.float32]:
    """What `librosa.load` did before version 0.10: resampy 0.2's `kaiser_best` filter (Smith, "Digital Audio
    Resampling", 1984-2002), with the table step of that version, which is cut to a whole number.

    samples: float32 [n]; result: float32 [ceil(n * new_rate / rate)]. Only for exact agreement with
    programs of that time: `thg_zoo.media.audio` resamples better and in bounded memory.
    """
    if rate == new_rate:
        return samples
    from scipy.signal import upfirdn

    common = math.gcd(rate, new_rate)
    up, down = new_rate // common, rate // common
    taps, centre = _polyphase_taps(up, min(1.0, new_rate / rate))
    # Output t lies on tap t * down of the enlarged grid; zeros in front bring the filter's centre there.
    lead = -centre % down
    filtered = upfirdn(np.pad(taps, (lead, 0)), samples.astype(np.float64), up, down)
    first = (centre + lead) // down
    length = int(len(samples) * (new_rate / rate))
    padded = np.zeros(math.ceil(len(samples) * new_rate / rate), dtype=np.float32)
    padded[:length] = filtered[first : first + length]
    return padded


def _polyphase_taps(up: int, scale: float) -> tuple[NDArray[np.float64], int]:
    """The filter on a grid `up` times finer than the input, and the position of its centre.

    scale: below 1 if the rate falls; the low-pass is then stretched accordingly.
    """
    grid = np.linspace(0, _ZERO_CROSSINGS, _ZERO_CROSSINGS * _STEPS + 1)
    wing = _ROLL_OFF * np.sinc(_ROLL_OFF * grid) * np.kaiser(2 * len(grid) - 1, _BETA)[len(grid) - 1 :] * scale
    step = int(scale * _STEPS)
    left = _wing_taps(wing, np.arange(up) / up * scale, step)
    right = _wing_taps(wing, np.arange(1, up + 1) / up * scale, step)
    return np.concatenate((right[::-1], left)), len(right)


def _wing_taps(wing: NDArray[np.float64], distances: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """One side of the filter: the table at distances + i * step for i = 0, 1, ..., linearly interpolated."""
    position = distances * _STEPS
    offset = position.astype(np.int64)
    index = offset + np.arange(len(wing) // step)[:, None] * step
    # Whole steps alone count: an entry in the last, incomplete one is left out.
    valid = np.arange(len(wing) // step)[:, None] < (len(wing) - offset) // step
    index = np.where(valid, index, 0)
    slope = np.append(np.diff(wing), 0.0)
    return np.where(valid, wing[index] + (position - offset) * slope[index], 0.0).ravel()
