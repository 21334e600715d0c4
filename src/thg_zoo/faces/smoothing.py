"""Smoothing of boxes and landmarks from frame to frame as published talking-head programs do it: forwards, in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Row: TypeAlias = NDArray[Any]


def forward_means(rows: Iterable[Row], window: int, mean: Callable[[list[Row]], Row] | None = None) -> Iterator[Row]:
    """Each row replaced by the mean of itself and the `window - 1` that follow; reads as many ahead.

    As published, rows are replaced in place and the window stops at the end: the last rows are means of the last
    `window` rows, some of which are means already. Of n < window rows that is rows [n - window:] in the sense of a
    negative index: with a window of five, of four rows the last one, of three the last two, else all.
    mean: of several rows, should it not be the plain one.
    """
    average = mean or _mean
    held: deque[Row] = deque()
    for row in rows:
        if len(held) == window:
            held.popleft()
        held.append(row)
        if len(held) == window:
            held[0] = average(list(held))
            yield held[0]
    done = 1 if len(held) == window else 0
    for i in range(done, len(held)):
        held[i] = average(list(held)[len(held) - window :])
        yield held[i]


def _mean(rows: list[Row]) -> Row:
    average: Row = np.mean(rows, axis=0)
    return average
