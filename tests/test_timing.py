"""Frame times are exact, and every extension rule is the function its name promises."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thg_zoo.timing import (
    EXTENSION_RULES,
    extended_index,
    extended_length,
    frame_at,
    frame_rate,
    frames_to_cover,
    resample_index,
)

RATES = st.sampled_from([Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
DURATIONS = st.fractions(min_value=Fraction(1, 48000), max_value=3 * 3600, max_denominator=48000)


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        ("25", Fraction(25)),
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (12.5, Fraction(25, 2)),
        (30, Fraction(30)),
        ("30000/1001", Fraction(30000, 1001)),
        (23.99, Fraction(2399, 100)),
        (29.93, Fraction(2993, 100)),
    ],
)
def test_rates_are_exact(written: float | str, exact: Fraction) -> None:
    assert frame_rate(written) == exact


@pytest.mark.parametrize("wrong", [0, -25, "-1/3"])
def test_rates_are_positive(wrong: float | str) -> None:
    with pytest.raises(ValueError, match="positive"):
        frame_rate(wrong)


@given(DURATIONS, RATES)
def test_frames_cover_the_sound_and_no_more(duration: Fraction, fps: Fraction) -> None:
    n = frames_to_cover(duration, fps)
    assert n / fps >= duration
    assert n == 1 or (n - 1) / fps < duration


@given(st.integers(0, 10**6), RATES)
def test_a_frame_is_on_screen_from_its_time_to_the_next(i: int, fps: Fraction) -> None:
    assert frame_at(i / fps, fps) == i
    assert frame_at((i + 1) / fps - Fraction(1, 10**9), fps) == i


@given(st.integers(0, 10**6), RATES, RATES)
def test_resampling_never_drifts(i: int, fps_out: Fraction, fps_in: Fraction) -> None:
    chosen = resample_index(i, fps_out, fps_in)
    assert 0 <= i / fps_out - chosen / fps_in < 1 / fps_in
    assert resample_index(i + 1, fps_out, fps_in) >= chosen


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("loop", [0, 1, 2, 0, 1, 2, 0, 1]),
        ("ping-pong", [0, 1, 2, 1, 0, 1, 2, 1]),
        ("mirror", [0, 1, 2, 2, 1, 0, 0, 1]),
        ("hold", [0, 1, 2, 2, 2, 2, 2, 2]),
    ],
)
def test_extension_rules(rule: str, expected: list[int]) -> None:
    assert [extended_index(i, 3, rule) for i in range(8)] == expected


@given(st.integers(0, 10**6), st.integers(1, 1000), st.sampled_from(EXTENSION_RULES))
def test_extended_indices_exist_and_begin_with_the_clip(i: int, n: int, rule: str) -> None:
    assert 0 <= extended_index(i, n, rule) < n
    if i < n:
        assert extended_index(i, n, rule) == i


@given(st.integers(0, 10**5), st.integers(2, 1000), st.sampled_from(("ping-pong", "mirror", "hold")))
def test_smooth_rules_do_not_jump(i: int, n: int, rule: str) -> None:
    assert abs(extended_index(i + 1, n, rule) - extended_index(i, n, rule)) <= 1


def test_only_cut_shortens() -> None:
    assert [extended_length(10, 4, rule) for rule in EXTENSION_RULES] == [10, 10, 10, 10, 4]


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="bounce"):
        extended_index(0, 3, "bounce")
