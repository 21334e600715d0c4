"""Text on pictures: labels of cells, and reasons within empty ones."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

BACKGROUND: Colour = (24, 26, 30)
PANEL: Colour = (36, 39, 45)
BRIGHT: Colour = (235, 237, 240)
DIM: Colour = (160, 166, 176)
WARNING: Colour = (240, 150, 110)

_LINE = 1.25


def label(title: str, subtitle: str, size: tuple[int, int], colour: Colour = BRIGHT) -> Picture:
    """Two centred lines on the background, uint8 [*size, 3]; what is too long ends in an ellipsis."""
    height, width = size
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    large, small = _font(round(height * 0.42)), _font(round(height * 0.31))
    draw.text((width / 2, height * 0.30), shortened(title, large, width), colour, large, anchor="mm")
    draw.text((width / 2, height * 0.74), shortened(subtitle, small, width), DIM, small, anchor="mm")
    return np.array(picture)


def notice(text: str, size: tuple[int, int], colour: Colour = DIM) -> Picture:
    """Text broken into lines in the middle of an empty picture, as large as fits in reading size."""
    height, width = size
    picture = Image.new("RGB", (width, height), PANEL)
    draw = ImageDraw.Draw(picture)
    for points in range(max(14, height // 14), 8, -1):
        font = _font(points)
        lines = wrapped(text, font, round(width * 0.88))
        if len(lines) * points * _LINE <= height * 0.9:
            break
    room = max(1, int(height * 0.9 / (points * _LINE)))
    if len(lines) > room:
        lines = [*lines[: room - 1], "..."]
    top = (height - len(lines) * points * _LINE) / 2
    for k, line in enumerate(lines):
        draw.text((width / 2, top + (k + 0.5) * points * _LINE), line, colour, font, anchor="mm")
    return np.array(picture)


def heading(text: str, size: tuple[int, int], colour: Colour = BRIGHT) -> Picture:
    """Short text in reading size in the middle of the background; it may have several lines."""
    picture = Image.new("RGB", (size[1], size[0]), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((size[1] / 2, size[0] / 2), text, colour, _font(14), anchor="mm", align="center")
    return np.array(picture)


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines no wider than `width` pixels, broken between words; a longer word is cut."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(shortened(word, font, width))
    return lines


def shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text`, its end replaced by an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


@cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    # The typeface that Pillow carries: the same on every machine.
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(max(points, 6)))
