"""A folder of pictures in, as the frames of a video: what ffmpeg and renderers leave behind."""

from __future__ import annotations

import itertools
import logging
import re
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from thg_zoo.errors import MediaError
from thg_zoo.media.image import Picture, displayed_size, open_picture, read_image
from thg_zoo.media.limits import Limits

logger = logging.getLogger(__name__)

# What a folder says nothing of: the rate of the data that talking-head models were trained on.
DEFAULT_FPS = Fraction(25)

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
# Pillow decodes without the interpreter's lock.
_THREADS = 2
_AHEAD = 4


class FrameFolder:
    """The pictures of a folder in natural order (frame2 before frame10), as RGB uint8 [H, W, 3], upright.

    Hidden files, and those that have another suffix than a picture's, are passed over; folders within are not entered.
    fps: the rate at which they are shown; size: (height, width), the same of all, which the headers are read for.
    Raises MediaError for a folder without pictures, with damaged ones or with different sizes, MediaLimitError.
    """

    def __init__(self, path: str | Path, fps: Fraction = DEFAULT_FPS, limits: Limits | None = None) -> None:
        self.path = Path(path)
        self.fps = fps
        self._limits = limits or Limits.from_environment()
        self._limits.check_fps(str(self.path), fps)
        self._files = _pictures(self.path)
        self._limits.check_duration(str(self.path), len(self._files) / fps)
        self.size = self._common_size()

    @property
    def n_frames(self) -> int:
        """How many pictures there are."""
        return len(self._files)

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Picture]:
        """Frames `start` up to, not including, `stop` (None: all), decoded a few ahead. Raises MediaError."""
        files = iter(self._files[start:stop])
        waiting: deque[Future[Picture]] = deque()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="folder-reader") as pool:
            try:
                waiting.extend(pool.submit(self._read, file) for file in itertools.islice(files, _AHEAD))
                while waiting:
                    yield waiting.popleft().result()
                    waiting.extend(pool.submit(self._read, file) for file in itertools.islice(files, 1))
            finally:
                pool.shutdown(cancel_futures=True)

    def _common_size(self) -> tuple[int, int]:
        sizes = self._sizes()
        first = next(sizes)
        for file, size in zip(self._files[1:], sizes, strict=True):
            if size != first:
                raise self._mixed(file, size, first)
        return first

    def _sizes(self) -> Iterator[tuple[int, int]]:
        for file in self._files:
            with open_picture(file, self._limits) as picture:
                width, height = displayed_size(picture)
            yield height, width

    def _read(self, file: Path) -> Picture:
        frame = read_image(file, self._limits)
        size = frame.shape[0], frame.shape[1]
        if size != self.size:
            raise self._mixed(file, size, self.size)
        return frame

    def _mixed(self, file: Path, size: tuple[int, int], first: tuple[int, int]) -> MediaError:
        return MediaError(
            f"The pictures in {self.path} are of different sizes: {self._files[0].name} has {first[1]} x {first[0]} "
            f"pixels, {file.name} {size[1]} x {size[0]}.",
            "Scale them to one size, and keep other pictures elsewhere.",
        )


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise MediaError(
            f"{folder} is not a folder.", "Name the folder that holds the frames; a video has a rate of its own."
        )
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file()]
    except OSError as error:
        raise MediaError(f"The folder {folder} cannot be read: {error.strerror}.", "Change its permissions.") from error
    pictures = [file for file in files if file.suffix.lower() in _SUFFIXES]
    if not pictures:
        raise MediaError(f"The folder {folder} holds no pictures.", f"Frames end in {', '.join(_SUFFIXES)}.")
    if len(pictures) < len(files):
        logger.info("%s: %d files that are no pictures are passed over", folder, len(files) - len(pictures))
    return sorted(pictures, key=_natural)


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Numbers within names are compared as numbers; names that differ only in zeros or case keep an order."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], file.name
