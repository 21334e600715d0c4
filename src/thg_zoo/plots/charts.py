"""Charts as drawings. Names and values stand beside the bars, so that no axis has to be read."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thg_zoo.plots.drawing import Drawing, Line, Rectangle, Shape, Text

COLOURS = ("#4878d0", "#ee854a", "#6acc64", "#d65f5f", "#956cb4", "#8c613c", "#dc7ec0", "#797979", "#d5bb67", "#82c6e2")
_WIDTH, _BAR, _GAP = 560, 18, 8
# Room for a value with its unit, and what a character takes at most, on average, in the fonts of pages.
_VALUE, _CHARACTER = 84, 6.6
_LEAST_LABEL, _MOST_LABEL = 60, 260


def bars(values: Mapping[str, float], unit: str = "", strong: Container[str] | None = None) -> Drawing:
    """A horizontal bar for each named value, drawn from zero: strongly if it is in `strong` (None: all), else pale."""
    low, high = min(0.0, *values.values()), max(0.0, *values.values())
    left = _label_width(values)
    scale = (_WIDTH - left - _VALUE) / ((high - low) or 1.0)
    zero = left - low * scale
    shapes: list[Shape] = []
    for k, (name, value) in enumerate(values.items()):
        y = k * (_BAR + _GAP)
        x, width = min(zero, zero + value * scale), max(abs(value) * scale, 1)
        shapes += [
            _label(name, left, y),
            Rectangle(x, y, width, _BAR, COLOURS[0], 1 if strong is None or name in strong else 0.45),
            _value(value, unit, y),
        ]
    return Drawing(_WIDTH, len(values) * (_BAR + _GAP), tuple(shapes))


def stacked_bars(values: Mapping[str, Mapping[str, float]], unit: str) -> Drawing:
    """A bar for each name, made of named parts of one colour each, with their sum; and the key to the colours."""
    parts = list(dict.fromkeys(part for stack in values.values() for part in stack))
    highest = max((sum(stack.values()) for stack in values.values()), default=1.0) or 1.0
    left = _label_width(values)
    scale = (_WIDTH - left - _VALUE) / highest
    shapes: list[Shape] = []
    for k, (name, stack) in enumerate(values.items()):
        y, x = k * (_BAR + _GAP), float(left)
        shapes.append(_label(name, left, y))
        for part, value in stack.items():
            colour = COLOURS[parts.index(part) % len(COLOURS)]
            shapes.append(Rectangle(x, y, value * scale, _BAR, colour, hint=f"{part}: {number(value)} {unit}"))
            x += value * scale
        shapes.append(_value(sum(stack.values()), unit, y))
    key, height = _key(parts, len(values) * (_BAR + _GAP) + 6)
    return Drawing(_WIDTH, height, (*shapes, *key))


def curves(series: Mapping[str, NDArray[np.float64]], seconds: float, height: int = 150) -> Drawing:
    """Curves in 0..1 over the same time, each a name and its values at even steps; NaN interrupts a curve."""
    left, right = 8, _WIDTH - 8
    shapes: list[Shape] = [Line(((left, height), (right, height)), width=1, opacity=0.4)]
    for k, values in enumerate(series.values()):
        x = np.linspace(left, right, len(values)) if len(values) > 1 else np.array([left])
        places = np.column_stack((x, height - 4 - values * (height - 8)))
        gaps = np.flatnonzero(~np.isfinite(values))
        for run in np.split(places, gaps):
            kept = [(float(px), float(py)) for px, py in run if np.isfinite(py)]
            if kept:
                shapes.append(Line(tuple(kept if len(kept) > 1 else kept * 2), COLOURS[k % len(COLOURS)]))
    for tick in _ticks(seconds):
        shapes.append(Text(left + (right - left) * tick / seconds, height + 15, f"{number(tick)} s", "middle"))
    key, bottom = _key(list(series), height + 22)
    return Drawing(_WIDTH, bottom, (*shapes, *key))


def number(value: float) -> str:
    """Three digits, as people read them."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _ticks(seconds: float) -> list[float]:
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600) if seconds / s <= 8), seconds / 4)
    return [k * step for k in range(1, int(seconds / step + 1e-9) + 1) if k * step < seconds * 0.98]


def _key(names: Sequence[str], top: float) -> tuple[list[Shape], float]:
    """Coloured squares with names, in as many lines as they need; and where they end."""
    shapes: list[Shape] = []
    x, y = 8.0, top
    for k, name in enumerate(names):
        width = 30 + _CHARACTER * len(name)
        if x + width > _WIDTH:
            x, y = 8.0, y + 18
        shapes += [Rectangle(x, y, 11, 11, COLOURS[k % len(COLOURS)]), Text(x + 16, y + 10, name)]
        x += width
    return shapes, y + 18


def _label_width(names: Mapping[str, object]) -> int:
    """As much as the longest name takes, within limits."""
    return min(max(_LEAST_LABEL, 12 + round(_CHARACTER * max(map(len, names), default=0))), _MOST_LABEL)


def _label(name: str, left: int, y: float) -> Text:
    most = int((left - 10) / _CHARACTER)
    return Text(left - 8, y + 13, name if len(name) <= most else f"{name[: most - 1]}…", "end")


def _value(value: float, unit: str, y: float) -> Text:
    return Text(_WIDTH - _VALUE + 6, y + 13, f"{number(value)} {unit}".rstrip())
