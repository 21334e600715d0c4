"""From the faces that were found to the boxes that are redrawn: frames without a face, pads, smoothing."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

from thg_zoo.adapters.wav2lip.options import Wav2LipOptions
from thg_zoo.adapters.wav2lip.processing import Box, Frame, fixed_box, padded_box, smooth_boxes
from thg_zoo.faces.detector import Face
from thg_zoo.faces.missing import present

Found: TypeAlias = Iterator[tuple[Frame, "Face | None"]]
Placed: TypeAlias = Iterator[tuple[Frame, "Box | None"]]


def fixed_boxes(frames: Found, options: Wav2LipOptions) -> Placed:
    """Option `box`, in every frame. Raises OptionError where it does not lie inside."""
    return ((frame, fixed_box(options.box, frame.shape[:2])) for frame, _ in frames)


def place_boxes(found: Found, options: Wav2LipOptions, what: str, fps: Fraction | None) -> Placed:
    """Every frame with its box, or None if it shall pass unchanged. Smoothing looks four frames ahead.

    what, fps: the source's name and rate (None for a picture), for messages. Raises FaceError for a frame without a
    face if `missing_face` is error, and always where no frame has any.
    """
    seen = present(found, options.missing_face, what, fps, "say where it is with box=top,bottom,left,right")
    placed = _padded(seen, options)
    return placed if options.nosmooth else _smoothed(placed)


def _padded(found: Found, options: Wav2LipOptions) -> Placed:
    for frame, face in found:
        yield frame, None if face is None else padded_box(face.box, options.pads, frame.shape[:2])


def _smoothed(placed: Placed) -> Placed:
    """Boxes are smoothed among neighbours: a frame without one begins anew."""
    for shown, run in itertools.groupby(placed, key=lambda item: item[1] is not None):
        yield from _smoothed_run(run) if shown else run  # noqa: B031 (once per group)


def _smoothed_run(run: Placed) -> Placed:
    waiting: deque[Frame] = deque()

    def boxes() -> Iterator[Box]:
        for frame, box in run:
            assert box is not None
            waiting.append(frame)
            yield box

    for box in smooth_boxes(boxes()):
        yield waiting.popleft(), box
