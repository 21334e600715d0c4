"""The grid video and the contact sheet: all cells side by side, streamed, in the memory of one frame of each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from thg_zoo.comparison.cells import Cell, Picture, scaled
from thg_zoo.comparison.layout import GAP, Layout, fitted
from thg_zoo.comparison.lettering import BACKGROUND, BRIGHT, PANEL, WARNING, heading, label, notice
from thg_zoo.comparison.trial import Watch
from thg_zoo.media.audio import Audio
from thg_zoo.media.writer import VideoWriter
from thg_zoo.provenance import xmp_packet

# Reports look at every so many frames whether they may go on.
_STEP = 25
_SHEET_HEIGHT, _SHEET_LABEL, _SHEET_TIME = 160, 130, 26
# Width over height: wider pictures are shown lower.
_SHEET_WIDEST = 16 / 9


def write_grid(
    path: Path,
    cells: Sequence[Cell],
    layout: Layout,
    fps: Fraction,
    n_frames: int,
    *,
    audio: Path | Audio | None,
    tags: Mapping[str, str],
    keys: Sequence[int],
    watch: Watch,
) -> list[list[Picture]]:
    """Write `n_frames` of all cells at `fps` with one sound track; gives every cell's pictures at the frames `keys`.

    Raises OutputError, MediaError, Cancelled; nothing is left then.
    """
    canvas = labelled_canvas(cells, layout)
    sizes = [fitted(cell.size, layout) for cell in cells]
    shown: list[Picture | None] = [None] * len(cells)
    kept: list[list[Picture]] = [[] for _ in cells]
    duration = n_frames / fps
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(contextlib.closing(cell.pictures(fps, size)))
            for cell, size in zip(cells, sizes, strict=True)
        ]
        writer = stack.enter_context(
            VideoWriter(path, fps, layout.size, audio, tags, xmp=xmp_packet(tags), duration=duration)
        )
        for i in range(n_frames):
            for k, stream in enumerate(streams):
                picture = next(stream)
                if picture is not shown[k]:
                    _place(canvas, layout, k, picture)
                    shown[k] = picture
                if i in keys:
                    kept[k].append(picture)
            writer.write(canvas)
            if i % _STEP == 0 or i == n_frames - 1:
                watch.advance("grid", i + 1, n_frames)
    return kept


def labelled_canvas(cells: Sequence[Cell], layout: Layout) -> Picture:
    """The grid without its pictures, uint8 [H, W, 3]."""
    canvas = np.full((*layout.size, 3), BACKGROUND, np.uint8)
    for k, cell in enumerate(cells):
        y, x = layout.corner(k)
        canvas[y : y + layout.height, x : x + layout.width] = PANEL
        text = label(cell.title, cell.subtitle, (layout.label, layout.width), WARNING if cell.reason else BRIGHT)
        canvas[y - layout.label : y, x : x + layout.width] = text
    return canvas


def _place(canvas: Picture, layout: Layout, cell: int, picture: Picture) -> None:
    """Lay a picture into the middle of its cell."""
    height, width = picture.shape[:2]
    y, x = layout.corner(cell)
    y, x = y + (layout.height - height) // 2, x + (layout.width - width) // 2
    canvas[y : y + height, x : x + width] = picture


def key_frames(n_frames: int, count: int = 6) -> list[int]:
    """`count` frames (fewer if there are not so many), in the middles of equal parts of the time."""
    count = min(count, n_frames)
    return [(2 * k + 1) * n_frames // (2 * count) for k in range(count)]


def contact_sheet(cells: Sequence[Cell], pictures: Sequence[Sequence[Picture]], times: Sequence[Fraction]) -> Picture:
    """A line per cell and a column per time, uint8 [H, W, 3]; `pictures` are the cells' at these times.

    A cell that stands for a failure has its reason across all columns.
    """
    aspect = min(max(p.shape[1] / p.shape[0] for line in pictures for p in line), _SHEET_WIDEST)
    box = _SHEET_HEIGHT, round(_SHEET_HEIGHT * aspect)
    height = _SHEET_TIME + len(cells) * (box[0] + GAP)
    width = _SHEET_LABEL + len(times) * (box[1] + GAP)
    sheet = np.full((height, width, 3), BACKGROUND, np.uint8)
    for column, time in enumerate(times):
        x = _SHEET_LABEL + column * (box[1] + GAP)
        sheet[:_SHEET_TIME, x : x + box[1]] = heading(f"{float(time):.2f} s", (_SHEET_TIME, box[1]), BRIGHT)
    for line, (cell, shown) in enumerate(zip(cells, pictures, strict=True)):
        y = _SHEET_TIME + line * (box[0] + GAP)
        colour = WARNING if cell.reason else BRIGHT
        text = heading(cell.title.replace(" (", "\n("), (box[0], _SHEET_LABEL - GAP), colour)
        sheet[y : y + box[0], : _SHEET_LABEL - GAP] = text
        if cell.reason:
            across = sheet[y : y + box[0], _SHEET_LABEL : width - GAP]
            across[:] = notice(cell.reason, across.shape[:2], WARNING)
            continue
        for column, picture in enumerate(shown):
            scale = min(box[0] / picture.shape[0], box[1] / picture.shape[1])
            small = scaled(picture, (round(picture.shape[0] * scale), round(picture.shape[1] * scale)))
            top = y + (box[0] - small.shape[0]) // 2
            x = _SHEET_LABEL + column * (box[1] + GAP) + (box[1] - small.shape[1]) // 2
            sheet[top : top + small.shape[0], x : x + small.shape[1]] = small
    return sheet
