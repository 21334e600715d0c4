"""Which face is meant, and what is said when there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.faces.choose import choose_face
from thg_zoo.faces.detector import Face


def face(x: float, side: float, score: float = 0.9) -> Face:
    return Face(np.array([x, 10, x + side, 10 + side], np.float32), np.zeros((5, 2), np.float32), score)


RIGHT, MIDDLE, LEFT = face(200, 30, 0.99), face(100, 60, 0.8), face(10, 40)
FACES = [RIGHT, LEFT, MIDDLE]


def test_the_largest_is_the_default_rule() -> None:
    assert choose_face(FACES, "largest", "a.png") is MIDDLE


def test_numbers_count_from_left_to_right_in_any_order() -> None:
    for faces in (FACES, FACES[::-1]):
        assert [choose_face(faces, i, "a.png") for i in range(3)] == [LEFT, MIDDLE, RIGHT]


def test_equal_faces_are_told_apart_by_score_then_place() -> None:
    better, left, right = face(50, 20, 0.95), face(0, 20), face(100, 20)
    assert choose_face([left, better], "largest", "a.png") is better
    assert choose_face([right, left], "largest", "a.png") is left


@pytest.mark.parametrize("rule", ["largest", 0])
def test_no_face_names_the_input_and_a_remedy(rule: Any) -> None:
    with pytest.raises(FaceError, match=r"No face was found in 'cat\.png'") as caught:
        choose_face([], rule, "'cat.png'")
    assert "larger" in caught.value.remedy


@pytest.mark.parametrize(("faces", "said"), [(FACES, "3 faces were found"), ([LEFT], "1 face was found")])
def test_an_index_too_high_says_how_many_there_are(faces: list[Face], said: str) -> None:
    with pytest.raises(FaceError, match=rf"no face 3 in 'a\.png': {said}"):
        choose_face(faces, 3, "'a.png'")


@pytest.mark.parametrize("rule", [-1, "smallest", True, "1"])
def test_other_rules_are_refused_even_without_faces(rule: Any) -> None:
    with pytest.raises(OptionError, match="largest"):
        choose_face([], rule, "a.png")
