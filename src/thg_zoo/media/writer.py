"""Video out: one interface for mp4, webm, gif and folders of PNG files; complete at the end or not there at all."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import OutputError
from thg_zoo.media.audio import Audio
from thg_zoo.media.encoder import FfmpegEncoder, Sound, open_sound, write_wav
from thg_zoo.media.gif import GifEncoder
from thg_zoo.media.image import Picture
from thg_zoo.media.limits import Limits
from thg_zoo.media.outputs import (
    OutputKind,
    check_output,
    failed_write,
    move_into_place,
    remove,
    temporary_beside,
)
from thg_zoo.media.pngs import PictureEncoder, PngEncoder

__all__ = ["OutputKind", "VideoWriter", "check_output"]

logger = logging.getLogger(__name__)

_LARGEST_INTEGER = 2**31 - 1  # of the numbers in ffmpeg's fractions
_LARGEST_TAG = 100_000  # systems limit the length of an argument to 128 KiB


class VideoWriter:
    """Writes frames RGB uint8 to `path`; its suffix decides the kind (see `check_output`).

    mp4: H.264 (crf 18, yuv420p, BT.709) and AAC, index first. webm: VP9 and Opus. gif: loops, no sound. No suffix:
    a folder of 000000.png, ..., and audio.wav. png: one frame without sound. Frame i is shown at i / fps exactly (gif
    and webm round to their clocks of 10 ms and 1 ms, without drift).

    `size`: (height, width) of the frames; an odd one is padded to even in mp4 by repeating the last row or column.
    `audio`: a file, whose sound keeps its place in time, or an `Audio`, of which the original file is used if it is
    known. It is neither cut nor extended to the length of the video, except that it ends at `duration` seconds if
    that is given. `metadata` and `xmp` are stored in the way of the format.

    Everything is written under a hidden temporary name beside `path` and renamed by `close`. `abort`, an exception in
    the `with` block, a failure of the encoder, or forgetting the writer removes it.

    `write` blocks while the encoder, a process of its own, is behind. Raises OutputError for whatever prevents the
    output (a full disk is named as such), MediaError for `audio` that cannot be read.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Fraction | int,
        size: tuple[int, int],
        audio: str | Path | Audio | None = None,
        metadata: Mapping[str, str] | None = None,
        overwrite: bool = False,
        *,
        duration: Fraction | None = None,
        xmp: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.path = Path(path)
        self.kind = check_output(self.path, overwrite)
        self.fps = _checked_fps(self.path, Fraction(fps))
        self.size = size
        self.n_frames = 0
        self._overwrite = overwrite
        tags = _checked_tags(self.path, metadata or {}, xmp)
        self._temporary = temporary_beside(self.path, self.kind.value)
        sound_file = temporary_beside(self.path, ".wav")
        try:
            self._sound = self._find_sound(audio, sound_file, duration, limits or Limits.from_environment())
            self._encoder = self._start(tags, xmp)
        except BaseException as error:
            for path in (self._temporary, sound_file):
                remove(path)
            if isinstance(error, OSError):
                raise failed_write(self.path, error) from error
            raise
        # Also runs when the writer is forgotten, or when the interpreter ends.
        self._discard = weakref.finalize(self, _discard, self._encoder, self._temporary, sound_file)

    def _find_sound(
        self, audio: str | Path | Audio | None, sound_file: Path, duration: Fraction | None, limits: Limits
    ) -> Sound | None:
        if audio is None:
            return None
        if self.kind in (OutputKind.GIF, OutputKind.PNG):
            logger.info("%s: a %s has no sound, so it is left out", self.path, self.kind.value[1:])
            return None
        if isinstance(audio, Audio):
            if audio.path is None:
                _write_samples(sound_file, audio)
            audio = audio.path or sound_file
        return open_sound(Path(audio), duration, limits)

    def _start(self, tags: Mapping[str, str], xmp: str | None) -> _Encoder:
        if self.kind is OutputKind.GIF:
            return GifEncoder(self._temporary, self.fps, self.size, tags, xmp)
        if self.kind is OutputKind.PNG_FOLDER:
            return PngEncoder(self._temporary, tags, xmp)
        if self.kind is OutputKind.PNG:
            return PictureEncoder(self._temporary, tags, xmp)
        return FfmpegEncoder(self._temporary, self.kind, self.fps, self.size, self._sound, tags, xmp)

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Add one frame [H, W, 3] or several [B, H, W, 3].

        Raises ValueError for another shape or type, OutputError if the output cannot be written.
        """
        if frames.dtype != np.uint8 or frames.ndim not in (3, 4) or frames.shape[-3:] != (*self.size, 3):
            raise ValueError(f"frames of {frames.dtype} {list(frames.shape)} given, uint8 {[*self.size, 3]} promised")
        if not self._discard.alive:
            raise OutputError(f"{self.path} was closed or has failed already.", "Open a new writer.")
        for frame in frames if frames.ndim == 4 else frames[None]:
            try:
                self._encoder.write(frame)
            except OSError as error:
                failure = failed_write(self.path, error)  # states the free space, so before anything is removed
                self.abort()
                raise failure from error
            self.n_frames += 1

    def close(self) -> Path:
        """Finish and rename into place. Raises OutputError, leaving nothing, if that fails or no frame was written."""
        if not self._discard.alive:
            return self.path
        try:
            if self.n_frames == 0:
                raise OutputError(f"{self.path} was not written: there are no frames.", "Check the driver's length.")
            self._encoder.finish()
            if self.kind is OutputKind.PNG_FOLDER and self._sound is not None:
                write_wav(self._sound, self._temporary / "audio.wav")
            move_into_place(self._temporary, self.path, self._overwrite)
        except OSError as error:
            raise failed_write(self.path, error) from error
        finally:
            self._discard()
        return self.path

    def abort(self) -> None:
        """Stop and remove everything written so far. Harmless after `close`."""
        self._discard()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class _Encoder(Protocol):
    """One output format: all three raise OSError for what the disk or the format refuses."""

    def write(self, frame: Picture) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...


def _write_samples(path: Path, audio: Audio) -> None:
    """A wav file of floats. Raises OSError, which soundfile does not."""
    from scipy.io import wavfile

    with path.open("wb") as file:
        wavfile.write(file, audio.sample_rate, audio.samples)


def _discard(encoder: _Encoder, *temporaries: Path) -> None:
    encoder.abort()
    for path in temporaries:
        remove(path)


def _checked_fps(path: Path, fps: Fraction) -> Fraction:
    if fps <= 0 or max(fps.numerator, fps.denominator) > _LARGEST_INTEGER:
        raise OutputError(f"{path} cannot have {fps} frames per second.", "Use a usual rate such as 25 or 30000/1001.")
    return fps


def _checked_tags(path: Path, metadata: Mapping[str, str], xmp: str | None) -> Mapping[str, str]:
    for key, value in {**metadata, "XMP": xmp or ""}.items():
        if not key or "=" in key or "\0" in key + value or len(value.encode()) > _LARGEST_TAG:
            raise OutputError(f"{path} cannot store the metadata entry {key[:80]!r}.", "Shorten or rename it.")
    return metadata
