"""What is heard of speech, a hundred times a second: loudness, voicing, and where the spectrum's weight lies.

The sound streams through in blocks of any length; only the features stay, some 3 kB for a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SAMPLE_RATE = 16000
HOP = 160
RATE = SAMPLE_RATE // HOP
_WINDOW = 512
# Silence in digital form: quieter than any microphone.
FLOOR_DB = -75.0
# Bands in Hz: (all of speech), below the vowels' colour, first formant, second formant, hiss of fricatives.
_BANDS = ((80, 5000), (80, 500), (250, 1000), (800, 2800), (3500, 7600))
_PITCH = (70, 400)
_FRAMES_AT_ONCE = 1024


class Features(NamedTuple):
    """Per 10 ms, [T] each, centred at (i + 0.5) / 100 s.

    level, low, hiss: power of speech, of its lowest band and of its highest, in dB re full scale; first, second:
    spectral centroids in Hz within the bands of the first two formants; voicing: 0 noise .. 1 periodic.
    """

    level: Array
    low: Array
    hiss: Array
    first: Array
    second: Array
    voicing: Array


def listen(blocks: Iterable[NDArray[np.float32]]) -> tuple[Features, int]:
    """Features of sound at 16 kHz given in consecutive blocks, and its length in samples."""
    # Half a window of silence on either side centres the windows on their frames.
    margin = np.zeros((_WINDOW - HOP) // 2, np.float32)
    held, n = margin, 0
    found: list[NDArray[np.float32]] = []
    for block in blocks:
        n += len(block)
        held = np.concatenate([held, block])
        count = (len(held) - _WINDOW) // HOP + 1
        if count > 0:
            found.append(_analyse(held, count))
            held = held[count * HOP :]
    total = max(1, -(-n // HOP))
    left = total - sum(len(f) for f in found)
    if left:
        tail = np.zeros((left - 1) * HOP + _WINDOW, np.float32)
        tail[: len(held)] = held[: len(tail)]
        found.append(_analyse(tail, left))
    return Features(*np.concatenate(found).T), n


def _analyse(sound: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The first `count` frames of a sound, as rows of `Features`."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[: count * HOP : HOP]
    pieces = [_describe(frames[i : i + _FRAMES_AT_ONCE]) for i in range(0, count, _FRAMES_AT_ONCE)]
    return np.concatenate(pieces).astype(np.float32)


def _describe(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features of windows [n, _WINDOW]: [n, 6]."""
    # A shelf of +6 dB per octave (pre-emphasis) lifts the second formant to the height of the first.
    spectrum = np.fft.rfft(frames * np.hanning(_WINDOW), 2 * _WINDOW)
    power = np.abs(spectrum) ** 2
    hertz = np.fft.rfftfreq(2 * _WINDOW, 1 / SAMPLE_RATE)
    scale = 4.0 / _WINDOW**2

    def band(low: float, high: float) -> slice:
        return slice(*np.searchsorted(hertz, (low, high)))

    def decibel(where: slice) -> NDArray[np.float64]:
        level: NDArray[np.float64] = 10 * np.log10(power[:, where].sum(axis=1) * scale + 10 ** (FLOOR_DB / 10))
        return level

    def centroid(where: slice, tilt: float) -> NDArray[np.float64]:
        weight = power[:, where] * hertz[where] ** tilt + 1e-12
        middle: NDArray[np.float64] = (weight * hertz[where]).sum(axis=1) / weight.sum(axis=1)
        return middle

    speech, low, first, second, hiss = (band(*b) for b in _BANDS)
    return np.stack(
        [
            decibel(speech),
            decibel(low),
            decibel(hiss),
            centroid(first, 0.0),
            centroid(second, 1.0),
            _periodicity(power),
        ],
        axis=1,
    )


def _periodicity(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest normalised autocorrelation at a lag of the voice's pitch, the window's own taper divided out."""
    hertz = np.fft.rfftfreq(2 * _WINDOW, 1 / SAMPLE_RATE)
    correlation = np.fft.irfft(power * (hertz < 1200))
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_WINDOW), 2 * _WINDOW)) ** 2)
    lags = slice(SAMPLE_RATE // _PITCH[1], SAMPLE_RATE // _PITCH[0])
    energy = correlation[:, :1] / taper[0] + 1e-9
    best: NDArray[np.float64] = (correlation[:, lags] / taper[lags] / energy).max(axis=1)
    return np.clip(best, 0.0, 1.0)
