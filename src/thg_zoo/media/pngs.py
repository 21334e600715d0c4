"""Pictures out: a folder of numbered PNG files (000000.png, 000001.png, ...), or a single one."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from thg_zoo.media.image import Picture, encode_image

_THREADS = 2  # Pillow compresses without the interpreter's lock
_WAITING = 8


class PngEncoder:
    """Writes frames RGB uint8 [H, W, 3] into the new folder `path`. Raises OSError."""

    def __init__(self, path: Path, metadata: Mapping[str, str], xmp: str | None) -> None:
        path.mkdir()
        self._path, self._metadata, self._xmp = path, metadata, xmp
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="png-writer")
        self._waiting: deque[Future[None]] = deque()

    def write(self, frame: Picture) -> None:
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        path = self._path / f"{next(self._numbers):06d}.png"
        self._waiting.append(self._pool.submit(encode_image, path, frame.copy(), self._metadata, self._xmp))

    def finish(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()
        self._pool.shutdown()

    def abort(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class PictureEncoder:
    """Writes one frame RGB uint8 [H, W, 3] as the picture `path`. Raises OSError, for a second frame too."""

    def __init__(self, path: Path, metadata: Mapping[str, str], xmp: str | None) -> None:
        self._path, self._metadata, self._xmp = path, metadata, xmp
        self._frame: Picture | None = None

    def write(self, frame: Picture) -> None:
        if self._frame is not None:
            raise OSError("a picture shows one frame, and there are more")
        self._frame = frame.copy()

    def finish(self) -> None:
        if self._frame is not None:
            encode_image(self._path, self._frame, self._metadata, self._xmp)

    def abort(self) -> None:
        self._frame = None
