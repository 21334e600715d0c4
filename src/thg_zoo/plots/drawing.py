"""A drawing: rectangles, text and lines at places in pixels, y downwards; and the same as SVG."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

Anchor = Literal["start", "middle", "end"]
SIZE = 12


@dataclass(frozen=True)
class Rectangle:
    """Filled with `colour`; hint: what a page shows while the pointer is over it."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    opacity: float = 1.0
    hint: str = ""


@dataclass(frozen=True)
class Text:
    """On a baseline at `y`, in the colour of the page's text; bold for headings."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    bold: bool = False


@dataclass(frozen=True)
class Line:
    """Through points (x, y); colour None is that of the page's text."""

    points: tuple[tuple[float, float], ...]
    colour: str | None = None
    width: float = 1.6
    opacity: float = 1.0


Shape: TypeAlias = Rectangle | Text | Line


@dataclass(frozen=True)
class Drawing:
    """Shapes on an empty ground of width x height."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def stacked(parts: Sequence[tuple[str, Drawing]], margin: float = 20) -> Drawing:
    """Drawings below each other, each with its title above, in one with a margin all round."""
    shapes: list[Shape] = []
    y = margin
    for title, part in parts:
        shapes.append(Text(margin, y + SIZE, title, bold=True))
        y += 2 * SIZE
        shapes += [_moved(shape, margin, y) for shape in part.shapes]
        y += part.height + margin
    return Drawing(2 * margin + max(part.width for _, part in parts), y, tuple(shapes))


def _moved(shape: Shape, x: float, y: float) -> Shape:
    if isinstance(shape, Line):
        return dataclasses.replace(shape, points=tuple((px + x, py + y) for px, py in shape.points))
    return dataclasses.replace(shape, x=shape.x + x, y=shape.y + y)


def svg(drawing: Drawing) -> str:
    """The drawing as an SVG element, which follows the colours of the page that it stands in."""
    body = "\n".join(_element(shape) for shape in drawing.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}" '
        f'width="{drawing.width:.0f}" role="img" fill="currentColor" font-family="system-ui, sans-serif" '
        f'font-size="{SIZE}">\n{body}\n</svg>'
    )


def _element(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        hint = f"<title>{escape(shape.hint)}</title>" if shape.hint else ""
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
            f'fill="{shape.colour}" opacity="{shape.opacity:g}">{hint}</rect>'
        )
    if isinstance(shape, Text):
        weight = ' font-weight="bold"' if shape.bold else ""
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}"{weight}>'
            f"{escape(shape.text)}</text>"
        )
    path = " L".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    return (
        f'<path d="M{path}" fill="none" stroke="{shape.colour or "currentColor"}" stroke-width="{shape.width:g}" '
        f'opacity="{shape.opacity:g}"/>'
    )
