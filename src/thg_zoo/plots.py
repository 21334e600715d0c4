"""Small charts as SVG text: bars, stacked bars, curves. They follow the colours of the page that they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#4878d0", "#ee854a", "#6acc64", "#d65f5f", "#956cb4", "#8c613c", "#dc7ec0", "#797979", "#d5bb67", "#82c6e2")
_WIDTH, _LABEL, _VALUE, _BAR, _GAP = 560, 120, 84, 18, 8
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def bars(values: Mapping[str, float], unit: str = "", best: str | None = None) -> str:
    """A horizontal bar for each named value, drawn from zero; `best` is drawn strongly, the others pale."""
    low, high = min(0.0, *values.values()), max(0.0, *values.values())
    room = _WIDTH - _LABEL - _VALUE
    scale = room / ((high - low) or 1.0)
    zero = _LABEL - low * scale
    lines = []
    for k, (name, value) in enumerate(values.items()):
        y = k * (_BAR + _GAP)
        x, width = min(zero, zero + value * scale), abs(value) * scale
        opacity = 1 if best in (None, name) else 0.45
        lines += [
            _label(name, y),
            f'<rect x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="{_BAR}" rx="2" fill="{COLOURS[0]}" '
            f'opacity="{opacity}"/>',
            f'<text x="{_WIDTH - _VALUE + 6}" y="{y + 13}">{number(value)} {escape(unit)}</text>',
        ]
    return _svg(lines, len(values) * (_BAR + _GAP))


def stacked_bars(values: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar for each name, made of named parts of one colour each, with their sum; and the key to the colours."""
    parts = list(dict.fromkeys(part for stack in values.values() for part in stack))
    highest = max((sum(stack.values()) for stack in values.values()), default=1.0) or 1.0
    scale = (_WIDTH - _LABEL - _VALUE) / highest
    lines = []
    for k, (name, stack) in enumerate(values.items()):
        y, x = k * (_BAR + _GAP), float(_LABEL)
        lines.append(_label(name, y))
        for part, value in stack.items():
            colour = COLOURS[parts.index(part) % len(COLOURS)]
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{_BAR}" fill="{colour}">'
                f"<title>{escape(part)}: {number(value)} {escape(unit)}</title></rect>"
            )
            x += value * scale
        total = number(sum(stack.values()))
        lines.append(f'<text x="{_WIDTH - _VALUE + 6}" y="{y + 13}">{total} {escape(unit)}</text>')
    key, height = _key(parts, len(values) * (_BAR + _GAP) + 6)
    return _svg([*lines, *key], height)


def curves(series: Mapping[str, NDArray[np.float64]], seconds: float, height: int = 150) -> str:
    """Curves in 0..1 over the same time, each a name and its values at even steps; NaN interrupts a curve."""
    left, right = 8, _WIDTH - 8
    lines = [f'<line x1="{left}" x2="{right}" y1="{height}" y2="{height}" stroke="currentColor" opacity="0.4"/>']
    for k, (_, values) in enumerate(series.items()):
        x = np.linspace(left, right, len(values)) if len(values) > 1 else np.array([left])
        path, pen = [], "M"
        for px, value in zip(x, values, strict=True):
            if not np.isfinite(value):
                pen = "M"
                continue
            path.append(f"{pen}{px:.1f},{height - 4 - value * (height - 8):.1f}")
            pen = "L"
        lines.append(f'<path d="{" ".join(path)}" fill="none" stroke="{COLOURS[k]}" stroke-width="1.6"/>')
    for tick in _ticks(seconds):
        x_tick = left + (right - left) * tick / seconds
        lines.append(f'<text x="{x_tick:.1f}" y="{height + 15}" text-anchor="middle">{number(tick)} s</text>')
    key, bottom = _key(list(series), height + 22)
    return _svg([*lines, *key], bottom)


def number(value: float) -> str:
    """Three digits, as people read them."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _ticks(seconds: float) -> list[float]:
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600) if seconds / s <= 8), seconds / 4)
    return [k * step for k in range(1, int(seconds / step + 1e-9) + 1) if k * step < seconds * 0.98]


def _key(names: Sequence[str], top: float) -> tuple[list[str], float]:
    """Coloured squares with names, in as many lines as they need; and where they end."""
    lines, x, y = [], 8.0, top
    for k, name in enumerate(names):
        width = 24 + 7.2 * len(name)
        if x + width > _WIDTH:
            x, y = 8.0, y + 18
        lines.append(f'<rect x="{x:.0f}" y="{y}" width="11" height="11" fill="{COLOURS[k % len(COLOURS)]}"/>')
        lines.append(f'<text x="{x + 16:.0f}" y="{y + 10}">{escape(name)}</text>')
        x += width
    return lines, y + 18


def _label(name: str, y: float) -> str:
    return f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'


def _svg(lines: Sequence[str], height: float) -> str:
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'role="img" fill="currentColor" {_FONT}>\n{body}\n</svg>'
    )
