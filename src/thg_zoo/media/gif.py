"""Animated gif out, one frame at a time: a palette for each frame, and memory that does not grow.

ffmpeg's `palettegen=stats_mode=single` does the same at 7 frames/s for 512x512; Pillow's octree palette, with the
error diffused, at about 100 for an error of the same size.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from PIL import GifImagePlugin, Image

from thg_zoo.media.image import Picture
from thg_zoo.media.tagging import gif_comment, gif_xmp

# Browsers show frames of a shorter time ten times too slowly.
_LEAST_DELAY = 2
_TICKS = 100
_LARGEST_SIDE = 65_535
_LOOP_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


class GifEncoder:
    """Writes frames RGB uint8 [H, W, 3] at `fps` to `path`. Times are rounded to the format's 1/100 s without
    drift; above 50 frames/s, frames closer than that to the one before are left out. Raises OSError."""

    def __init__(
        self, path: Path, fps: Fraction, size: tuple[int, int], metadata: Mapping[str, str], xmp: str | None
    ) -> None:
        if max(size) > _LARGEST_SIDE:
            raise OSError(f"a gif has at most {_LARGEST_SIDE} pixels a side")
        self._fps = fps
        self._count = 0
        self._held: tuple[Picture, int] | None = None
        self._file = path.open("wb")
        height, width = size
        self._file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0) + _LOOP_FOR_EVER)
        if metadata:
            self._file.write(gif_comment(metadata))
        if xmp:
            self._file.write(gif_xmp(xmp))

    def write(self, frame: Picture) -> None:
        """Add one frame. It is written when the next one comes, for only then is its time on screen known."""
        tick = self._tick()
        self._count += 1
        if self._held is not None:
            if tick - self._held[1] < _LEAST_DELAY:
                return
            self._write_held(tick)
        self._held = (frame.copy(), tick)

    def finish(self) -> None:
        if self._held is not None:
            self._write_held(max(self._tick(), self._held[1] + _LEAST_DELAY))
        self._file.write(b"\x3b")
        self._file.close()

    def abort(self) -> None:
        # What a full disk did not take it does not take now.
        with contextlib.suppress(OSError):
            self._file.close()

    def _tick(self) -> int:
        return round(_TICKS * self._count / self._fps)

    def _write_held(self, until: int) -> None:
        assert self._held is not None
        frame, since = self._held
        picture = Image.fromarray(frame)
        palette = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        indexed = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        milliseconds = (until - since) * 1000 // _TICKS
        for part in GifImagePlugin.getdata(indexed, duration=milliseconds, include_color_table=True):
            self._file.write(part)
