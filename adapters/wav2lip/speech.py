"""The sound as the network hears it, frame by frame, and where nobody speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from thg_zoo.adapters.wav2lip.options import Wav2LipOptions
from thg_zoo.audio.mel import WAV2LIP_COLUMNS_PER_SECOND, WAV2LIP_RATE, WAV2LIP_SILENCE, wav2lip_mel_blocks
from thg_zoo.audio.windows import MEL_BANDS, MEL_COLUMNS, mel_windows, window_starts
from thg_zoo.motion import Parameters

Blocks: TypeAlias = Iterable[NDArray[np.float32]]

_HOP = WAV2LIP_RATE // WAV2LIP_COLUMNS_PER_SECOND
# A spectrogram of n samples has 1 + n // 200 columns; one of 400 samples or fewer is continued to 401.
_FEWEST_SAMPLES = 401
# A window's columns reach two hops beyond it on either side.
_REACH = 2
# Power of what no recording is quieter than, and the level in dB below which everything is silence.
_FLOOR, _QUIET = 1e-10, -70.0
# Frames over which what is kept and what is drawn are blended.
_FADE = 5
_PIECE = 256


@dataclass(frozen=True)
class Cues:
    """What each frame does, [n] bool: `silent` ones hear digital silence, `kept` ones are left as they are."""

    silent: NDArray[np.bool_]
    kept: NDArray[np.bool_]

    @property
    def shown(self) -> NDArray[np.float32]:
        """How much of the redrawn face each frame shows, 0..1: it fades within frames that are kept only."""
        half = _FADE // 2
        ones = np.ones(_FADE)
        drawn = np.convolve(np.pad(~self.kept, half, mode="edge"), ones, mode="valid") > 0
        weight = np.convolve(np.pad(drawn, half, mode="edge"), ones / _FADE, mode="valid")
        return np.where(self.kept, weight, 1).astype(np.float32)


def listen(blocks: Blocks) -> tuple[int, NDArray[np.float64]]:
    """Number of samples, and the level in dB re full scale of every 200 of them: 320 bytes a second stay."""
    n, held = 0, np.empty(0, np.float32)
    levels: list[NDArray[np.float64]] = []
    for block in blocks:
        n += len(block)
        held = np.concatenate((held, block))
        whole = len(held) // _HOP * _HOP
        levels.append(_levels(held[:whole]))
        held = held[whole:]
    if len(held):
        levels.append(_levels(np.pad(held, (0, _HOP - len(held)))))
    return n, np.concatenate(levels)


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    power = np.square(samples.reshape(-1, _HOP), dtype=np.float64).mean(axis=1)
    decibel: NDArray[np.float64] = 10 * np.log10(power + _FLOOR)
    return decibel


def plan(samples: int, levels: NDArray[np.float64], fps: Fraction, video_frames: int, options: Wav2LipOptions) -> Cues:
    """The cues of all frames: as many as there are windows, and with option `rest` those of a longer video."""
    starts = window_starts(1 + max(samples, _FEWEST_SAMPLES) // _HOP, fps)
    rest = 0 if options.rest == "cut" else max(0, video_frames - len(starts))
    quiet = np.append(~_speaking(levels, starts, options.silence_level), np.ones(rest, dtype=bool))
    after = np.arange(len(quiet)) >= len(starts)
    return Cues(
        silent=after | (quiet & (options.silence == "close")),
        kept=(after & (options.rest == "keep")) | (~after & quiet & (options.silence == "keep")),
    )


def _speaking(levels: NDArray[np.float64], starts: NDArray[np.int64], silence_level: float) -> NDArray[np.bool_]:
    """Whether anything in the window of each frame is louder than silence."""
    loud = levels > max(levels.max() + silence_level, _QUIET)
    before = np.concatenate(([0], np.cumsum(loud)))
    first = np.clip(starts - _REACH, 0, len(loud))
    last = np.clip(starts + MEL_COLUMNS + _REACH, 0, len(loud))
    speaking: NDArray[np.bool_] = before[last] > before[first]
    return speaking


def pieces(blocks: Callable[[], Blocks], cues: Cues, fps: Fraction) -> Iterator[Parameters]:
    """mel [k, 1, 80, 16] and shown [k], piece by piece: the sound is decoded as it is needed."""
    shown = cues.shown
    done = 0
    for windows in _continued(mel_windows(wav2lip_mel_blocks(blocks()), fps), len(shown)):
        rows = slice(done, done + len(windows))
        windows[cues.silent[rows]] = WAV2LIP_SILENCE
        yield {"mel": torch.from_numpy(windows)[:, None], "shown": torch.from_numpy(shown[rows])}
        done += len(windows)


def _continued(windows: Iterator[NDArray[np.float32]], n: int) -> Iterator[NDArray[np.float32]]:
    """`n` windows: after those of the sound come empty ones."""
    done = 0
    for piece in windows:
        yield piece
        done += len(piece)
    for start in range(done, n, _PIECE):
        yield np.full((min(_PIECE, n - start), MEL_BANDS, MEL_COLUMNS), WAV2LIP_SILENCE, dtype=np.float32)
