"""Matrices, boxes and OpenCV crops against float64 references and their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faces_reference import bilinear
from thg_zoo.errors import FaceError
from thg_zoo.faces.transforms import (
    after_shrinking,
    apply,
    compose,
    crop_box,
    invert,
    matrix_from_box,
    shrink_factor,
    similarity_from_points,
    warp_crop,
)

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)
shifts = st.floats(-2000, 2000)
seeds = st.integers(0, 2**32 - 1)


def similarity(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def least_squares(src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """x' = a x - b y + c, y' = b x + a y + d, solved as one linear system: no SVD of a covariance."""
    one, zero = np.ones(len(src)), np.zeros(len(src))
    rows_x = np.stack([src[:, 0], -src[:, 1], one, zero], axis=1)
    rows_y = np.stack([src[:, 1], src[:, 0], zero, one], axis=1)
    a, b, c, d = np.linalg.lstsq(np.vstack([rows_x, rows_y]), dst.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


@given(angles, scales, shifts, shifts, seeds)
def test_a_similarity_is_recovered_from_its_points(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, 500, (5, 2))
    matrix = similarity(angle, scale, x, y)
    np.testing.assert_allclose(similarity_from_points(points, apply(matrix, points)), matrix, rtol=1e-7, atol=1e-6)


@given(seeds)
def test_noisy_points_give_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    src = rng.uniform(0, 500, (5, 2))
    dst = apply(similarity(rng.uniform(-3, 3), 0.4, 30, 60), src) + rng.normal(0, 8, (5, 2))
    np.testing.assert_allclose(similarity_from_points(src, dst), least_squares(src, dst), rtol=1e-7, atol=1e-6)


def test_mirrored_points_are_not_answered_with_a_reflection() -> None:
    src = np.array([[0.0, 0], [10, 0], [5, 6], [1, 10], [9, 11]])
    matrix = similarity_from_points(src, src * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0
    np.testing.assert_allclose(matrix[0, 0], matrix[1, 1], atol=1e-12)
    np.testing.assert_allclose(matrix[0, 1], -matrix[1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 700.0), np.array([[0.0, 0], [np.nan, 1]]), np.zeros((1, 2)), np.zeros((4, 3))]
)
def test_points_that_fix_no_transform_are_refused(points: np.ndarray) -> None:
    with pytest.raises(FaceError):
        similarity_from_points(points, points)


@given(angles, scales, shifts, shifts, seeds)
def test_inverse_and_composition(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-500, 500, (3, 2))
    first, then = similarity(angle, scale, x, y), np.array([[0.9, 0.3, 4], [-0.2, 1.1, 7]])
    np.testing.assert_allclose(apply(invert(first), apply(first, points)), points, atol=1e-5)
    np.testing.assert_allclose(apply(compose(first, then), points), apply(then, apply(first, points)), rtol=1e-9)
    both = np.stack([first, then])
    np.testing.assert_array_equal(invert(both)[1], invert(then))
    np.testing.assert_allclose(apply(both, np.stack([points, points]))[1], apply(then, points), rtol=1e-12)
    np.testing.assert_allclose(compose(both, then)[0], compose(first, then), rtol=1e-12)


def test_a_matrix_without_area_has_no_inverse() -> None:
    with pytest.raises(FaceError):
        invert(np.zeros((2, 3)))


@given(shifts, shifts, st.floats(1, 500), st.floats(1, 500), st.floats(0, 2))
def test_crop_boxes_keep_their_centre_and_cover_the_face(x: float, y: float, w: float, h: float, margin: float) -> None:
    box = np.array([x, y, x + w, y + h])
    grown = crop_box(box, margin)
    np.testing.assert_allclose(grown[2:] - grown[:2], np.array([w, h]) * (1 + 2 * margin), rtol=1e-6)
    square = crop_box(box, margin, square=True)
    sides = square[2:] - square[:2]
    np.testing.assert_allclose(sides, max(grown[2:] - grown[:2]), rtol=1e-6)
    np.testing.assert_allclose(square[:2] + square[2:], box[:2] + box[2:], rtol=1e-6, atol=1e-6)


def test_margins_are_left_top_right_bottom() -> None:
    np.testing.assert_allclose(crop_box([10, 20, 110, 220], (0.1, 0.2, 0.3, 0.4)), [0, -20, 140, 300])


def test_a_box_fills_its_crop() -> None:
    matrix = matrix_from_box([10, 20, 110, 220], (50, 200))
    np.testing.assert_allclose(apply(matrix, [[9.5, 19.5], [109.5, 219.5]]), [[-0.5, -0.5], [199.5, 49.5]])
    batch = matrix_from_box([[10, 20, 110, 220], [0, 0, 4, 4]], (50, 200))
    np.testing.assert_array_equal(batch[0], matrix)
    with pytest.raises(FaceError):
        matrix_from_box([5, 5, 5, 9], (4, 4))


def test_a_crop_of_whole_pixels_is_a_slice() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    crop = warp_crop(picture, matrix_from_box([7, 5, 27, 35], (30, 20)), (30, 20))
    np.testing.assert_array_equal(crop, picture[5:35, 7:27])


@pytest.mark.parametrize("border", ["edge", "black"])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.3])
def test_crops_agree_with_the_reference(border: str, scale: float) -> None:
    picture = np.random.default_rng(1).uniform(0, 1, (50, 70, 3)).astype(np.float32)
    matrix = similarity(0.4, scale, 3.3, -6.1)
    expected = bilinear(picture, matrix, (48, 64), border)
    # OpenCV rounds positions to 1/32 pixel, before version 5.
    assert np.abs(warp_crop(picture, matrix, (48, 64), border) - expected).max() < 0.06


def test_shrinking_averages_and_stays_in_place() -> None:
    picture = np.random.default_rng(2).uniform(0, 255, (90, 120, 3)).astype(np.float32)
    matrix = matrix_from_box([0, 0, 120, 90], (30, 40))
    blocks = picture.reshape(30, 3, 40, 3, 3).mean((1, 3))
    np.testing.assert_allclose(warp_crop(picture, matrix, (30, 40)), blocks, atol=1e-2)


def test_shrinking_pads_what_does_not_divide() -> None:
    ramp = np.broadcast_to(np.arange(101, dtype=np.float32)[None, :, None], (50, 101, 1)).copy()
    crop = warp_crop(ramp, matrix_from_box([0, 0, 100, 50], (10, 20)), (10, 20))
    np.testing.assert_allclose(crop.reshape(10, 20)[4], np.arange(20) * 5 + 2, atol=1e-3)


@settings(max_examples=50)
@given(st.integers(1, 8), angles)
def test_shrink_factors(factor: int, angle: float) -> None:
    assert shrink_factor(similarity(angle, 1 / factor, 5, 5)) == factor
    assert shrink_factor(similarity(angle, 1 / (factor + 0.9), 5, 5)) == factor
    assert shrink_factor(similarity(angle, 3.0, 5, 5)) == 1
    np.testing.assert_allclose(shrink_factor(after_shrinking(similarity(angle, 1 / factor, 0, 0), factor)), 1)
