"""When each picture of a video is shown, from its packets (nothing is decoded), and the rate they keep.

A header only states a rate rounded to two decimals: 29.97 may be 30000/1001 or the mean of a telephone's wandering
clock. Ten minutes later the difference is a visible one, so the time stamps themselves are read.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import MediaError, MediaLimitError
from thg_zoo.media.ffmpeg import Process, input_arguments, read_lines
from thg_zoo.media.header import Header
from thg_zoo.media.limits import Limits

_NO_TIMESTAMP = -(2**63)
_NTSC = tuple(Fraction(n * 1000, 1001) for n in (12, 24, 30, 48, 60, 120, 240))
# Containers round time stamps to their clock (1 ms in Matroska, 10 ms in gif): two ticks span any rounding.
_ROUNDING_TICKS = 2
_MOST_DENOMINATOR = 1001


@dataclass(frozen=True)
class FrameTiming:
    """`fps`: exact rate, or the mean rate if it varies. `constant`: every time stamp is within half a frame of a
    regular grid. `first`: seconds from the file's beginning to the first picture. `end`: seconds to the end of the
    last one. `jitter`: largest distance from the grid, in frames. `packets`: their number."""

    fps: Fraction
    constant: bool
    first: Fraction
    end: Fraction
    jitter: float
    packets: int

    @property
    def lead(self) -> int:
        """How often a reader at the file's own constant rate repeats the first frame until the track begins."""
        return max(0, round(self.first * self.fps)) if self.constant else 0

    @property
    def n_frames(self) -> int:
        """Frames that a reader at the file's own rate will give."""
        return self.lead + self.packets if self.constant else self.n_frames_at(self.fps)

    def n_frames_at(self, fps: Fraction) -> int:
        """Frames that a reader at another rate will give."""
        return max(1, round(self.end * fps))


def read_timing(header: Header, limits: Limits) -> FrameTiming:
    """Read the time stamps of all packets of the picture track.

    Raises MediaError for a track without pictures or one that is cut off (saying where), MediaLimitError for one
    above `limits`.
    """
    ticks, tick, last_duration, cut_off = _packets(header, limits)
    first = ticks[0] * tick - header.origin if len(ticks) else Fraction(0)
    end = ticks[-1] * tick + last_duration - header.origin if len(ticks) else Fraction(0)
    if cut_off:
        whole = f" of {float(header.duration):.1f} s" if header.duration else ""
        raise MediaError(
            f"{header.path} is cut off: it can be decoded up to {float(max(end, Fraction(0))):.1f} s{whole}.",
            "Copy or download it again, or save the part that is whole as a new file.",
        )
    if not len(ticks):
        raise MediaError(f"{header.path} has a picture track without pictures.", "Check how the file was made.")
    fps, constant, jitter = fit_rate(ticks, tick, header.video.fps if header.video else None)
    limits.check_fps(str(header.path), fps)
    # A container may state no duration for the last packet; it is shown for one frame.
    return FrameTiming(
        fps, constant, first, max(end, first + len(ticks) / fps if constant else end), jitter, len(ticks)
    )


def _packets(header: Header, limits: Limits) -> tuple[NDArray[np.int64], Fraction, Fraction, bool]:
    """Sorted presentation times in ticks, the tick in seconds, the last packet's duration in seconds, and whether
    the file ends too early."""
    most = limits.max_seconds * limits.max_fps
    tick, stamps, last = Fraction(1, 1000), array("q"), (_NO_TIMESTAMP, 0)
    process = Process(
        ["-copyts", *input_arguments(header.path), "-map", "0:v:0", "-c", "copy", "-f", "framecrc", "pipe:1"], read=True
    )
    try:
        for line in read_lines(process.stdout):
            if line.startswith(b"#"):
                if line.startswith(b"#tb 0: "):
                    tick = Fraction(line[7:].decode().strip())
                continue
            decoding, presentation, duration = (int(field) for field in line.split(b",", 4)[1:4])
            # AVI knows the order of decoding alone; the set of times is the same, only their order differs.
            stamps.append(presentation if presentation != _NO_TIMESTAMP else decoding)
            if len(stamps) > most:
                raise MediaLimitError(
                    f"{header.path} has more than {most:.0f} pictures.", "Cut it, or raise THG_ZOO_MAX_SECONDS."
                )
            last = max(last, (stamps[-1], duration))
    finally:
        process.kill()
    ticks = np.sort(np.frombuffer(stamps, dtype=np.int64))
    return ticks, tick, last[1] * tick, process.cut_off


def fit_rate(ticks: NDArray[np.int64], tick: Fraction, stated: float | None) -> tuple[Fraction, bool, float]:
    """The rate of sorted time stamps: (frames per second, whether constant, largest distance from a grid in frames).

    A usual rate (whole, or x 1000/1001) is taken if it explains every stamp within the container's rounding, then
    the `stated` one (of two decimals), otherwise the mean.
    """
    span = int(ticks[-1] - ticks[0]) * tick
    if len(ticks) < 2 or span == 0:
        return _nearest_usual(Fraction(stated or 25).limit_denominator(_MOST_DENOMINATOR)), True, 0.0
    mean = (len(ticks) - 1) / span
    rounded = Fraction(stated).limit_denominator(100) if stated else mean
    for rate in (_nearest_usual(mean), rounded, mean.limit_denominator(_MOST_DENOMINATOR)):
        deviation = _deviation(ticks, tick, rate)
        if deviation <= _ROUNDING_TICKS * tick:
            break
    jitter = deviation * float(rate)
    return rate, jitter < 0.5, jitter


def _nearest_usual(rate: Fraction) -> Fraction:
    whole = Fraction(max(1, round(rate)))
    return min((whole, *_NTSC), key=lambda usual: abs(usual - rate))


def _deviation(ticks: NDArray[np.int64], tick: Fraction, rate: Fraction) -> float:
    """Largest distance, in seconds, of the stamps from the best regular grid of `rate`."""
    off = (ticks - ticks[0]) * float(tick) - np.arange(len(ticks)) / float(rate)
    return float(off.max() - off.min()) / 2
