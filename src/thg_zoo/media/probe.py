"""What a media file is and holds, by its content, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from thg_zoo.errors import MediaError
from thg_zoo.media import image
from thg_zoo.media.header import Header, read_header
from thg_zoo.media.limits import Limits
from thg_zoo.media.sniff import picture_format, read_head, refuse_by_content
from thg_zoo.media.timing import FrameTiming, read_timing

Kind = Literal["image", "audio", "video"]


@dataclass(frozen=True)
class MediaInfo:
    """One media file. Times in seconds from its beginning, exact where the container is.

    `width`, `height`: as displayed, after rotation and with square pixels. `fps`: exact (30000/1001, not 29.97),
    the mean if the rate varies. `n_frames`: what a `VideoReader` will give, by the number of packets
    (a damaged one gives none).
    `timing` and `header`: what the readers need besides.
    """

    path: Path
    kind: Kind
    duration: Fraction | None = None
    width: int | None = None
    height: int | None = None
    fps: Fraction | None = None
    n_frames: int | None = None
    audio_rate: int | None = None
    audio_channels: int | None = None
    header: Header | None = None
    timing: FrameTiming | None = None

    @property
    def has_audio(self) -> bool:
        return self.audio_rate is not None

    @property
    def has_video(self) -> bool:
        return self.kind == "video"

    @property
    def constant_rate(self) -> bool:
        return self.timing is None or self.timing.constant


def probe(path: str | Path, limits: Limits | None = None) -> MediaInfo:
    """Find out what `path` is; its name plays no part.

    An animated gif is a video, any other picture an image. Raises MediaError for what cannot be read (missing,
    empty, a folder, a pipe, a playlist, text, damaged), MediaLimitError for what is above `limits`.
    """
    path = Path(path)
    limits = limits or Limits.from_environment()
    size = _picture_size(path, limits)
    if size is not None:
        return MediaInfo(path, "image", width=size[0], height=size[1])
    header = open_header(path, limits)
    sound = header.audio
    if header.video is None:
        assert sound is not None  # open_header refuses a file with neither
        return MediaInfo(
            path,
            "audio",
            duration=header.duration,
            audio_rate=sound.rate,
            audio_channels=sound.channels,
            header=header,
        )
    timing = read_timing(header, limits)
    duration = max(timing.end, header.duration or timing.end) if sound else timing.end
    limits.check_duration(str(path), duration)
    return MediaInfo(
        path,
        "video",
        duration=duration,
        width=header.video.width,
        height=header.video.height,
        fps=timing.fps,
        n_frames=timing.n_frames,
        audio_rate=sound.rate if sound else None,
        audio_channels=sound.channels if sound else None,
        header=header,
        timing=timing,
    )


def open_header(path: Path, limits: Limits) -> Header:
    """The header of a sound or video file, all refusals by content made; pictures are refused too.

    Raises MediaError, MediaLimitError.
    """
    head = read_head(path)
    refuse_by_content(path, head)
    if picture_format(head) not in (None, "GIF"):
        raise MediaError(f"{path} is a picture.", "Pass a sound or a video.")
    header = read_header(path, limits)
    if header.video is None and header.audio is None:
        raise MediaError(f"{path} has neither pictures nor sound.", "Check that the right file was given.")
    return header


def _picture_size(path: Path, limits: Limits) -> tuple[int, int] | None:
    """Displayed (width, height) of a still picture, None for anything else."""
    head = read_head(path)
    refuse_by_content(path, head)
    if picture_format(head) is None:
        return None
    with image.open_picture(path, limits) as picture:
        if picture.format == "GIF" and getattr(picture, "is_animated", False):
            return None
        return image.displayed_size(picture)
