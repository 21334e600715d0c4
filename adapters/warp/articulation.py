"""From features of speech to the mouth that makes them.

Phonetics in a few lines: the jaw follows loudness and the first formant (open vowels have a high one), the
lips' width the second (high: spread as in "see", low: rounded as in "you"); lips close in a nasal murmur and in
the short silence before a plosive without hiss. All levels are relative to the clip's own speech, so that
recording gain plays no part. Filters look both ways, and the lips lead the sound by `LEAD` as they do in
people (Chandrasekaran et al. 2009 find 100 to 300 ms between mouth and voice).
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapters.warp.speech import RATE, Features

Track = NDArray[np.float64]

# Seconds by which the mouth is ahead of the sound.
LEAD = 0.04
# Widths of the Gaussian filters in seconds.
_JAW_SMOOTHING, _LIP_SMOOTHING, _CLOSURE_SMOOTHING = 0.034, 0.045, 0.024
# Seconds in which a mouth that is no longer driven falls to a third of its opening.
_RELEASE = 0.06
# dB below the speech's own level where speech ends, and above the noise where it begins.
_RANGE, _ABOVE_NOISE = 28.0, 8.0
# A recording whose loudest speech stays below this is silence.
_SILENCE_DB = -62.0
# Typical spectral centroids in Hz of close and open vowels, and of rounded and spread ones.
_CLOSE_OPEN, _ROUND_SPREAD = (380.0, 620.0), (1280.0, 2050.0)


class Articulation(NamedTuple):
    """Per output frame: mouth [T, 3] (jaw 0..1, width -1..1, closure 0..1); emphasis -1..1 and speaking 0..1, [T]."""

    mouth: NDArray[np.float32]
    emphasis: NDArray[np.float32]
    speaking: NDArray[np.float32]


def articulate(features: Features, n_frames: int, fps: Fraction, smoothing: float) -> Articulation:
    """The mouth at the middle of each of `n_frames` frames; smoothing scales the filters (1: as designed)."""
    reference, threshold = _levels(features)
    if reference is None:
        still = np.zeros(n_frames, np.float32)
        return Articulation(np.zeros((n_frames, 3), np.float32), still, still)
    loud = np.clip((features.level - threshold) / (reference - threshold), 0, 1.15)
    # Noise that the pitch detector takes for a voice has no more power in the low bands than above.
    voiced = _ramp(features.voicing, 0.35, 0.7) * _ramp(features.level - features.hiss, 2, 10)
    openness, spread = _vowel(features, voiced * (loud > 0.3))
    hissing = _ramp(features.hiss - features.level, -8, 2) * _ramp(features.hiss, reference - 32, reference - 20)
    closed = np.clip(_murmur(features, loud, voiced, reference) + _plosive(features, reference), 0, 1)
    jaw = 0.9 * loud**1.3 * voiced * (0.4 + 0.6 * openness) + 0.1 * hissing * (1 - voiced)
    width = loud * voiced * np.where(spread > 0, spread, 1.3 * spread * (1 - 0.6 * openness)) + 0.35 * hissing * (
        1 - voiced
    )
    closure = _gaussian(closed, _CLOSURE_SMOOTHING * smoothing)
    jaw = _gaussian(_release(_gaussian(jaw, 0.6 * _JAW_SMOOTHING * smoothing)), _JAW_SMOOTHING * smoothing)
    jaw = np.clip((jaw - 0.02) / 0.98, 0, 1) * (1 - closure)
    width = _gaussian(width, _LIP_SMOOTHING * smoothing)
    slow = _gaussian(loud * voiced, 0.12)
    tracks = [
        jaw,
        np.clip(width, -1, 1),
        np.clip(closure, 0, 1),
        np.clip(2 * (slow - _gaussian(loud * voiced, 0.6)), -1, 1),
        _gaussian((loud > 0.2).astype(np.float64), 0.35),
    ]
    times = (np.arange(n_frames) + 0.5) / float(fps) + LEAD
    sampled = np.stack([_at(track, times) for track in tracks], axis=1).astype(np.float32)
    return Articulation(sampled[:, :3], sampled[:, 3], sampled[:, 4])


def _levels(features: Features) -> tuple[float | None, float]:
    """The level of the clip's speech and the level at which speech begins, in dB; None if there is no speech."""
    level = features.level.astype(np.float64)
    loudest = float(np.quantile(level, 0.98))
    heard = level[level > loudest - 25]
    reference = float(np.quantile(heard, 0.8))
    noise = float(np.quantile(level, 0.1))
    if reference < _SILENCE_DB:
        return None, 0.0
    # Steady and unvoiced is a fan or a hiss, not somebody who never pauses.
    if reference - noise < 8 and float(np.median(features.voicing)) < 0.45:
        return None, 0.0
    threshold = max(reference - _RANGE, min(noise + _ABOVE_NOISE, reference - 12))
    return reference, threshold


def _vowel(features: Features, weight: Track) -> tuple[Track, Track]:
    """How open (0..1) and how spread (-1 rounded .. 1) the vowels are, between all people's scale and the speaker's."""
    spans = []
    for track, typical in ((features.first, _CLOSE_OPEN), (features.second, _ROUND_SPREAD)):
        own = track[weight > 0.3]
        # A clip of a few sounds says little about its speaker.
        share = 0.5 * min(1.0, len(own) / (3 * RATE))
        ends = np.quantile(own, (0.15, 0.9)) if len(own) else np.array(typical)
        spans.append((1 - share) * np.array(typical) + share * ends)
    openness = _ramp(features.first, *spans[0])
    spread = 2 * np.clip((features.second - spans[1][0]) / (spans[1][1] - spans[1][0]), 0, 1) - 1
    return openness, spread


def _murmur(features: Features, loud: Track, voiced: Track, reference: float) -> Track:
    """Voiced, quieter than vowels, and hardly anything above the lowest band: m, n, and b or d before they burst."""
    muffled = 1 - _ramp(features.level - features.low, 0.6, 2.0)
    return (
        muffled
        * voiced
        * (1 - _ramp(features.first, 350, 400))
        * (1 - _ramp(features.level, reference - 5, reference))
        * (loud > 0)
    )


def _plosive(features: Features, reference: float) -> Track:
    """A gap of 30 to 130 ms within speech; weaker where a hiss follows, which tongues make and lips do not."""
    quiet = features.level < reference - 22
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    result = np.zeros(len(quiet))
    for start, stop in edges.reshape(-1, 2):
        if start == 0 or stop == len(quiet) or not 3 <= stop - start <= 13:
            continue
        burst = float(features.hiss[stop : stop + 4].max())
        result[start:stop] = 1.0 if burst < reference - 18 else 0.35
    return result


def _release(track: Track) -> Track:
    """Falls no faster than `_RELEASE`, while rises pass."""
    decay, result, held = float(np.exp(-1 / (_RELEASE * RATE))), np.empty_like(track), 0.0
    for i, value in enumerate(track):
        held = max(float(value), held * decay)
        result[i] = held
    return result


def _ramp(values: NDArray[np.floating], low: float, high: float) -> Track:
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)


def _gaussian(track: Track, seconds: float) -> Track:
    """Smoothed by a Gaussian of a standard deviation in seconds; the ends count as silence."""
    sigma = seconds * RATE
    reach = max(1, round(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    padded = np.pad(track, reach)
    smooth: Track = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    return smooth


def _at(track: Track, times: NDArray[np.floating]) -> Track:
    """A track's values at times in seconds, linear in between."""
    positions = times * RATE - 0.5
    value: Track = np.interp(positions, np.arange(len(track)), track)
    return value
