"""The cells of a grid: each gives its pictures at exact times, at the size it is shown, for as long as it is asked."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.comparison.lettering import BRIGHT, DIM, PANEL, WARNING, notice
from thg_zoo.comparison.results import Row
from thg_zoo.inputs import Driver, Source
from thg_zoo.timing import at_rate

Picture: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
Pictures: TypeAlias = Callable[[Fraction, Size], Generator[Picture]]

_SOUND_RATE = 8000
_PEAKS_PER_SECOND = 100


@dataclass(frozen=True)
class Cell:
    """One cell.

    size: (height, width) of its pictures as they are, None if they are drawn for the cell; duration: seconds, None for
    what does not move; pictures(fps, size): endless, picture i is what is on screen at i / fps seconds, scaled to
    `size`; the same array again where nothing changes; reason: why there is nothing, of a cell that stands for
    something that failed.
    """

    title: str
    subtitle: str
    size: Size | None
    duration: Fraction | None
    pictures: Pictures
    reason: str = ""


def source_cell(source: Source) -> Cell:
    """The source itself, a picture or a video."""
    what = f"{source.size[1]} x {source.size[0]}"
    if source.still:
        return Cell("source", what, source.size, None, _unmoved(source.first()))
    return _video_cell("source", f"{what}, {_rate(source.fps)} fps", source)


def driver_cell(driver: Driver) -> Cell:
    """The driver: its pictures, or its sound as a curve with a moving line."""
    if driver.kind == "audio":
        peaks = _peaks(driver.audio_blocks(_SOUND_RATE))
        duration = Fraction(len(peaks), _PEAKS_PER_SECOND)
        return Cell("driver", f"speech, {float(duration):.1f} s", None, duration, _sound(peaks, duration))
    if driver.kind in ("motion", "edit"):
        what = "motion file" if driver.kind == "motion" else "edit"
        return Cell("driver", what, None, None, _text(without_folders(driver.name)))
    frames = driver.frames
    what = f"{frames.size[1]} x {frames.size[0]}"
    if frames.still:
        return Cell("driver", what, frames.size, None, _unmoved(frames.first()))
    return _video_cell("driver", f"{what}, {_rate(frames.fps)} fps", frames)


def model_cell(row: Row, video: Source | None) -> Cell:
    """What a model made; where it failed (`video` is None), the reason."""
    if video is None:
        reason = without_folders(row.error) or "It gave no reason."
        return Cell(row.model, "failed", None, None, _text(reason), reason)
    assert row.timings is not None
    what = f"{row.size[1]} x {row.size[0]}, {_rate(row.fps)} fps, {row.timings.per_frame:.3g} s/frame"
    return _video_cell(row.model + (" (random weights)" if row.random_weights else ""), what, video)


def scaled(picture: Picture, size: Size) -> Picture:
    """Resized to (height, width): averaged where it shrinks, cubic where it grows; the same for all."""
    if picture.shape[:2] == size:
        return picture
    rule = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=rule), np.uint8)


def endless(frames: Iterator[Picture]) -> Iterator[Picture]:
    """The frames, and the last one for ever."""
    for frame in frames:
        last = frame
        yield frame
    yield from itertools.repeat(last)


def without_folders(text: str) -> str:
    """A message with the files in it named without their folders: there is little room."""
    return re.sub(r"'[^']*[/\\]([^'/\\]+)'|(?<!\S)/\S*/(\S+)", lambda found: found[1] or found[2], text)


def _video_cell(title: str, subtitle: str, video: Source) -> Cell:
    rate = video.fps
    assert rate is not None

    def pictures(fps: Fraction, size: Size) -> Generator[Picture]:
        with contextlib.closing(video.frames()) as frames:
            yield from endless(at_rate((scaled(frame, size) for frame in frames), rate, fps))

    return Cell(title, subtitle, video.size, video.n_frames / rate, pictures)


def _unmoved(picture: Picture) -> Pictures:
    def pictures(fps: Fraction, size: Size) -> Generator[Picture]:  # noqa: ARG001 (nothing moves)
        yield from itertools.repeat(scaled(picture, size))

    return pictures


def _text(text: str) -> Pictures:
    def pictures(fps: Fraction, size: Size) -> Generator[Picture]:  # noqa: ARG001 (nothing moves)
        yield from itertools.repeat(notice(text, size, WARNING))

    return pictures


def _sound(peaks: NDArray[np.float32], duration: Fraction) -> Pictures:
    def pictures(fps: Fraction, size: Size) -> Generator[Picture]:
        curve = waveform(peaks, size)
        for i in itertools.count():
            column = min(size[1] - 1, int(i / fps / duration * size[1]))
            picture = curve.copy()
            picture[:, max(0, column - 1) : column + 1] = WARNING
            yield picture

    return pictures


def waveform(peaks: NDArray[np.float32], size: Size) -> Picture:
    """Loudness over time as a filled curve about the middle, uint8 [*size, 3]; the loudest peak fills the height."""
    height, width = size
    edges = np.linspace(0, len(peaks), width + 1).astype(int)
    level = np.array([peaks[a : max(b, a + 1)].max() for a, b in itertools.pairwise(edges)])
    reach = level / max(float(peaks.max()), 1e-6) * 0.42 * height
    distance = np.abs(np.arange(height) - (height - 1) / 2)[:, None]
    picture = np.full((height, width, 3), PANEL, np.uint8)
    picture[distance <= np.maximum(reach, 0.5)] = DIM
    picture[distance <= reach * 0.4] = BRIGHT
    return picture


def _peaks(blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The largest magnitude of every hundredth of a second."""
    step = _SOUND_RATE // _PEAKS_PER_SECOND
    found, held = [], np.empty(0, np.float32)
    for block in blocks:
        held = np.concatenate((held, np.abs(block)))
        whole = len(held) // step * step
        found.append(held[:whole].reshape(-1, step).max(axis=1, initial=0))
        held = held[whole:]
    if len(held):
        found.append(held.max(keepdims=True))
    return np.concatenate(found)


def _rate(fps: Fraction | None) -> str:
    return "?" if fps is None else f"{float(fps):.5g}"
