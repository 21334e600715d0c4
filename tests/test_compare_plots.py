"""Charts: what is drawn, and that the two ways of showing it show the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

from thg_zoo.plots import Drawing, Line, Rectangle, Text, bars, curves, number, picture, stacked, stacked_bars, svg
from thg_zoo.plots.charts import COLOURS


def rectangles(drawing: Drawing) -> list[Rectangle]:
    return [shape for shape in drawing.shapes if isinstance(shape, Rectangle)]


def texts(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.shapes if isinstance(shape, Text)]


def test_bars_are_as_long_as_their_values() -> None:
    drawn = bars({"a": 2.0, "b": -1.0, "c<": 0.0}, "ms", strong=["a"])
    first, second, third = rectangles(drawn)
    assert first.width == pytest.approx(2 * second.width)
    assert second.x + second.width == pytest.approx(first.x), "from zero to the left"
    assert third.width == 1
    assert [r.opacity for r in (first, second, third)] == [1, 0.45, 0.45]
    assert "2 ms" in texts(drawn)
    assert "c&lt;" in svg(drawn)
    assert all(r.opacity == 1 for r in rectangles(bars({"a": 1.0, "b": 2.0})))


def test_long_names_have_room_and_very_long_ones_are_cut() -> None:
    name = "facevid2vid, plain loop, bfloat16"
    (bar,) = rectangles(bars({name: 1.0}))
    assert name in texts(bars({name: 1.0}))
    assert bar.x > 6 * len(name)
    (cut, _) = texts(bars({"x" * 80: 1.0}))
    assert cut.endswith("…")


def test_stacks_add_up() -> None:
    drawn = stacked_bars({"a": {"x": 1.0, "y": 3.0}, "b": {"y": 2.0}}, "s")
    x, y, alone, *key = rectangles(drawn)
    assert y.width == pytest.approx(3 * x.width)
    assert y.x == pytest.approx(x.x + x.width)
    assert alone.colour == y.colour != x.colour
    assert y.hint == "y: 3 s"
    assert texts(drawn)[-2:] == ["x", "y"]
    assert [k.colour for k in key] == list(COLOURS[:2])
    assert "4 s" in texts(drawn)


def test_gaps_interrupt_a_curve() -> None:
    drawn = curves({"opening": np.array([0, 0.5, np.nan, 1, 0.2]), "none": np.full(5, np.nan)}, 2.0)
    axis, *parts = [shape for shape in drawn.shapes if isinstance(shape, Line)]
    assert axis.colour is None
    assert [len(part.points) for part in parts] == [2, 2]
    heights = [y for part in parts for _, y in part.points]
    assert heights[0] > heights[1] > heights[2]
    assert svg(drawn).count("<path") == 3
    assert "0.5 s" in texts(drawn)


def test_drawings_below_each_other() -> None:
    one = Drawing(100, 50, (Rectangle(0, 0, 10, 10, "#ff0000"), Line(((0, 0), (5, 5)))))
    drawn = stacked([("first", one), ("second", one)], margin=10)
    a, b = rectangles(drawn)
    assert a.x == b.x == 10
    assert b.y - a.y == 50 + 10 + 24
    assert drawn.width == 120
    assert b.y + 50 < drawn.height
    assert texts(drawn) == ["first", "second"]


def test_the_picture_shows_what_the_svg_does() -> None:
    drawing = bars({"a": 2.0, "b": 1.0}, "ms", strong=["a"])
    seen = picture(drawing, scale=2).astype(int)
    assert seen.shape == (round(drawing.height * 2), round(drawing.width * 2), 3)
    first, second = rectangles(drawing)
    for bar, row in ((first, 18), (second, 70)):
        colour = np.array([int(bar.colour[k : k + 2], 16) for k in (1, 3, 5)]) * bar.opacity + 255 * (1 - bar.opacity)
        matching = np.abs(seen[row] - colour).max(axis=1) <= 1
        assert matching.sum() == pytest.approx(2 * bar.width, abs=2)
        assert np.flatnonzero(matching)[0] == pytest.approx(2 * bar.x, abs=2)
    assert seen.min() < 60, "there is writing"
    found = [float(value) for value in re.findall(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"', svg(drawing))]
    assert found == pytest.approx([first.width, second.width], abs=0.06)


def test_numbers_have_three_digits() -> None:
    assert [number(v) for v in (0.01234, 12.345, 12345.6)] == ["0.0123", "12.3", "12346"]
