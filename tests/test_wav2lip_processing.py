"""Wav2Lip's windows, boxes and pixels against the figures of the published code."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from thg_zoo.adapters.wav2lip.processing import (
    cut_face,
    fixed_box,
    network_input,
    network_output,
    padded_box,
    paste_face,
    smooth_boxes,
    transform_frame,
)
from thg_zoo.audio.windows import mel_windows, window_starts
from thg_zoo.errors import OptionError

NTSC, FILM = Fraction(30_000, 1001), Fraction(24_000, 1001)
COMBINATIONS = [(25, 101), (25, 16), (25, 17), (24, 333), (NTSC, 500), (FILM, 500), (30, 257), (50, 120), (60, 120)]


def windows(_: Case, __: dict[str, Tensor]) -> Outputs:
    return {f"c{i}": window_starts(columns, Fraction(fps)) for i, (fps, columns) in enumerate(COMBINATIONS)}


def smoothing(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {name: np.stack(list(smooth_boxes(drawn.numpy().astype(np.int64)))) for name, drawn in inputs.items()}


def padding(pads, smooth):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        rows = inputs["rects"].numpy().astype(np.int64)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1).astype(np.float32)
        boxes = [padded_box(row, pads, (160, 200)) for row in corners]
        return {"boxes": np.stack(list(smooth_boxes(boxes)) if smooth else boxes)}

    return run


def rgb(drawn: Tensor) -> np.ndarray:
    return np.ascontiguousarray(drawn.numpy().astype(np.uint8)[..., ::-1])


def assemble(box):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        face = cut_face(rgb(inputs["frame"]), np.array(box))
        return {"face": network_input(torch.from_numpy(face)[None])[0]}

    return run


def paste(box):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        frame = rgb(inputs["frame"])
        paste_face(frame, network_output(inputs["pred"][None])[0].numpy(), np.array(box))
        return {"out": frame[..., ::-1]}

    return run


LARGE, SMALL = (10, 150, 20, 140), (30, 90, 25, 80)
CASES = {
    "mel_windows": windows,
    "smooth_boxes": smoothing,
    "pads_default": padding((0, 10, 0, 0), smooth=True),
    "pads_wide_nosmooth": padding((20, 30, 15, 25), smooth=False),
    "pads_negative": padding((-5, 0, -3, -4), smooth=False),
    "assemble_down": assemble(LARGE),
    "assemble_up": assemble(SMALL),
    "paste_up": paste(LARGE),
    "paste_down": paste(SMALL),
}


@parametrize(CASES)
def test_processing_matches_published_code(name, runner):
    check("wav2lip", name, runner)


rates = st.one_of(
    st.integers(1, 120).map(Fraction), st.sampled_from([NTSC, FILM]), st.fractions(1, 240, max_denominator=50)
)


@given(columns=st.integers(1, 400), fps=rates, cuts=st.lists(st.integers(1, 60), max_size=20))
@settings(max_examples=60, deadline=None)
def test_windows_of_a_stream_are_those_of_the_whole(columns, fps, cuts):
    mel = np.tile(np.arange(columns, dtype=np.float32), (80, 1))
    edges = [0, *(e for e in np.cumsum(cuts) if e < columns), columns]
    pieces = [mel[:, a:b] for a, b in itertools.pairwise(edges)]
    cut = np.concatenate(list(mel_windows(iter(pieces), fps)))
    padded = np.pad(mel, ((0, 0), (0, max(0, 16 - columns))), constant_values=-4)
    starts = window_starts(columns, fps)
    np.testing.assert_array_equal(cut, np.stack([padded[:, s : s + 16] for s in starts]))
    within = np.concatenate([np.empty((0, 80, 16)), *mel_windows(iter(pieces), fps, closing=False)])
    np.testing.assert_array_equal(within, cut[: len(within)])
    assert len(within) == len(window_starts(columns, fps, closing=False)) == len(starts) - 1


def test_windows_come_before_the_stream_has_ended():
    pieces = iter([np.zeros((80, 32), np.float32), np.zeros((80, 32), np.float32)])
    assert next(mel_windows(pieces, Fraction(25))).shape == (6, 80, 16)
    assert len(list(pieces)) == 1


def published_smoothing(boxes: np.ndarray) -> np.ndarray:
    """The rule of the facts, on the whole list."""
    boxes, n = boxes.copy(), len(boxes)
    for i in range(n):
        boxes[i] = np.mean(boxes[n - 5 :] if i + 5 > n else boxes[i : i + 5], axis=0)
    return boxes


@given(rows=st.lists(st.lists(st.integers(-50, 4000), min_size=4, max_size=4), min_size=1, max_size=30))
@settings(deadline=None)
def test_smoothing_a_stream_equals_the_whole_list(rows):
    boxes = np.array(rows, dtype=np.int64)
    original = boxes.copy()
    np.testing.assert_array_equal(np.stack(list(smooth_boxes(iter(boxes)))), published_smoothing(boxes))
    np.testing.assert_array_equal(boxes, original)


def test_smoothing_reads_four_boxes_ahead():
    boxes = iter(np.arange(40).reshape(10, 4))
    assert next(smooth_boxes(boxes)).tolist() == [8, 9, 10, 11]
    assert len(list(boxes)) == 5
    assert list(smooth_boxes([])) == []


@pytest.mark.parametrize("corners", [(-30.7, -2.5, 50.9, 60.2), (0.0, 0.0, 50.0, 60.0)])
def test_a_box_is_clamped_before_it_is_padded(corners):
    box = padded_box(np.array(corners, np.float32), (0, 10, 5, -2), (65, 48))
    assert box.tolist() == [0, 65, 0, 48]


def test_frames_are_resized_then_rotated_then_cropped():
    frame = np.random.default_rng(0).integers(0, 255, (9, 14, 3), dtype=np.uint8)
    assert transform_frame(frame, 1, False, (0, -1, 0, -1)) is not None
    np.testing.assert_array_equal(transform_frame(frame, 1, False, (0, -1, 0, -1)), frame)
    turned = transform_frame(frame, 1, True, (0, -1, 0, -1))
    np.testing.assert_array_equal(turned[0], frame[::-1, 0])
    np.testing.assert_array_equal(transform_frame(frame, 1, True, (2, 5, 1, -1)), turned[2:5, 1:])
    assert transform_frame(frame, 2, True, (0, -1, 0, 3)).shape == (7, 3, 3)


def test_options_that_leave_nothing_are_refused():
    frame = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(OptionError, match="crop"):
        transform_frame(frame, 1, False, (25, -1, 0, -1))
    with pytest.raises(OptionError, match="resize_factor=40"):
        transform_frame(frame, 40, False, (0, -1, 0, -1))
    for box in [(5, 5, 0, 10), (0, 21, 0, 10), (-3, 10, 0, 10), (0, 10, 8, 4)]:
        with pytest.raises(OptionError, match="box"):
            fixed_box(box, (20, 30))
    assert fixed_box((0, 20, 5, 30), (20, 30)).tolist() == [0, 20, 5, 30]
