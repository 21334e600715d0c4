"""Which of several faces is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.faces.detector import Face

FaceRule: TypeAlias = Literal["largest"] | int


def choose_face(faces: Sequence[Face], rule: FaceRule, what: str, otherwise: str = "") -> Face:
    """One of `faces`, found in `what` (a name for messages).

    rule: `largest` by area of the box, or a number: faces are counted from left to right by the centre of their
    boxes, the leftmost is 0. otherwise: what else a user can do where there is no face. Raises FaceError if there is
    none, or none of that number; OptionError for any other rule.
    """
    check_rule(rule)
    if not faces:
        raise FaceError(
            f"No face was found in {what}.",
            "Give a picture that shows the face larger, upright, from the front and well lit"
            + (f", or {otherwise}." if otherwise else "."),
        )
    if rule == "largest":
        return max(faces, key=lambda face: (face.area, face.score, -float(face.box[0])))
    ordered = sorted(faces, key=lambda face: (float(face.box[0] + face.box[2]), float(face.box[1]), -face.score))
    if rule >= len(ordered):
        count = "1 face was" if len(ordered) == 1 else f"{len(ordered)} faces were"
        raise FaceError(
            f"There is no face {rule} in {what}: {count} found.",
            "Faces are counted from left to right from 0: "
            + ("use 0." if len(ordered) == 1 else f"use 0 to {len(ordered) - 1}.")
            + " Or use 'largest'.",
        )
    return ordered[rule]


def rule_of(text: str) -> FaceRule:
    """The rule that an option's text names: `largest`, or a number. Raises OptionError for anything else."""
    rule: FaceRule = int(text) if text.isdecimal() else text  # type: ignore[assignment]  # checked next
    check_rule(rule)
    return rule


def check_rule(rule: FaceRule) -> None:
    """Raises OptionError unless `rule` is `largest` or a whole number from 0."""
    if rule != "largest" and (isinstance(rule, (bool, str)) or rule < 0):
        raise OptionError(f"No face can be chosen by {rule!r}.", "Give 'largest', or a number from 0, the leftmost.")
