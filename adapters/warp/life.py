"""What makes a still picture look alive besides speech: blinks and small head motion, fixed by a seed.

Blinks come at log-normal intervals around four seconds, close in a tenth of a second and open more slowly
(Bentivoglio et al. 1997; the profile follows Trutoiu et al. 2011). The head drifts as smooth noise, more
while it speaks, and nods with the voice's emphasis (Munhall et al. 2004).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Track = NDArray[np.float32]

# Standard deviations of yaw, pitch and roll in radians, and of shifts to the side and down in face units.
_AMPLITUDE = np.array([0.030, 0.017, 0.017, 0.018, 0.012])
# The head rolls about its neck, below the chin.
_NECK = 1.9
# Radians by which an emphasised syllable lowers the head.
_NOD = 0.028
# Seconds: shortest correlation time of the head's drift, and how fast it departs from the picture's own pose.
_DRIFT, _DEPARTURE = 0.45, 0.8
_CLOSING, _SHUT, _OPENING = 0.09, 0.05, 0.20
_INTERVAL, _SPREAD, _SHORTEST = 3.8, 0.45, 0.9


def head_motion(n: int, fps: Fraction, rng: np.random.Generator, emphasis: Track, speaking: Track) -> Track:
    """Poses [n, 8] (see `field.POSE`), small, beginning at rest."""
    time = np.arange(n) / float(fps)
    drift = np.zeros((n, len(_AMPLITUDE)))
    for octave, share in enumerate((0.8, 0.5, 0.25)):
        drift += share * _smooth_noise(time, _DRIFT * 2.0 ** (2 - octave), len(_AMPLITUDE), rng)
    pose = drift * _AMPLITUDE * (0.55 + 0.45 * speaking[:, None])
    pose[:, 1] += _NOD * emphasis
    departure = np.clip(time / _DEPARTURE, 0, 1)
    pose *= (departure**2 * (3 - 2 * departure))[:, None]
    yaw, pitch, roll, right, down = pose.T
    none = np.zeros(n)
    return np.stack([yaw, pitch, none, roll, -_NECK * roll - right, -roll, none, -down], axis=1).astype(np.float32)


def _smooth_noise(
    time: NDArray[np.float64], period: float, columns: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Noise of unit variance that is drawn every `period` seconds and joined by cubic B-splines: [n, columns]."""
    knots = int(time[-1] / period) + 4
    values = rng.standard_normal((knots, columns))
    at = time / period
    index = at.astype(int)
    t = (at - index)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    total = sum(w / 6 * values[index + k] for k, w in enumerate(weights))
    # The variance of a cubic B-spline's samples, averaged over a knot interval.
    smooth: NDArray[np.float64] = np.asarray(total) / np.sqrt(0.479)
    return smooth


def blinks(n: int, fps: Fraction, rng: np.random.Generator, rate: float) -> Track:
    """How far the lids are closed, 0..1, at the middle of each of `n` frames; rate 1 is natural, 0 means never."""
    time = (np.arange(n) + 0.5) / float(fps)
    closed = np.zeros(n)
    start = float(rng.uniform(0.6, 2.2)) / rate if rate else np.inf
    while start < n / float(fps):
        peak = float(rng.uniform(0.94, 1.0))
        since = time - start
        falling = np.clip(since / _CLOSING, 0, 1)
        rising = np.clip((since - _CLOSING - _SHUT) / _OPENING, 0, 1)
        closed = np.maximum(closed, peak * _ease(falling) * (1 - _ease(rising)))
        twice = rng.uniform() < 0.08
        start += 0.45 if twice else max(_SHORTEST, float(rng.lognormal(np.log(_INTERVAL), _SPREAD)) / rate)
    return closed.astype(np.float32)


def _ease(x: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = x * x * (3 - 2 * x)
    return smooth


def brows(emphasis: Track) -> Track:
    """How far the brows are raised, 0..1: with strong emphasis only."""
    return np.asarray(np.clip(1.6 * (emphasis - 0.25), 0, 1), np.float32)
