"""Cutting a signal that arrives in blocks into overlapping frames, in bounded memory.

The frames do not depend on how the signal was cut into blocks, and neither does their grouping into pieces: what is
computed piece by piece is the same, bit for bit, for a whole recording and for a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_PIECE = 256

Ends: TypeAlias = Literal["reflected", "zero"]


def centred_frames(
    blocks: Iterable[NDArray[np.float64]], size: int, hop: int, ends: Ends = "reflected"
) -> Iterator[NDArray[np.float64]]:
    """Frames of `size` samples (even), every `hop`, centred on samples 0, hop, 2 hop, ...

    blocks: consecutive pieces of a signal of n samples; yields [k, size] with k = FRAMES_PER_PIECE but for the
    last; 1 + n // hop frames in all. ends: what lies beyond the signal, its mirror image (librosa before 0.9; a
    signal of at most size / 2 samples, too short for that, is continued with zeros to one sample more) or zeros.
    """
    span = (FRAMES_PER_PIECE - 1) * hop + size
    held = np.empty(0)
    for block in (_reflected if ends == "reflected" else _between_zeros)(blocks, size // 2):
        held = np.concatenate((held, block))
        while len(held) >= span:
            yield np.lib.stride_tricks.sliding_window_view(held[:span], size)[::hop]
            held = held[FRAMES_PER_PIECE * hop :]
    if len(held) >= size:
        yield np.lib.stride_tricks.sliding_window_view(held, size)[::hop]


def _reflected(blocks: Iterable[NDArray[np.float64]], pad: int) -> Iterator[NDArray[np.float64]]:
    """The signal with `pad` samples mirrored about its first and its last sample."""
    held = np.empty(0)
    started = False
    for block in blocks:
        held = np.concatenate((held, block))
        if len(held) <= pad:
            continue
        if not started:
            yield held[pad:0:-1]
            started = True
        # The last pad + 1 samples stay: they are mirrored should nothing follow.
        yield held[: -pad - 1]
        held = held[-pad - 1 :]
    if not started:
        held = np.pad(held, (0, pad + 1 - len(held)))
        yield held[pad:0:-1]
    yield held
    yield held[-2::-1]


def _between_zeros(blocks: Iterable[NDArray[np.float64]], pad: int) -> Iterator[NDArray[np.float64]]:
    """The signal with `pad` zeros before it and after it."""
    yield np.zeros(pad)
    yield from blocks
    yield np.zeros(pad)
