"""From the faces that were found to the boxes that are redrawn: frames without a face, pads, smoothing."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from thg_zoo.adapters.wav2lip.options import Wav2LipOptions
from thg_zoo.adapters.wav2lip.processing import Box, Frame, fixed_box, padded_box, smooth_boxes
from thg_zoo.errors import FaceError
from thg_zoo.faces.boxes import overlap
from thg_zoo.faces.detector import Face
from thg_zoo.faces.missing import present
from thg_zoo.faces.track import SAME_FACE

Found: TypeAlias = Iterator[tuple[Frame, "Face | None"]]
Placed: TypeAlias = Iterator[tuple[Frame, "Box | None"]]


def fixed_boxes(frames: Found, options: Wav2LipOptions) -> Placed:
    """Option `box`, in every frame. Raises OptionError where it does not lie inside."""
    return ((frame, fixed_box(options.box, frame.shape[:2])) for frame, _ in frames)


def place_boxes(found: Found, options: Wav2LipOptions, what: str, fps: Fraction | None) -> Placed:
    """Every frame with its box, or None if it shall pass unchanged. Smoothing looks four frames ahead.

    what, fps: the source's name and rate (None for a picture), for messages. Raises FaceError for a frame without a
    face as `present` says, and for a box of which `pads` leave nothing.
    """
    otherwise = "say where it is with box=top,bottom,left,right"
    seen = present(found, options.missing_face, what, fps, face=options.face, otherwise=otherwise)
    placed = _padded(seen, options)
    return _checked(placed if options.nosmooth else _smoothed(placed, options), options, what)


def _padded(found: Found, options: Wav2LipOptions) -> Placed:
    for frame, face in found:
        yield frame, None if face is None else padded_box(face.box, options.pads, frame.shape[:2])


def _checked(placed: Placed, options: Wav2LipOptions, what: str) -> Placed:
    for i, (frame, box) in enumerate(placed):
        if box is not None and (box[0] >= box[1] or box[2] >= box[3]):
            raise FaceError(
                f"With pads={options.pads} nothing is left of the face in frame {i} of {what}.",
                "The order is top, bottom, left, right; negative ones have to be smaller than the face.",
            )
        yield frame, box


def _smoothed(placed: Placed, options: Wav2LipOptions) -> Placed:
    """Boxes are smoothed among neighbours: a frame without one begins anew."""
    for (shown, _), run in itertools.groupby(_runs(placed, options), key=itemgetter(0)):
        frames = (item for _, item in run)
        yield from _smoothed_run(frames) if shown else frames


def _runs(placed: Placed, options: Wav2LipOptions) -> Iterator[tuple[tuple[bool, int], tuple[Frame, Box | None]]]:
    """Every frame with what it has in common with its neighbours: whether it has a box, and the number of the shot.

    As published, all is one shot; where a person is followed, a jump begins another.
    """
    shot = 0
    last: Box | None = None
    for frame, box in placed:
        if options.follows and last is not None and box is not None and not _touch(last, box):
            shot += 1
        last = box
        yield (box is not None, shot), (frame, box)


def _touch(last: Box, box: Box) -> bool:
    edges = np.stack([last, box])[:, [2, 0, 3, 1]]
    return float(overlap(edges[0], edges[1:])[0]) > SAME_FACE


def _smoothed_run(run: Placed) -> Placed:
    waiting: deque[Frame] = deque()

    def boxes() -> Iterator[Box]:
        for frame, box in run:
            assert box is not None
            waiting.append(frame)
            yield box

    for box in smooth_boxes(boxes()):
        yield waiting.popleft(), box
