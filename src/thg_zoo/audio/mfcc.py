"""Mel-frequency cepstral coefficients and filter bank energies as python_speech_features 0.6 makes them by default.

SyncNet and Audio2Head were trained with them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
COLUMNS_PER_SECOND = 100
COEFFICIENTS, BANDS = 13, 26
WINDOW, HOP = 400, 160
_FFT, _LIFTER = 512, 22
_EMPHASIS = 0.97
_SILENCE = np.finfo(float).eps


def pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in -1..1 as 16 bits, as which the published programs read sound."""
    levels: NDArray[np.int16] = np.clip(np.round(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    return levels


def mfcc(samples: NDArray[np.int16]) -> Array:
    """Samples [n] of 16 bits at 16 kHz, in their own scale -> [T, 13], a hundred rows a second; see `windows` for T.

    Without samples there are no rows.
    """
    return cepstra(power_spectrum(windows(samples))) if len(samples) else np.empty((0, COEFFICIENTS))


def cepstra(power: Array) -> Array:
    """Power spectra [T, 257] -> [T, 13]. Coefficient 0 is the logarithm of the energy; the others are liftered."""
    cepstrum = dct(np.log(filter_bank_energies(power)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstrum[:, 0] = np.log(energies(power))
    return np.asarray(cepstrum)


def count_windows(n_samples: int) -> int:
    """How many stretches there are: T = 1 + ceil((n - 400) / 160), the tail continued with zeros; at least one."""
    return 1 + max(0, -(-(n_samples - WINDOW) // HOP))


def windows(samples: NDArray[np.int16] | Array, before: float = 0.0) -> Array:
    """Pre-emphasised stretches of 400 samples every 160, [T, 400]; no taper. before: the sample that came before."""
    signal = samples.astype(np.float64)
    signal[0] -= _EMPHASIS * before
    signal[1:] -= _EMPHASIS * samples[:-1]
    count = count_windows(len(signal))
    padded = np.zeros((count - 1) * HOP + WINDOW)
    padded[: len(signal)] = signal
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]


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
    hertz = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    left, centre, right = (np.floor((_FFT + 1) * hertz / SAMPLE_RATE)[k : k + BANDS, None] for k in range(3))
    bins = np.arange(_FFT // 2 + 1)
    rising = np.where((bins >= left) & (bins < centre), (bins - left) / np.maximum(centre - left, 1), 0)
    falling = np.where((bins >= centre) & (bins < right), (right - bins) / np.maximum(right - centre, 1), 0)
    filters: Array = rising + falling
    filters.flags.writeable = False
    return filters
