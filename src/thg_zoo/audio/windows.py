"""Windows of a spectrogram for the frames of a video, as Wav2Lip and others after it cut them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from thg_zoo.audio.mel import WAV2LIP_COLUMNS_PER_SECOND, WAV2LIP_SILENCE

MEL_BANDS = 80
MEL_COLUMNS = 16


def window_starts(columns: int, fps: Fraction, *, closing: bool = True) -> NDArray[np.int64]:
    """The first column of each frame's window in a spectrogram of so many columns; fewer than 16 count as 16.

    Frame i hears the 0.2 s that begin with it, as long as its window lies within. closing: one frame more, which hears
    the last 16 columns.
    """
    columns = max(columns, MEL_COLUMNS)
    starts: list[int] = []
    while (start := _window_start(len(starts), fps)) + MEL_COLUMNS <= columns:
        starts.append(start)
    return np.array([*starts, columns - MEL_COLUMNS] if closing else starts, dtype=np.int64)


def mel_windows(
    pieces: Iterable[NDArray[np.float32]], fps: Fraction, *, closing: bool = True
) -> Iterator[NDArray[np.float32]]:
    """Windows [n, 80, 16] of a spectrogram that arrives in pieces [80, k], at the columns of `window_starts`.

    A spectrogram of fewer than 16 columns (less than 0.19 s), with which the published programs fail, is continued with
    silence to 16.
    """
    held = np.empty((MEL_BANDS, 0), dtype=np.float32)
    first, made = 0, 0  # the column at which `held` begins, and the windows so far
    for piece in pieces:
        held = np.concatenate((held, piece), axis=1)
        windows = _windows_within(held, first, made, fps)
        if windows:
            yield np.stack(windows)
            made += len(windows)
        # The next window's columns have to stay, and the last 16 for the last window.
        passed = max(0, min(_window_start(made, fps) - first, held.shape[1] - MEL_COLUMNS))
        held, first = held[:, passed:], first + passed
    if held.shape[1] < MEL_COLUMNS:
        held = np.pad(held, ((0, 0), (0, MEL_COLUMNS - held.shape[1])), constant_values=WAV2LIP_SILENCE)
    rest = _windows_within(held, first, made, fps)
    if closing:
        rest.append(held[:, -MEL_COLUMNS:])
    if rest:
        yield np.stack(rest)


def _windows_within(held: NDArray[np.float32], first: int, made: int, fps: Fraction) -> list[NDArray[np.float32]]:
    """The windows from number `made` on that lie within the columns held, of which the first is number `first`."""
    windows: list[NDArray[np.float32]] = []
    while (start := _window_start(made + len(windows), fps) - first) + MEL_COLUMNS <= held.shape[1]:
        windows.append(held[:, start : start + MEL_COLUMNS])
    return windows


def _window_start(frame: int, fps: Fraction) -> int:
    # In floating point as published: in exact arithmetic some windows would begin one column later.
    return int(frame * (WAV2LIP_COLUMNS_PER_SECOND / float(fps)))
