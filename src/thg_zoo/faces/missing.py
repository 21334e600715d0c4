"""What becomes of a video's frames in which something of a face was not found."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

from thg_zoo.errors import FaceError
from thg_zoo.faces.detector import Picture

FoundT = TypeVar("FoundT")


def present(
    found: Iterator[tuple[Picture, FoundT | None]], missing: str, what: str, fps: Fraction | None, otherwise: str = ""
) -> Iterator[tuple[Picture, FoundT | None]]:
    """Every frame with what was found in it; with `missing` = hold, else with what was found last.

    what, fps: the source's name and rate (None for a picture), for messages; otherwise: what else a user can do. Raises
    FaceError for a frame without a face if `missing` is error, and always where no frame has any.
    """
    last: FoundT | None = None
    i = -1
    for i, (frame, value) in enumerate(found):
        if value is None and missing == "error":
            where = what if fps is None else f"frame {i} ({float(i / fps):.2f} s) of {what}"
            raise _no_face(where, fps, otherwise)
        last = last if value is None else value
        yield frame, last if missing == "hold" else value
    if last is None and i >= 0:
        raise _no_face(f"any of {i + 1} frames of {what}", fps, otherwise)


def _no_face(where: str, fps: Fraction | None, otherwise: str) -> FaceError:
    choices = ["" if fps is None else "give missing_face=hold or missing_face=pass", otherwise]
    remedy = ", or ".join(["Show a face from the front, upright and well lit", *filter(None, choices)])
    return FaceError(f"No face was found in {where}.", f"{remedy}.")
