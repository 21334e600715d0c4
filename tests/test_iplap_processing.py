"""What IP_LAP does around its networks against the figures of the published code."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from thg_zoo.adapters.iplap.points import CONTENT, LINES, ORDER, OUTLINE, POSE
from thg_zoo.adapters.iplap.processing import (
    blend,
    face_box,
    fill_outline,
    from_crop,
    lip_opening,
    reference_ranks,
    soften,
    to_crop,
)
from thg_zoo.adapters.iplap.sketch import draw_canvas, draw_sketch
from thg_zoo.audio.mel import sadtalker_mel
from thg_zoo.audio.windows import window_starts


def mel(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"mel": sadtalker_mel(inputs["wav"].numpy())}


def mel_tone(_: Case, __: dict[str, Tensor]) -> Outputs:
    t = np.arange(24000) / 16000
    tone = 0.4 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 1300 * t) * np.sin(2 * np.pi * 2 * t)
    return {"mel": sadtalker_mel(tone.astype(np.float32))}


def mel_chunks(_: Case, __: dict[str, Tensor]) -> Outputs:
    lists = [window_starts(columns, Fraction(25), closing=False) for columns in (100, 333, 1001)]
    return {"starts": np.concatenate([[*starts, -len(starts)] for starts in lists])}


def reference_choice(_: Case, __: dict[str, Tensor]) -> Outputs:
    return {"ranks": np.concatenate([reference_ranks(n, steps) for n in (30, 77, 250, 1000) for steps in (15, 25)])}


def sketch(size: tuple[int, int]):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        landmarks = inputs["landmarks"].numpy()
        drawn = {"canvas": draw_canvas(landmarks, size), "sketch": draw_sketch(landmarks, size)}
        return {name: np.repeat(levels[..., None], 3, axis=2) for name, levels in drawn.items()}

    return run


def paste_mask(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    a = np.linspace(0, math.pi, 17)
    brows = np.stack([np.linspace(40, 140, 10), np.full(10, 45.0)], axis=1)
    jaw = np.stack([90 - 60 * np.cos(a), 70 + 60 * np.sin(a)], axis=1)
    moved = np.concatenate([jaw, brows]) + 6 * inputs["u"].numpy()[:27]
    outline = np.concatenate([moved[:17], moved[:16:-1]])
    frame, generated = (inputs[name].numpy().astype(np.uint8) for name in ("frame", "generated"))
    mask = fill_outline(outline.astype(int), frame.shape[:2])
    blend(frame, generated, outline)
    return {"mask": mask[..., None], "blurred": soften(mask), "merged": frame}


CASES = {
    "mel": mel,
    "mel_tone": mel_tone,
    "mel_chunks": mel_chunks,
    "reference_choice": reference_choice,
    "sketch": sketch((210, 170)),
    "sketch_outside": sketch((96, 140)),
    "paste_mask": paste_mask,
}


@parametrize(CASES)
def test_processing_matches_published_code(name, runner):
    check("iplap", name, runner)


def test_points_and_lines_are_those_of_the_published_tables():
    assert (len(set(ORDER)), POSE, CONTENT, len(LINES)) == (131, 74, 57, 125)
    pairs = {frozenset(pair) for pair in LINES.tolist()}
    assert len(pairs) == 125
    assert set(LINES.flat) == set(range(131))
    # The outline goes round once: temples and jaw, and the upper edges of the brows.
    assert len(set(OUTLINE.tolist())) == len(OUTLINE) == 35


def test_what_lies_beyond_the_blur_stays_to_the_pixel():
    rng = np.random.default_rng(0)
    frame, other = (rng.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(2))
    outline = np.array([[60, 50], [100, 50], [100, 80], [60, 80]], float)
    result = frame.copy()
    blend(result, other, outline)
    inside = np.zeros((120, 160), bool)
    inside[40:91, 50:111] = True
    np.testing.assert_array_equal(result[~inside], frame[~inside])
    np.testing.assert_array_equal(result[61:70, 71:90], other[61:70, 71:90])
    # Over the edge of a frame nothing changes but for what is inside.
    cut = frame[60:, 80:].copy()
    blend(cut, other[60:, 80:], outline - [80, 60])
    np.testing.assert_array_equal(cut[12:], result[72:, 80:])
    blend(frame, other, outline + 500)


def test_crops_and_frames_exchange_points():
    points = np.random.default_rng(0).uniform((30, 40), (90, 95), (131, 2)).astype(np.float32)
    box = face_box(points, (100, 200))
    assert box.tolist() == [
        int(points[:, 1].min() - 25),
        100,
        int(points[:, 0].min() - 25),
        int(points[:, 0].max() + 25),
    ]
    landmarks = to_crop(points, box)
    assert landmarks.shape == (2, 131)
    np.testing.assert_allclose(from_crop(landmarks, box), points, atol=1e-4)
    points[ORDER.index(0)], points[ORDER.index(17)] = (40, 50), (40, 60)
    assert lip_opening(points, (100, 200)) == pytest.approx(0.1)
