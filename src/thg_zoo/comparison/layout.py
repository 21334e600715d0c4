"""Where the cells of a grid go: equal height, as few empty places as a screen's shape permits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The shape of a screen, which the grid approaches; an empty place counts as that much distance from it.
_SCREEN = 16 / 9
_EMPTY = 0.15
# No cell is wider than that many times its height: very wide pictures are shown with bars.
_WIDEST = 2.0
# The grid should fit a common screen, and be decodable everywhere.
_MOST_WIDTH, _MOST_HEIGHT = 1920, 1080
_TALLEST, _LOWEST = 512, 96
GAP = 8


@dataclass(frozen=True)
class Layout:
    """rows x columns cells, each with a picture of `height` x `width` and a label of `label` pixels above it.

    Above: players lay their controls over the lower edge.
    """

    rows: int
    columns: int
    height: int
    width: int
    label: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the whole; both even, as video wants it."""
        height = self.rows * (self.height + self.label + GAP) + GAP
        width = self.columns * (self.width + GAP) + GAP
        return height + height % 2, width + width % 2

    def corner(self, cell: int) -> tuple[int, int]:
        """(y, x) of the picture of a cell, counted row by row."""
        row, column = divmod(cell, self.columns)
        return GAP + self.label + row * (self.height + self.label + GAP), GAP + column * (self.width + GAP)


def plan(sizes: Sequence[tuple[int, int] | None], height: int | None = None) -> Layout:
    """The layout for cells whose pictures have these (height, width), None for one of any size; not all None.

    height: of every picture in pixels; by default that of the tallest, less where the grid would not fit 1920 x 1080.
    """
    given = [size for size in sizes if size is not None]
    aspect = min(max(width / tall for tall, width in given), _WIDEST)
    rows = min(range(1, len(sizes) + 1), key=lambda r: _cost(r, len(sizes), aspect))
    columns = math.ceil(len(sizes) / rows)
    if height is None:
        fitting = min(
            ((_MOST_WIDTH - GAP) / columns - GAP) / aspect,
            ((_MOST_HEIGHT - GAP) / rows - GAP) / (1 + _label(1000) / 1000),
        )
        height = int(max(_LOWEST, min(max(tall for tall, _ in given), _TALLEST, fitting)))
    return Layout(rows, columns, height, round(height * aspect), _label(height))


def fitted(size: tuple[int, int] | None, layout: Layout) -> tuple[int, int]:
    """(height, width) of a picture scaled to fit its cell, proportions kept; None fills it."""
    if size is None:
        return layout.height, layout.width
    scale = min(layout.height / size[0], layout.width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _label(height: int) -> int:
    """Room for two lines of text."""
    return max(30, round(height * 0.16))


def _cost(rows: int, cells: int, aspect: float) -> float:
    columns = math.ceil(cells / rows)
    shape = columns * aspect / (rows * (1 + _label(1000) / 1000))
    return abs(math.log(shape / _SCREEN)) + _EMPTY * (rows * columns - cells)
