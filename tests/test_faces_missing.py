"""Frames without a face in videos that are dubbed, and in pictures."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from thg_zoo.errors import FaceError
from thg_zoo.faces.missing import present

RATE = Fraction(25)


def show(found: list[str | None], missing: str, fps: Fraction | None = RATE, **options: Any) -> Any:
    """What stands in each frame, lazily."""
    frames = ((np.full((4, 4, 3), i, np.uint8), value) for i, value in enumerate(found))
    shown = present(frames, missing, "'a.mp4'", fps, **options)
    return (value for i, (frame, value) in enumerate(shown) if (frame == i).all())


def test_what_was_found_last_is_held_and_the_rest_passes() -> None:
    found = [None, "a", None, "b", None]
    assert list(show(found, "hold")) == [None, "a", "a", "b", "b"]
    assert list(show(found, "pass")) == found
    with pytest.raises(FaceError, match=r"No face was found in frame 0 \(0.00 s\) of 'a.mp4'") as caught:
        list(show(found, "error", otherwise="dance"))
    assert caught.value.remedy.endswith("give missing_face=hold or missing_face=pass, or dance.")
    assert list(show([], "hold")) == []


@pytest.mark.parametrize("missing", ["hold", "pass"])
def test_no_face_at_all_is_an_error_for_whoever_takes_just_the_frames_there_are(missing: str) -> None:
    shown = show([None] * 3, missing)
    assert list(itertools.islice(shown, 2)) == [None, None]
    with pytest.raises(FaceError, match="any of 3 frames of") as caught:
        next(shown)
    assert "missing_face" not in caught.value.remedy
    assert list(itertools.islice(show([None, None, "a"], missing), 3)) == [None, None, "a"]


@pytest.mark.parametrize("missing", ["error", "hold", "pass"])
def test_a_picture_without_a_face_is_an_error(missing: str) -> None:
    with pytest.raises(FaceError, match=r"No face was found in 'a\.mp4'") as caught:
        next(show([None], missing, None))
    assert "missing_face" not in caught.value.remedy


def test_a_number_that_is_not_there_is_named() -> None:
    with pytest.raises(FaceError, match=r"Face 5, counted from the left from 0, was not found in frame 1 ") as caught:
        list(show(["a", None], "error", face="5"))
    assert "face=largest" in caught.value.remedy
