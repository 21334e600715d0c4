"""What becomes of a video's frames in which something of a face was not found."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

from thg_zoo.errors import FaceError
from thg_zoo.faces.detector import Picture

FoundT = TypeVar("FoundT")


def present(
    found: Iterator[tuple[Picture, FoundT | None]],
    missing: str,
    what: str,
    fps: Fraction | None,
    *,
    face: str = "best",
    otherwise: str = "",
) -> Iterator[tuple[Picture, FoundT | None]]:
    """Every frame with what was found in it; with `missing` = hold, else with what was found last.

    what, fps: the source's name and rate (None for a picture), for messages; face: the option by which it was chosen;
    otherwise: what else a user can do. Raises FaceError for a frame without a face if `missing` is error or it is a
    picture, and always where no frame has any.
    """
    last: FoundT | None = None
    # The last frame waits until it is known whether any shows a face: nobody may ask for more after it.
    waiting: list[tuple[Picture, FoundT | None]] = []
    i = -1
    for i, (frame, value) in enumerate(found):
        if value is None and (missing == "error" or fps is None):
            where = what if fps is None else f"frame {i} ({float(i / fps):.2f} s) of {what}"
            raise no_face(where, face, "" if fps is None else "give missing_face=hold or missing_face=pass", otherwise)
        last = last if value is None else value
        yield from waiting
        waiting = [(frame, last if missing == "hold" else value)]
    if last is None and i >= 0:
        raise no_face(f"any of {i + 1} frames of {what}", face, otherwise)
    yield from waiting


def no_face(where: str, face: str, *choices: str, option: str = "face") -> FaceError:
    """That the face which `option` = `face` means is not there. choices: what a user can do, empty ones left out."""
    if face.isdecimal():
        found = f"Face {face}, counted from the left from 0, was not found in {where}."
        choices = f"Choose another ({option}=largest or a number)", *choices
    else:
        found = f"No face was found in {where}."
        choices = "Show a face from the front, upright and well lit", *choices
    return FaceError(found, ", or ".join(filter(None, choices)) + ".")
