"""Sources and drivers: whatever a caller hands over, opened once, behind two small interfaces.

A `Source` is the person: a picture, or a video. A `Driver` is what moves it: speech, a video, a picture, a saved
motion, or nothing but the options, possibly over time (an edit). A picture is the stream that repeats: code that
consumes frames never asks which it has.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import MediaError, UsageError
from thg_zoo.keypoints.keyframes import Keyframes, read_keyframes
from thg_zoo.media.audio import Audio, audio_blocks, read_audio
from thg_zoo.media.frame_folder import DEFAULT_FPS, FrameFolder
from thg_zoo.media.image import read_image
from thg_zoo.media.limits import Limits
from thg_zoo.media.probe import MediaInfo, probe
from thg_zoo.media.video import VideoReader
from thg_zoo.spec import bundled
from thg_zoo.timing import frame_rate

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    SourceLike: TypeAlias = "str | Path | Image | NDArray[Any] | torch.Tensor | Clip | Source"
    DriverLike: TypeAlias = (
        "str | Path | Image | NDArray[Any] | torch.Tensor | Clip | FrameFolder | Audio | tuple[NDArray[Any], int]"
        " | Keyframes | Driver | None"
    )

Frame: TypeAlias = NDArray[np.uint8]
FrameChange: TypeAlias = Callable[[Frame], Frame]

# The smallest side of a picture in which anything can be found; below it the words "no face" would mislead.
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Clip:
    """A video held in memory: frames uint8 [T, H, W, 3] in RGB at `fps` frames per second."""

    frames: NDArray[np.uint8]
    fps: Fraction

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8 or not len(self.frames):
            raise MediaError(
                f"A clip of shape {self.frames.shape} and type {self.frames.dtype} is no video.",
                "Give uint8 frames of shape [T, H, W, 3].",
            )


class Source:
    """The person to animate: a picture (one frame that repeats), a video file, a clip in memory, or a folder of frames.

    name: for messages; still: whether it is a picture; size: (height, width); n_frames: 1 for a picture; fps:
    exact rate, None for a picture but a `frozen` one; file: the video file, whose sound can be kept.
    """

    def __init__(self, name: str, content: Frame | Clip | VideoReader | FrameFolder) -> None:
        self.name = name
        self.still = isinstance(content, np.ndarray)
        self._content = content
        self._change: FrameChange | None = None
        self.fps: Fraction | None = None if isinstance(content, np.ndarray) else content.fps
        self.size: tuple[int, int] = (
            content.size if isinstance(content, VideoReader | FrameFolder) else _size(self.first())
        )
        _check_size(name, self.size)

    @property
    def n_frames(self) -> int:
        """How many frames there are: 1 for a picture."""
        if isinstance(self._content, np.ndarray):
            return 1
        return len(self._content.frames) if isinstance(self._content, Clip) else self._content.n_frames

    @property
    def file(self) -> MediaInfo | None:
        """The video file, None for everything else."""
        return self._content.info if isinstance(self._content, VideoReader) else None

    @property
    def audio(self) -> Path | None:
        """The video file, if it has sound."""
        return self.file.path if self.file and self.file.has_audio else None

    def first(self) -> Frame:
        """The first frame, uint8 [H, W, 3]."""
        with contextlib.closing(self.frames(0, 1)) as frames:
            return next(frames)

    def frames(self, start: int = 0, stop: int | None = None) -> Generator[Frame]:
        """Frames `start` to `stop` in order, decoded as they are consumed; a picture has the one."""
        with contextlib.closing(self._unchanged(start, stop)) as frames:
            yield from map(self._change, frames) if self._change else frames

    def changed(self, change: FrameChange) -> Source:
        """This source with every frame replaced by `change(frame)`, which gives frames of one size.

        Raises MediaError if they are too small.
        """
        source = copy.copy(self)
        source._change = change
        source.size = _size(change(np.zeros((*self.size, 3), np.uint8)))
        _check_size(f"What is left of {self.name}", source.size)
        return source

    def frozen(self) -> Source:
        """The first frame as a picture, which keeps the frame rate of its video."""
        source = copy.copy(self)
        source._content, source._change, source.still = self.first(), None, True
        return source

    def _unchanged(self, start: int, stop: int | None) -> Generator[Frame]:
        if isinstance(self._content, np.ndarray):
            yield self._content
        elif isinstance(self._content, Clip):
            yield from self._content.frames[start:stop]
        else:
            with contextlib.closing(self._content.frames(start, stop)) as frames:
                yield from frames


class Driver:
    """What moves the person. `kind` is one of audio, video, image, motion, edit; `name` is for messages.

    motion: the file of a saved motion; keyframes: of an edit over time, None for one that the options say alone.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        audio: Path | Audio | None = None,
        frames: Source | None = None,
        motion: Path | None = None,
        keyframes: Keyframes | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.audio = audio
        self.motion = motion
        self.keyframes = keyframes
        self._frames = frames
        self._limits = limits

    def read_audio(self, sample_rate: int) -> Audio:
        """The whole sound at `sample_rate`, mono float32. Memory grows with its length: see `audio_blocks`."""
        return read_audio(self._sound(), sample_rate, self._limits)

    def audio_blocks(self, sample_rate: int, block_seconds: float = 10.0) -> Iterator[NDArray[np.float32]]:
        """The sound at `sample_rate` in consecutive blocks of bounded size."""
        return audio_blocks(self._sound(), sample_rate, block_seconds, self._limits)

    @property
    def frames(self) -> Source:
        """The driving pictures of a video or image driver."""
        if self._frames is None:
            raise UsageError(f"{self.name} has no pictures.", "Give a driving video.")
        return self._frames

    def _sound(self) -> Path | Audio:
        if self.audio is None:
            raise MediaError(f"{self.name} has no sound.", "Give a recording of speech, or a video with sound.")
        return self.audio


def open_source(source: SourceLike, kinds: Sequence[str], limits: Limits | None = None) -> Source:
    """A source from a path, picture, array, tensor or clip; `kinds` are those the model accepts.

    Raises MediaError if it cannot be read or is of another kind, MediaLimitError if it is too large.
    """
    limits = limits or Limits.from_environment()
    if isinstance(source, Source):
        opened = source
    elif isinstance(source, Clip):
        opened = Source("the source clip", source)
    elif isinstance(source, (str, Path)):
        info = probe(source, limits)
        if info.kind == "audio":
            raise MediaError(f"{str(source)!r} is a sound file; the source has to show a face.", "Give a picture.")
        content = VideoReader(info, limits=limits) if info.kind == "video" else read_image(source, limits)
        opened = Source(repr(str(source)), content)
    else:
        opened = Source("the source picture", read_image(source, limits))
    kind = "image" if opened.still else "video"
    if kind not in kinds:
        raise MediaError(f"{opened.name} is of kind {kind}; this model needs {' or '.join(kinds)}.", _CONVERT[kind])
    return opened


_CONVERT = {"image": "Give a video of the person.", "video": "Give a picture of the person."}


def open_driver(
    driver: DriverLike, kinds: Sequence[str], drive_by: str = "auto", limits: Limits | None = None
) -> Driver:
    """A driver from a path, array with its rate, picture, clip, motion file or keyframes; None: by its options alone.
    One that is open already is only checked.

    A video drives by its pictures where the model accepts that, else by its sound; `drive_by` = audio or
    video settles it. Raises MediaError if it cannot be read or is of no accepted kind.
    """
    if drive_by not in ("auto", *kinds):
        raise UsageError(f"This model is not driven by {drive_by!r}.", f"It takes {' or '.join(kinds)}.")
    limits = limits or Limits.from_environment()
    opened = _open_any(driver, kinds if drive_by == "auto" else (drive_by,), limits)
    if opened.kind not in kinds or {opened.kind, drive_by} == {"audio", "video"}:
        # A video that has sound would have been taken for its sound.
        silent = " without sound" if opened.kind == "video" and "audio" in kinds else ""
        wanted = f"this model is driven by {' or '.join(kinds)}" if drive_by == "auto" else f"{drive_by} is asked for"
        raise MediaError(
            f"{opened.name} is of kind {opened.kind}{silent}; {wanted}.",
            f"Give a driver of that kind, or use a model that takes {opened.kind}: {_models_for(opened.kind)}.",
        )
    return opened


def _models_for(kind: str) -> str:
    names = [name for spec in bundled().values() if kind in spec.drivers for name in spec.variants]
    return ", ".join(names) or "none yet"


def _open_any(driver: DriverLike, kinds: Sequence[str], limits: Limits) -> Driver:
    if isinstance(driver, Driver):
        return driver
    if driver is None:
        if "edit" not in kinds:
            raise UsageError("This model needs a driver.", f"It takes {' or '.join(kinds)}.")
        return Driver("the options", "edit")
    if isinstance(driver, Keyframes):
        return Driver("the keyframes", "edit", keyframes=driver)
    if isinstance(driver, (Audio, tuple)):
        return Driver("the driving sound", "audio", audio=read_audio(driver, None, limits), limits=limits)
    if isinstance(driver, Clip):
        return Driver("the driving clip", "video", frames=open_source(driver, ("video",), limits))
    if isinstance(driver, str | Path) and Path(driver).is_dir():
        driver = FrameFolder(driver, limits=limits)
    if isinstance(driver, FrameFolder):
        frames = Source(repr(str(driver.path)), driver)
        return Driver(frames.name, "video", frames=frames, limits=limits)
    if not isinstance(driver, (str, Path)):
        return Driver("the driving picture", "image", frames=open_source(driver, ("image",), limits))
    return _open_file(Path(driver), kinds, limits)


def _open_file(path: Path, kinds: Sequence[str], limits: Limits) -> Driver:
    if path.suffix.lower() in (".npz", ".pkl", ".mat"):
        if not path.is_file():
            raise MediaError(f"There is no file {str(path)!r}.", "Check the path.")
        return Driver(repr(str(path)), "motion", motion=path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return Driver(repr(str(path)), "edit", keyframes=read_keyframes(path))
    info = probe(path, limits)
    if info.kind == "image":
        return Driver(repr(str(path)), "image", frames=open_source(path, ("image",), limits))
    sound = path if info.has_audio else None
    if info.kind == "video" and ("video" in kinds or sound is None):
        frames = Source(repr(str(path)), VideoReader(info, limits=limits))
        return Driver(frames.name, "video", audio=sound, frames=frames, limits=limits)
    return Driver(repr(str(path)), "audio", audio=sound, limits=limits)


def clip(frames: NDArray[np.uint8], fps: float | Fraction) -> Clip:
    """A video in memory: frames uint8 [T, H, W, 3] in RGB, and their rate (29.97 is taken as 30000/1001).

    Raises MediaError, UsageError.
    """
    return Clip(np.asarray(frames), _checked_rate(fps))


def frame_folder(path: str | Path, fps: float | str | Fraction = DEFAULT_FPS) -> FrameFolder:
    """A folder of pictures as a driving video, at a rate (29.97 is taken as 30000/1001). Raises MediaError.

    A path alone does for the default rate of 25 per second.
    """
    return FrameFolder(path, _checked_rate(fps))


def _checked_rate(fps: float | str | Fraction) -> Fraction:
    try:
        return frame_rate(fps)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise UsageError(f"{fps!r} is no frame rate.", "Give frames per second, such as 25 or 29.97.") from error


def _size(frame: Frame) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


def _check_size(what: str, size: tuple[int, int]) -> None:
    if min(size) < _SMALLEST_SIDE:
        raise MediaError(
            f"{what} is {size[1]} x {size[0]} pixels: too small to show a face.",
            f"Give a picture of at least {_SMALLEST_SIDE} pixels a side; faces need some 60.",
        )
