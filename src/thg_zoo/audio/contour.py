"""From many candidates of pitch per millisecond to one contour (the second half of Harvest; see
`thg_zoo.audio.harvest`).

Sections of the best candidates are cleaned, followed into their surroundings, merged where they overlap, and smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

# Relative changes per millisecond: of the best candidates, and of those followed further.
_STEADY, _FOLLOWED = 0.008, 0.18
# Milliseconds: shortest section; how far it is followed, over how long a gap; longest gap that is bridged.
_SHORTEST, _REACH, _LOST, _BRIDGED = 6, 100, 4, 9
# A section has to last so many periods (of a millisecond at 1 Hz).
_PERIODS = 2200.0
# A second-order low-pass, and how long it takes to settle.
_B = np.array([0.0078202080334971724, 0.015640416066994345, 0.0078202080334971724])
_A = np.array([1.0, -1.7347257688092754, 0.76600660094326412])
_SETTLING = 300


@dataclass
class Section:
    """A voiced stretch, milliseconds `start` to `end` inclusively, in a contour of its own [T]."""

    start: int
    end: int
    contour: Array


def best_contour(candidates: Array, scores: Array) -> Array:
    """Pitch [T] from candidates [T, C] with scores [T, C], 0 where nothing is voiced."""
    best = np.take_along_axis(candidates, scores.argmax(1)[:, None], axis=1)[:, 0]
    steady = _without_short(_without_jumps(best))
    return _smoothed(_bridged(_merged(_followed(steady, candidates), candidates, scores, steady)))


def _without_jumps(contour: Array) -> Array:
    """Without what continues neither the line of the two values before nor the value before."""
    kept: Array = np.zeros_like(contour)
    before, last, now = contour[:-2], contour[1:-1], contour[2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        bends = np.abs((now - (2 * last - before)) / (2 * last - before)) > _STEADY
        jumps = np.abs(now - last) / last > _STEADY
    kept[2:] = np.where(bends & jumps, 0, now)
    return kept


def _voiced(contour: Array) -> list[tuple[int, int]]:
    """Start and end (inclusive) of voiced stretches; the first and the last millisecond never are."""
    voiced = np.zeros(len(contour) + 1, np.int8)
    voiced[1 : len(contour) - 1] = contour[1:-1] > 0
    change = np.diff(voiced)
    return list(zip((np.flatnonzero(change == 1) + 1).tolist(), np.flatnonzero(change == -1).tolist(), strict=True))


def _without_short(contour: Array) -> Array:
    kept: Array = contour.copy()
    for start, end in _voiced(contour):
        if end - start < _SHORTEST:
            kept[start : end + 1] = 0
    return kept


def _followed(contour: Array, candidates: Array) -> list[Section]:
    """Every section, continued over candidates near it on both sides; those that are long enough for their pitch."""
    sections = []
    mean = 0.0
    for start, end in _voiced(contour):
        own = np.zeros_like(contour)
        own[start : end + 1] = contour[start : end + 1]
        last = _follow(own, candidates, end, range(end + 1, min(len(own) - 1, end + _REACH + 1) + 1))
        first = _follow(own, candidates, start, range(start - 1, max(0, start - _REACH - 1) - 1, -1))
        # The mean of the section before is carried on, as published.
        mean = (mean + float(own[first:last].sum())) / (last - first)
        if _PERIODS / mean < last - first:
            sections.append(Section(first, last, own))
    return sections


def _follow(contour: Array, candidates: Array, origin: int, places: range) -> int:
    """Continue a contour, in place, from `origin` over `places`; returns where it was last voiced."""
    pitch, reached, missed = contour[origin], origin, 0
    for at in places:
        error = np.abs(candidates[at] - pitch) / pitch
        nearest = int(error.argmin())
        contour[at] = candidates[at, nearest] if error[nearest] <= _FOLLOWED else 0
        missed = 0 if contour[at] else missed + 1
        if contour[at]:
            pitch, reached = contour[at], at
        if missed == _LOST:
            break
    return reached


def _merged(sections: list[Section], candidates: Array, scores: Array, contour: Array) -> Array:
    """One contour of all sections; where two overlap, the one with the better candidates is kept."""
    if not sections:
        return contour
    merged: Array = sections[0].contour.copy()
    start, end = sections[0].start, sections[0].end
    for section in sorted(sections, key=lambda s: s.start)[1:]:
        if section.start > end:
            start, begin = section.start, section.start
        elif start <= section.start and end >= section.end:
            continue
        else:
            shared = range(section.start, end + 1)
            mine, other = (_support(c, candidates, scores, shared) for c in (merged, section.contour))
            begin = end if mine > other else section.start
        merged[begin : section.end + 1] = section.contour[begin : section.end + 1]
        end = section.end
    return merged


def _support(contour: Array, candidates: Array, scores: Array, rows: range) -> float:
    """Sum of the scores of the candidates that a contour follows."""
    at = slice(rows.start, rows.stop)
    same = candidates[at] == contour[at, None]
    return float(np.where(same, scores[at], 0).max(1).sum())


def _bridged(contour: Array) -> Array:
    """Short gaps filled with a line, from a hertz above to a hertz below their ends, as published."""
    bridged: Array = contour.copy()
    voiced = _voiced(contour)
    for (_, end), (start, _) in pairwise(voiced):
        if start - end - 1 < _BRIDGED:
            low, high = contour[end] + 1, contour[start] - 1
            bridged[end + 1 : start] = low + (high - low) / (start - end) * np.arange(1, start - end)
    return bridged


def _smoothed(contour: Array) -> Array:
    """Each section alone through a filter of no delay, continued with the values at its ends."""
    smooth: Array = np.zeros_like(contour)
    # A contour may be voiced up to its ends.
    for start, end in _voiced(np.pad(contour, 1)):
        padded = np.pad(contour[start - 1 : end], _SETTLING, mode="edge")
        filtered = lfilter(_B, _A, lfilter(_B, _A, padded)[::-1])[::-1]
        smooth[start - 1 : end] = filtered[_SETTLING:-_SETTLING]
    return smooth
