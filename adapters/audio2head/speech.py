"""The sound as the networks hear it: 41 numbers every 10 ms, four rows of them for each frame.

Columns: 13 cepstral coefficients, 26 logarithms of filter bank energies, pitch in Hz, and whether it is voiced.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from thg_zoo.audio.harvest import harvest
from thg_zoo.audio.mfcc import (
    BANDS,
    COEFFICIENTS,
    HOP,
    SAMPLE_RATE,
    WINDOW,
    cepstra,
    count_windows,
    filter_bank_energies,
    pcm16,
    power_spectrum,
    windows,
)

Array = NDArray[np.float64]

RATE = SAMPLE_RATE
FPS = 25
ROWS, COLUMNS = 4, COEFFICIENTS + BANDS + 2
# Rows that are computed at once. Pitch sees so much of its surroundings on either side.
_PIECE, _MARGIN = 3000, 200


def frame_features(blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Features `[T, 4, 41]` of sound in blocks at 16 kHz, 25 frames a second; at least one.

    Two bytes a sample are kept while they are made. Silence has features as well.
    """
    samples = np.concatenate([pcm16(block) for block in blocks])
    # The published program fails with sound that fills no frame.
    missing = max(0, (ROWS - 1) * HOP + WINDOW - len(samples))
    rows = speech_features(np.pad(samples, (0, missing), mode="edge")).astype(np.float32)
    return rows[: len(rows) // ROWS * ROWS].reshape(-1, ROWS, COLUMNS)


def speech_features(samples: NDArray[np.int16]) -> Array:
    """Rows `[T, 41]` of samples `[n]` at 16 kHz, T = 1 + ceil((n - 400) / 160).

    Pitch is found in pieces of half a minute: in longer sound it is up to a few hundredths of a hertz from what the
    whole would give.
    """
    mean = samples.mean(dtype=np.float64)
    peak = max(samples.max() - mean, mean - samples.min()) or 1.0
    count = count_windows(len(samples))
    rows = np.empty((count, COLUMNS))
    for start in range(0, count, _PIECE):
        stop = min(start + _PIECE, count)
        sound = (samples[max(0, start * HOP - 1) : (stop - 1) * HOP + WINDOW] - mean) / peak
        before, sound = (sound[0], sound[1:]) if start else (0.0, sound)
        power = power_spectrum(windows(sound, before))
        rows[start:stop, :COEFFICIENTS] = cepstra(power)
        rows[start:stop, COEFFICIENTS:-2] = np.log(filter_bank_energies(power))
        first = max(0, start - _MARGIN)
        around = (samples[first * HOP : (stop + _MARGIN) * HOP] - mean) / peak
        rows[start:stop, -2] = _exactly(harvest(around)[start - first :], stop - start)
    rows[:, -2], rows[:, -1] = fill_pitch(rows[:, -2])
    return rows


def fill_pitch(pitch: Array) -> tuple[Array, Array]:
    """Pitch `[T]` with unvoiced (0) rows filled: lines between voiced ones, constant at the ends; and what was so."""
    voiced = pitch > 0
    if voiced.any():
        places = np.arange(len(pitch))
        pitch = np.interp(places, places[voiced], pitch[voiced])
    return pitch, voiced.astype(np.float64)


def _exactly(values: Array, n: int) -> Array:
    return np.pad(values[:n], (0, max(0, n - len(values))))
