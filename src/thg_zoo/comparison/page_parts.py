"""Pieces of a page: tables, pictures and videos inside it, and how values are written."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Larger videos stay beside the page: browsers are slow with long addresses.
_LARGEST_INLINE = 16_000_000


def video(grid: Path) -> str:
    """A player for the video, which is inside the page unless it is large."""
    if grid.suffix == ".gif":
        return f'<img alt="all models side by side" src="{_data(grid.read_bytes(), "image/gif")}">'
    kind = f"video/{grid.suffix[1:]}"
    if grid.stat().st_size <= _LARGEST_INLINE:
        return f'<video controls loop src="{_data(grid.read_bytes(), kind)}"></video>'
    return '<p class="sub">The video lies beside the folder of this page.</p>'


def picture(levels: NDArray[np.uint8]) -> str:
    """A picture uint8 [H, W, 3] inside the page."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=88)
    return f'<img alt="key frames" src="{_data(buffer.getvalue(), "image/jpeg")}">'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def table(head: Sequence[str], lines: Sequence[str], numbers_from: int | None = None) -> str:
    """A table from its headings and its rows, which are HTML already; columns of numbers begin at `numbers_from`."""
    last = len(head) if numbers_from is None else numbers_from
    cells = "".join(f"<th{' class=n' if k >= last else ''}>{escape(text)}</th>" for k, text in enumerate(head))
    return f'<div class="scroll"><table><tr>{cells}</tr>{"".join(lines)}</table></div>'


def short(name: str) -> str:
    """A file's name without its folders."""
    return name.strip("'").rsplit("/", 1)[-1]


def megabytes(n: int) -> str:
    """Bytes for people."""
    return f"{n / 1e6:.0f} MB"
