"""The sound as the networks hear it: one window of a spectrogram for each frame, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.audio.mel import WAV2LIP_COLUMNS_PER_SECOND, WAV2LIP_RATE, sadtalker_mel_blocks

Blocks: TypeAlias = Iterable[NDArray[np.float32]]

RATE = WAV2LIP_RATE
FPS = 25
SAMPLES_PER_FRAME = RATE // FPS
BANDS, COLUMNS = 80, 16
# Frames heard at once.
_PIECE = 256


def count_frames(blocks: Blocks) -> int:
    """How many frames the sound fills: what is left over at its end gets none, but the first frame is always there."""
    return max(1, sum(len(block) for block in blocks) // SAMPLES_PER_FRAME)


def speech_windows(blocks: Blocks, n_frames: int) -> Iterator[NDArray[np.float32]]:
    """Windows `[k, 80, 16]` of the first `n_frames` frames of sound in blocks at 16 kHz, which may be shorter.

    Frame i hears the 0.2 s that begin two frames before it; beyond its ends the spectrogram stands still.
    """
    starts = window_starts(n_frames)
    held = np.empty((BANDS, 0), np.float32)
    first = made = 0  # the column at which `held` begins, and the windows so far
    for piece in sadtalker_mel_blocks(_exactly(blocks, n_frames * SAMPLES_PER_FRAME)):
        held = np.concatenate((held, piece), axis=1)
        end = first + held.shape[1]
        ready = int(np.searchsorted(starts, end - COLUMNS, side="right"))
        if ready > made:
            yield _windows(held, starts[made:ready] - first)
            made = ready
        # The next window's columns have to stay, and the last one, which windows beyond the end repeat.
        passed = max(0, min(starts[made] if made < n_frames else end, end - 1) - first)
        held, first = held[:, passed:], first + passed
    if made < n_frames:
        yield _windows(held, starts[made:] - first)


def unheard_windows(n_frames: int) -> Iterator[NDArray[np.float32]]:
    """Windows of a face that listens to nothing: zeros, as published, which are not the -4 of silence."""
    for start in range(0, n_frames, _PIECE):
        yield np.zeros((min(_PIECE, n_frames - start), BANDS, COLUMNS), np.float32)


def window_starts(n_frames: int) -> NDArray[np.int64]:
    """The first column of each frame's window; it may lie before the beginning."""
    # In floating point and towards zero as published: exact arithmetic would begin some windows elsewhere.
    return np.trunc(WAV2LIP_COLUMNS_PER_SECOND * ((np.arange(n_frames) - 2) / FPS)).astype(np.int64)


def _windows(held: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    columns = np.clip(starts[:, None] + np.arange(COLUMNS), 0, held.shape[1] - 1)
    return np.ascontiguousarray(held[:, columns].transpose(1, 0, 2))


def _exactly(blocks: Blocks, n: int) -> Iterator[NDArray[np.float32]]:
    """The first n samples, continued with zeros if there are fewer."""
    left = n
    for block in blocks:
        if left:
            yield block[:left]
            left -= len(block[:left])
    if left:
        yield np.zeros(left, np.float32)
