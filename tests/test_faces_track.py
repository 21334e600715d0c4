"""Tracking with a detector that reads the faces from the frame's first pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.track import BRIDGE, HOLD_AHEAD, track_faces


def frame(*boxes: tuple[int, int, int], shade: int = 100) -> np.ndarray:
    """A picture that carries its faces: x, y and side of each in its first row."""
    picture = np.full((90, 160, 3), shade, np.uint8)
    picture[0, 0, 0] = len(boxes)
    for i, box in enumerate(boxes):
        picture[0, i + 1] = box
    return picture


class Reader:
    """A `FaceDetector` that finds what `frame` wrote, and counts."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def detect(self, images: Sequence[np.ndarray] | np.ndarray) -> list[list[Face]]:
        self.calls.append(len(images))
        return [[self._face(*(float(v) for v in p[0, 1 + i])) for i in range(p[0, 0, 0])] for p in images]

    @staticmethod
    def _face(x: float, y: float, side: float) -> Face:
        box = np.array([x, y, x + side, y + side], np.float32)
        return Face(box, np.tile(box[:2] + side / 2, (5, 1)), 0.9)


def lefts(tracked: Iterator[tuple[np.ndarray, Face | None]]) -> list[float | None]:
    return [None if face is None else round(float(face.box[0]), 3) for _, face in tracked]


def walk(n: int, step: int = 2) -> list[np.ndarray]:
    return [frame((10 + step * i, 20, 40)) for i in range(n)]


def track(frames: list[np.ndarray], **options: Any) -> list[float | None]:
    return lefts(track_faces(iter(frames), Reader(), **options))


def test_frames_come_through_in_order_and_untouched() -> None:
    frames = walk(9)
    out = list(track_faces(frames, Reader()))
    assert all(a is b for (a, _), b in zip(out, frames, strict=True))


@pytest.mark.parametrize("window", [1, 5, 9])
def test_even_movement_is_neither_delayed_nor_damped(window: int) -> None:
    assert track(walk(12), window=window) == [10 + 2 * i for i in range(12)]


def test_jitter_is_damped() -> None:
    frames = [frame((50 + 4 * (i % 2), 20, 40)) for i in range(30)]
    smooth = np.array(track(frames, window=5), float)[2:-2]
    assert np.ptp(smooth) < 1
    assert abs(smooth.mean() - 52) < 0.1
    assert np.ptp(np.array(track(frames, window=1), float)) == 4


def test_points_are_smoothed_like_boxes() -> None:
    frames = [frame((50 + 4 * (i % 2), 20, 40)) for i in range(9)]
    for _, face in track_faces(frames, Reader()):
        assert face is not None
        assert face.points is not None
        np.testing.assert_allclose(face.points[0], (face.box[:2] + face.box[2:]) / 2, rtol=1e-6)


def test_a_person_is_kept_when_another_becomes_larger() -> None:
    frames = [frame((10, 20, 40), (100, 20, 30 + i)) for i in range(25)]
    assert track(frames) == [10] * 25
    assert track(frames, rule=1) == [100] * 25


def test_a_cut_chooses_anew_and_is_not_smoothed_over() -> None:
    before = [frame((10, 20, 40)) for _ in range(6)]
    after = [frame((14, 20, 40), (90, 20, 60), shade=200) for _ in range(6)]
    assert track(before + after, window=9) == [10] * 6 + [90] * 6


def test_a_jump_of_someone_alone_is_followed_but_not_smoothed() -> None:
    frames = [frame((10, 20, 40)) for _ in range(6)] + [frame((110, 20, 40)) for _ in range(6)]
    assert track(frames, window=5) == [10] * 6 + [110] * 6


def test_another_person_does_not_replace_one_who_is_lost() -> None:
    frames = [frame((10, 20, 40), (100, 20, 30))] * 3 + [frame((100, 20, 30))] * 8 + [frame((10, 20, 40))] * 3
    assert track(frames, missing="pass") == [10] * 3 + [None] * 8 + [10] * 3
    assert track(frames, missing="hold") == [10] * 14
    with pytest.raises(FaceError, match="frame 3 of the video none of the 1 faces"):
        track(frames)


def test_a_person_lost_for_long_is_given_up() -> None:
    frames = [frame((10, 20, 40), (100, 20, 30))] * 3 + [frame((100, 20, 30))] * 30
    out = track(frames, missing="pass")
    assert out[:3] == [10] * 3
    assert out[-15:] == [100] * 15


def test_short_gaps_are_bridged() -> None:
    frames = walk(16)
    for i in range(5, 5 + BRIDGE):
        frames[i] = frame()
    assert track(frames) == [10 + 2 * i for i in range(16)]


def test_long_gaps_follow_the_rule() -> None:
    frames = [frame((10, 20, 40))] * 4 + [frame()] * (BRIDGE + 1) + [frame((12, 20, 40))] * 4
    assert track(frames, missing="pass") == [10] * 4 + [None] * (BRIDGE + 1) + [12] * 4
    assert track(frames, missing="hold") == [10] * (5 + BRIDGE) + [12] * 4
    with pytest.raises(FaceError, match=r"frame 4 \(0\.16 s\) of 'a\.mp4' no face was found") as caught:
        track(frames, what="'a.mp4'", fps=Fraction(25))
    assert "missing_face" in caught.value.remedy


def test_hold_shows_the_first_face_before_it_comes() -> None:
    late = [frame()] * HOLD_AHEAD + [frame((10, 20, 40))] * 3
    assert track(late, missing="hold") == [10] * (HOLD_AHEAD + 3)
    for frames in ([frame(), *late], [frame()] * 3):
        with pytest.raises(FaceError, match="frame 0") as caught:
            track(frames, missing="hold")
        assert "missing_face=pass" in caught.value.remedy
        assert "missing_face=hold" not in caught.value.remedy
    assert track([frame()] * 3, missing="pass") == [None] * 3


def test_an_index_that_is_not_there_counts_as_missing() -> None:
    frames = [frame((10, 20, 40))] * 3
    assert track(frames, rule=1, missing="pass") == [None] * 3
    with pytest.raises(FaceError, match="frame 0"):
        track(frames, rule=1)


def test_looking_at_every_nth_frame_interpolates() -> None:
    detector = Reader()
    assert lefts(track_faces(walk(23), detector, every=4)) == [10 + 2 * i for i in range(23)]
    assert sum(detector.calls) == 7


def test_looks_never_interpolate_over_a_cut() -> None:
    frames = walk(7) + [frame((100, 20, 30 + i), shade=220) for i in range(7)]
    assert track(frames, every=4) == [10 + 2 * i for i in range(7)] + [100] * 7


def test_looks_without_a_face_end_where_the_last_one_was_seen() -> None:
    frames = [frame((10, 20, 40))] * 5 + [frame()] * 40
    assert track(frames, every=3, missing="pass") == [10] * 6 + [None] * 39


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 3, 7]))
def test_the_batch_size_changes_nothing(seed: int, batch: int, every: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    frames, shade = [], 100
    for _ in range(40):
        shade = 300 - shade if rng.random() < 0.05 else shade
        places = rng.integers([0, 0, 20], [90, 40, 50], (rng.integers(0, 3), 3))
        frames.append(frame(*(tuple(int(v) for v in p) for p in places), shade=shade))
    options: dict[str, Any] = {"every": every, "window": window, "missing": "pass"}
    assert track(frames, batch=batch, **options) == track(frames, batch=40, **options)


def test_look_ahead_is_bounded() -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield frame((10, 20, 40))

    tracked = track_faces(endless(), Reader(), window=5, batch=8)
    for _ in range(20):
        next(tracked)
    assert taken <= 20 + 8 + 2 + 1


def test_the_detector_sees_batches() -> None:
    detector = Reader()
    list(track_faces(walk(20), detector, batch=8))
    assert detector.calls == [8, 8, 4]


@pytest.mark.parametrize(
    "options", [{"missing": "skip"}, {"window": 4}, {"window": 0}, {"every": 0}, {"batch": 0}, {"rule": "best"}]
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        track_faces([], Reader(), **options)


def test_no_frames_no_faces() -> None:
    assert track([]) == []
