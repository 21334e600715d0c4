"""Video in: frames as RGB uint8, each at its exact time, in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from thg_zoo.background import Ahead
from thg_zoo.errors import MediaError
from thg_zoo.media.ffmpeg import Process, input_arguments, read_exactly
from thg_zoo.media.image import Picture
from thg_zoo.media.limits import Limits
from thg_zoo.media.probe import MediaInfo, probe

logger = logging.getLogger(__name__)

_READ_AHEAD_BYTES = 32_000_000
_MOST_READ_AHEAD = 8
# Seeking lands exactly only where the container has an index and time stamps of presentation.
_INDEXED_CONTAINERS = ("mov,", "matroska,")
_SEEK_SECONDS = 2
_SEEK_JITTER = 0.25
# Untagged video of this size or above is BT.709, below it BT.601: what players assume.
_HIGH_DEFINITION = (1280, 577)


class VideoReader:
    """The frames of a video at a constant rate, as RGB uint8 [H, W, 3], upright, with square pixels.

    Frame i is shown from i / fps seconds, time 0 being the beginning of the file (of its earliest track, so that
    sound read by `read_audio` is in step). With `fps=None` the rate is the file's own: every frame is given exactly
    once, in order. Where the file has no constant rate, or where `fps` is given, frame i is the last frame of the file
    whose own time, rounded to the nearest multiple of 1 / fps, is i / fps or earlier: frames are repeated or left out,
    never mixed. A picture track that begins later than the sound begins with its first frame repeated.

    The reader holds no process between calls; each iterator of `frames` runs one ffmpeg and a thread that reads ahead
    (measured at 5 ms of work per 720p frame: 131 instead of 98 frames/s), and ends both when it is exhausted or closed.

    `path` may also be what `probe` said of the file, which is then not examined again. Raises MediaError (not a video,
    damaged), MediaLimitError.
    """

    def __init__(
        self, path: str | Path | MediaInfo, fps: Fraction | int | None = None, limits: Limits | None = None
    ) -> None:
        limits = limits or Limits.from_environment()
        self.info = path if isinstance(path, MediaInfo) else probe(path, limits)
        self.path = path = self.info.path
        if self.info.kind != "video":
            raise MediaError(
                f"{path} is {_ARTICLES[self.info.kind]}, not a video.", "Pass a video, or a gif that moves."
            )
        header, timing = self.info.header, self.info.timing
        assert header is not None
        assert header.video is not None
        assert timing is not None
        self._header, self._video, self._timing = header, header.video, timing
        self._limits = limits
        self.size = (self._video.height, self._video.width)
        if fps is not None and not 0 < fps <= limits.max_fps:
            raise MediaError(f"{path} cannot be read at {fps} frames per second.", f"Use up to {limits.max_fps:g}.")
        self.fps = self._timing.fps if fps is None else Fraction(fps)
        self._every_frame = self._timing.constant and self.fps == self._timing.fps
        self._lead = self._timing.lead if self._every_frame else 0
        self.n_frames = self._timing.n_frames if self._every_frame else self._timing.n_frames_at(self.fps)
        self._open: set[_Frames] = set()
        if self._video.high_dynamic_range:
            logger.warning("%s has high dynamic range, which is not tone-mapped: colours will look pale", path)
        if not self._timing.constant and fps is None:
            logger.info("%s has a variable frame rate; it is read at its mean, %.3f", path, float(self.fps))

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Picture]:
        """Frames `start` (0 is the first) up to, not including, `stop` (None: all). Each is a new array.

        Close the iterator, or the reader, to stop early. Raises MediaError when the file turns out to be damaged,
        saying how far it could be decoded.
        """
        if start < 0 or (stop is not None and stop < start):
            raise MediaError(f"Frames {start} to {stop} of {self.path} cannot be read.", "Count from 0 upwards.")
        return self._run(start, stop)

    def _run(self, start: int, stop: int | None) -> Generator[Picture]:
        if stop == start:
            return
        first = max(0, start - self._lead)
        last = None if stop is None else max(first + 1, stop - self._lead)
        reading = _Frames(Process(self._arguments(first, last), read=True), self.size)
        self._open.add(reading)
        count = first
        try:
            for frame in reading:
                repeats = max(1, self._lead - start + 1) if count == 0 else 1
                for _ in range(repeats if stop is None else min(repeats, stop - start)):
                    yield frame.copy() if repeats > 1 else frame
                count += 1
            if not reading.closed:
                self._check_end(reading, count, first, last)
        finally:
            reading.close()
            self._open.discard(reading)

    def _check_end(self, reading: _Frames, count: int, first: int, last: int | None) -> None:
        if count == first > 0:
            return  # beyond the end
        process = reading.process
        if process.wait() or process.cut_off or count == 0:
            raise MediaError(
                f"{self.path} is damaged: it can be decoded up to {float(count / self.fps):.1f} s "
                f"of {float(self._timing.end):.1f} s ({process.complaint()}).",
                "Copy or download it again, or save the part that is whole as a new file.",
            )
        if process.lines:
            logger.warning("%s has errors that were passed over: %s", self.path, process.complaint())
        if last is None:
            self.n_frames = self._lead + count

    def _arguments(self, first: int, last: int | None) -> list[str]:
        """ffmpeg's arguments for its frames `first` to `last`, not counting the repeated lead."""
        rate = f"{self.fps.numerator}/{self.fps.denominator}"
        seek = self._seek(first)
        filters: list[str] = []
        if not self._every_frame:
            origin = f"{float(self._header.origin):.6f}"
            filters += [f"setpts=PTS-({origin})/TB", f"fps=fps={rate}:start_time=0:round=near"]
        if first and not (seek and self._every_frame):
            filters.append(f"trim=start_frame={first}")
        filters.append(self._scale())
        clock = [] if self._every_frame else ["-copyts"]
        source = input_arguments(self.path, "-max_pixels", f"{self._limits.max_pixels}", *seek)
        count = [] if last is None else ["-frames:v", f"{last - first}"]
        form = ["-fps_mode", "passthrough", "-c:v", "rawvideo", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]
        return [*clock, *source, "-map", "0:v:0", "-vf", ",".join(filters), *count, *form]

    def _seek(self, first: int) -> list[str]:
        """ffmpeg's arguments that spare it decoding most of what comes before frame `first`; none where that is not
        exact, or not worth it."""
        indexed = self._header.start == 0 and self._header.container.startswith(_INDEXED_CONTAINERS)
        if not indexed or first <= _SEEK_SECONDS * self.fps:
            return []
        if not self._every_frame:
            # To the key frame before. Times stay as they are, and with them the number of every frame.
            return ["-noaccurate_seek", "-ss", f"{float(first / self.fps) - _SEEK_SECONDS:.6f}"]
        if self._timing.jitter >= _SEEK_JITTER:
            return []
        # Half a frame early: rounding cannot drop the frame wanted, nor let the one before it through.
        return ["-ss", f"{float(self._timing.first + (first - Fraction(1, 2)) / self.fps):.6f}"]

    def _scale(self) -> str:
        """To the displayed size, whatever the track changes to on its way, and to RGB by its matrix.

        The plain converter is used (1 to 1.5 of 255 below the exact value, as in OpenCV's reader): the exact one
        costs three times as much.
        """
        height, width = self.size
        scale = f"scale={width}:{height}:flags=bicubic"
        colours = self._video.colours
        tagged = any(tag in colours for tag in ("bt709", "bt601", "smpte", "bt470", "bt2020", "fcc", "gbr"))
        if not tagged and "yuv" in colours and (width >= _HIGH_DEFINITION[0] or height >= _HIGH_DEFINITION[1]):
            scale += ":in_color_matrix=bt709"
        return scale

    def __iter__(self) -> Iterator[Picture]:
        return self.frames()

    def close(self) -> None:
        """End whatever is still being read. Iterators that are open then end without an error."""
        for reading in list(self._open):
            reading.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_ARTICLES = {"image": "a picture", "audio": "a sound"}


class _Frames:
    """Iterates over the frames that `process` writes, decoded ahead by a thread: at most a few at a time."""

    def __init__(self, process: Process, size: tuple[int, int]) -> None:
        self.process = process
        self.closed = False
        depth = max(1, min(_MOST_READ_AHEAD, _READ_AHEAD_BYTES // (size[0] * size[1] * 3)))
        self._ahead = Ahead(_pictures(process, size), depth)

    def __iter__(self) -> Iterator[Picture]:
        return self._ahead

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        # Ending the process ends the stream; the pipe is closed only when nobody reads from it any more.
        self.process.stop()
        self._ahead.close()
        self.process.wait()


def _pictures(process: Process, size: tuple[int, int]) -> Generator[Picture]:
    """What `process` writes, frame by frame; an incomplete last one is left out."""
    while True:
        frame = np.empty((*size, 3), np.uint8)
        if read_exactly(process.stdout, frame) < frame.nbytes:
            return
        yield frame
