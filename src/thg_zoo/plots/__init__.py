"""Small charts: bars, stacked bars, curves; as SVG text for pages, or as pictures.

from thg_zoo.plots import bars, svg

svg(bars({"a": 1.0, "b": 2.0}, "ms"))
"""

from __future__ import annotations

from thg_zoo.plots.charts import COLOURS, bars, curves, number, stacked_bars
from thg_zoo.plots.drawing import Drawing, Line, Rectangle, Text, stacked, svg
from thg_zoo.plots.raster import picture

__all__ = [
    "COLOURS",
    "Drawing",
    "Line",
    "Rectangle",
    "Text",
    "bars",
    "curves",
    "number",
    "picture",
    "stacked",
    "stacked_bars",
    "svg",
]
