"""Cuts between the shots of a video, and which frames the detector has to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Picture

_THUMBNAIL = (32, 18)
# Mean difference of thumbnails, 0..255, above which two frames are of different shots. Talking heads, pans and
# zooms stay below 15; cuts between differing scenes lie above 40.
_CUT = 30.0


@dataclass(frozen=True)
class Shot:
    """A frame's place in its shot. `examined`: the detector looks at it."""

    frame: Picture
    index: int
    starts: bool
    examined: bool


def shots(frames: Iterable[Picture], every: int) -> Iterator[Shot]:
    """Frames in order, one frame of look-ahead. The first, every `every`-th and the last of a shot are examined."""
    previous: tuple[Picture, int, int] | None = None
    before: NDArray[np.float32] | None = None
    for index, frame in enumerate(frames):
        thumbnail = cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        starts = before is None or float(np.abs(thumbnail - before).mean()) > _CUT
        before = thumbnail
        if previous is not None:
            yield _shot(*previous, every, last=starts)
        previous = (frame, index, index if starts or previous is None else previous[2])
    if previous is not None:
        yield _shot(*previous, every, last=True)


def _shot(frame: Picture, index: int, start: int, every: int, last: bool) -> Shot:
    return Shot(frame, index, index == start, last or (index - start) % every == 0)
