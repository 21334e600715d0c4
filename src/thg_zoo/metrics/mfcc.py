"""Mel-frequency cepstral coefficients as SyncNet was trained with (python_speech_features 0.6, its defaults)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
COLUMNS_PER_SECOND = 100
COEFFICIENTS = 13
_WINDOW, _HOP, _FFT = 400, 160, 512
_BANDS, _LIFTER = 26, 22
_EMPHASIS = 0.97
_SILENCE = np.finfo(float).eps


def mfcc(samples: NDArray[np.int16]) -> Array:
    """Samples [n] of 16 bits at 16 kHz, in their own scale -> [T, 13], a hundred rows a second.

    T = 1 + ceil((n - 400) / 160), the tail continued with zeros. Coefficient 0 is the logarithm of the energy; the
    others are liftered. Without samples there are no rows.
    """
    if not len(samples):
        return np.empty((0, COEFFICIENTS))
    power = power_spectrum(windows(samples))
    cepstrum = dct(np.log(filter_bank_energies(power)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstrum[:, 0] = np.log(energies(power))
    return np.asarray(cepstrum)


def windows(samples: NDArray[np.int16]) -> Array:
    """Pre-emphasised stretches of 400 samples every 160, [T, 400]; no taper."""
    signal = samples.astype(np.float64)
    signal[1:] -= _EMPHASIS * samples[:-1]
    count = 1 + max(0, -(-(len(signal) - _WINDOW) // _HOP))
    padded = np.zeros((count - 1) * _HOP + _WINDOW)
    padded[: len(signal)] = signal
    return np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]


def power_spectrum(stretches: Array) -> Array:
    """[T, 400] -> [T, 257]."""
    return np.abs(np.fft.rfft(stretches, _FFT)) ** 2 / _FFT


def energies(power: Array) -> Array:
    """Of each stretch, [T], never 0."""
    total: Array = power.sum(axis=1)
    return np.where(total == 0, _SILENCE, total)


def filter_bank_energies(power: Array) -> Array:
    """In 26 bands, [T, 26], never 0."""
    bands = power @ _filters().T
    return np.where(bands == 0, _SILENCE, bands)


@cache
def _filters() -> Array:
    """Triangles of height 1 between bins, evenly spaced on the mel scale 2595 log10(1 + f / 700), [26, 257]."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    left, centre, right = (np.floor((_FFT + 1) * hertz / SAMPLE_RATE)[k : k + _BANDS, None] for k in range(3))
    bins = np.arange(_FFT // 2 + 1)
    rising = np.where((bins >= left) & (bins < centre), (bins - left) / np.maximum(centre - left, 1), 0)
    falling = np.where((bins >= centre) & (bins < right), (right - bins) / np.maximum(right - centre, 1), 0)
    filters: Array = rising + falling
    filters.flags.writeable = False
    return filters
