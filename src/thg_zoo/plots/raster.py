"""A drawing as a picture, for those who cannot show SVG."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from thg_zoo.plots.drawing import SIZE, Drawing, Line, Rectangle, Text

_GROUND, _INK = (255, 255, 255), "#1c1e22"
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def picture(drawing: Drawing, scale: int = 2) -> NDArray[np.uint8]:
    """Dark on white, uint8 [H, W, 3], `scale` pixels for each of the drawing's."""
    size = round(drawing.width * scale), round(drawing.height * scale)
    image = Image.new("RGB", size, _GROUND)
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, Rectangle):
            corners = shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
            # The last row and column that a rectangle of Pillow covers are inside it.
            x1, y1, x2, y2 = (round(edge * scale) for edge in corners)
            pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), _on_ground(shape.colour, shape.opacity))
        elif isinstance(shape, Text):
            stroke = 0.3 * scale if shape.bold else 0.0
            place = shape.x * scale, shape.y * scale
            pen.text(place, shape.text, _INK, _font(SIZE * scale), _ANCHORS[shape.anchor], stroke_width=stroke)
        else:
            _draw_line(pen, shape, scale)
    return np.array(image)


def _draw_line(pen: ImageDraw.ImageDraw, line: Line, scale: int) -> None:
    colour = _on_ground(line.colour or _INK, line.opacity)
    points = [(x * scale, y * scale) for x, y in line.points]
    pen.line(points, colour, max(1, round(line.width * scale)), joint="curve")


def _on_ground(colour: str, opacity: float) -> tuple[int, int, int]:
    levels = np.array(ImageColor.getrgb(colour)[:3]) * opacity + np.array(_GROUND) * (1 - opacity)
    red, green, blue = (int(level) for level in levels.round())
    return red, green, blue


@cache
def _font(points: int) -> ImageFont.FreeTypeFont:
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(points))
