"""Frame times as exact fractions, and the rules by which output frames choose input frames.

Frame i of a video at rate f is shown from i/f until (i+1)/f seconds. Everything that must stay in step
with sound is computed here in rational numbers, so that nothing drifts however long a video is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")

EXTENSION_RULES = ("loop", "ping-pong", "mirror", "hold", "cut")

# Rates that containers and people round: 29.97 stands for 30000/1001.
_NTSC_BASES = (24, 30, 48, 60, 120)


def frame_rate(value: float | int | str | Fraction) -> Fraction:
    """A frame rate as an exact fraction; decimal spellings of the NTSC rates become n*1000/1001.

    Raises ValueError if it is not a positive finite number.
    """
    rate = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    if rate <= 0:
        raise ValueError(f"a frame rate must be positive, not {value}")
    for base in _NTSC_BASES:
        exact = Fraction(base * 1000, 1001)
        if rate != base and abs(rate - exact) < Fraction(1, 200):
            return exact
    return rate


def frames_to_cover(duration: Fraction, fps: Fraction) -> int:
    """The smallest number of frames, at least one, that last as long as `duration` seconds."""
    return max(1, math.ceil(duration * fps))


def frame_at(time: Fraction, fps: Fraction) -> int:
    """The index of the frame that is on screen at `time` seconds."""
    return math.floor(time * fps)


def resample_index(i: int, fps_out: Fraction, fps_in: Fraction) -> int:
    """The input frame on screen when output frame `i` begins."""
    return frame_at(Fraction(i) / fps_out, fps_in)


class Resampler:
    """How often each frame of a video at `fps` is shown at the rate `wanted`: ask once per frame, in order."""

    def __init__(self, fps: Fraction, wanted: Fraction) -> None:
        self._fps, self._wanted = fps, wanted
        self._index, self._done = 0, 0

    def shown(self) -> int:
        """0 where the frame is left out. Output frame i is the one on screen at i / wanted seconds."""
        times = 0
        while resample_index(self._done, self._wanted, self._fps) == self._index:
            times += 1
            self._done += 1
        self._index += 1
        return times


def at_rate(frames: Iterable[T], fps: Fraction, wanted: Fraction) -> Iterator[T]:
    """The frames of a video at `fps` as they are on screen at 0, 1 / wanted, 2 / wanted, ... seconds, to its end."""
    rule = Resampler(fps, wanted)
    for frame in frames:
        for _ in range(rule.shown()):
            yield frame


def extended_index(i: int, n: int, rule: str) -> int:
    """The frame of an `n`-frame clip that stands at position `i` of its endless extension.

    loop: 0 1 2 0 1 2; ping-pong: 0 1 2 1 0 1 (no frame shown twice in a row); mirror: 0 1 2 2 1 0 0 1 (as some
    published programs turn round); hold and cut: 0 1 2 2 2 (a cut output ends before it gets there, see
    `extended_length`). Raises ValueError for another rule.
    """
    if rule not in EXTENSION_RULES:
        raise ValueError(f"unknown extension rule {rule!r}")
    if rule == "loop":
        return i % n
    if rule == "ping-pong" and n > 1:
        position = i % (2 * n - 2)
        return position if position < n else 2 * n - 2 - position
    if rule == "mirror":
        return min(i % (2 * n), 2 * n - 1 - i % (2 * n))
    return min(i, n - 1)


def extended_length(wanted: int, n: int, rule: str) -> int:
    """How many frames an output of `wanted` frames gets from an `n`-frame clip: fewer only if it is cut."""
    return min(wanted, n) if rule == "cut" else wanted
