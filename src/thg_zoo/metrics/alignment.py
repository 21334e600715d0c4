"""Bringing a video to another rate, frame by frame, by exact times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

from thg_zoo.timing import resample_index

T = TypeVar("T")


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


def at_rate(frames: Iterator[T], fps: Fraction, wanted: Fraction) -> Iterator[T]:
    """The frames of a video at `fps` as they are on screen at 0, 1 / wanted, 2 / wanted, ... seconds, to its end."""
    rule = Resampler(fps, wanted)
    for frame in frames:
        for _ in range(rule.shown()):
            yield frame
