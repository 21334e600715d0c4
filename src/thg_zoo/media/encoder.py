"""Frames and sound to mp4 or webm: one ffmpeg process, fed with RGB through a pipe."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from thg_zoo.errors import MediaError
from thg_zoo.media.audio import alignment_filter
from thg_zoo.media.ffmpeg import Process, input_arguments, output_argument, write_all
from thg_zoo.media.image import Picture
from thg_zoo.media.limits import Limits
from thg_zoo.media.outputs import OutputKind
from thg_zoo.media.probe import open_header
from thg_zoo.media.tagging import append_mp4_xmp

logger = logging.getLogger(__name__)

_BT709 = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
_TO_YUV = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd,format=yuv420p"
# By measurement (512x512 photograph in motion, crf 18, two cores; frames/s, frames/s per core, size):
# ultrafast 680, 400, 8.6 MB; superfast 420, 270, 2.4 MB; veryfast 360, 208, 1.2 MB; faster 217, 126, 1.3 MB.
# The number of threads does not change the cost, so x264 chooses it. VP9 with cpu-used 6: 214, 132.
_VIDEO_CODECS = {
    OutputKind.MP4: ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18"),
    OutputKind.WEBM: (
        *("-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0"),
        *("-deadline", "realtime", "-cpu-used", "6", "-row-mt", "1"),
    ),
}
_AUDIO_CODECS = {
    OutputKind.MP4: ("-c:a", "aac", "-b:a", "192k"),
    OutputKind.WEBM: ("-c:a", "libopus", "-b:a", "128k"),
}
_CONTAINERS = {
    OutputKind.MP4: ("-movflags", "+faststart+use_metadata_tags", "-f", "mp4"),
    OutputKind.WEBM: ("-f", "webm"),
}
# Other rates become 48 kHz: every player takes it, and an AAC block (1024 samples) stays near half a frame of video.
_KEPT_RATES = {OutputKind.MP4: (44_100, 48_000), OutputKind.WEBM: (48_000,)}
_PLAYER_RATE = 48_000


@dataclass(frozen=True)
class Sound:
    """A sound track to be muxed: the file, the filter that keeps its place in time, its sample rate in Hz."""

    path: Path
    filter: str
    rate: int


def open_sound(path: Path, duration: Fraction | None, limits: Limits) -> Sound:
    """The sound of the file `path`, ending at `duration` seconds if given. Raises MediaError, MediaLimitError."""
    header = open_header(path, limits)
    if header.audio is None:
        raise MediaError(f"{path} has no sound.", "Pass a sound file, or a video with a sound track.")
    return Sound(path, alignment_filter(header, duration), header.audio.rate)


def write_wav(sound: Sound, path: Path) -> None:
    """Decode `sound` to a 16-bit wav file. Raises OSError."""
    inputs = ["-y", "-copyts", *input_arguments(sound.path), "-map", "0:a:0", "-af", sound.filter]
    process = Process(
        [*inputs, "-map_metadata", "-1", "-c:a", "pcm_s16le", "-f", "wav", output_argument(path)],
    )
    if process.wait():
        raise OSError(process.complaint())


class FfmpegEncoder:
    """Writes frames RGB uint8 [H, W, 3] at exactly `fps`, and `sound`, to `path`.

    An odd height or width is made even in mp4 (yuv420p has no half samples) by repeating the last row or column.
    Raises OSError with ffmpeg's own words.
    """

    def __init__(
        self,
        path: Path,
        kind: OutputKind,
        fps: Fraction,
        size: tuple[int, int],
        sound: Sound | None,
        metadata: Mapping[str, str],
        xmp: str | None,
    ) -> None:
        self._path = path
        self._box = xmp if kind is OutputKind.MP4 else None
        height, width = size
        self._padding = (height % 2, width % 2) if kind is OutputKind.MP4 else (0, 0)
        down, right = self._padding
        if down or right:
            logger.info("%dx%d frames are padded to %dx%d, as H.264 needs", width, height, width + right, height + down)
        tags = {**metadata, "XMP": xmp} if xmp and kind is OutputKind.WEBM else metadata
        frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width + right}x{height + down}"]
        rate = ["-framerate", f"{fps.numerator}/{fps.denominator}"]
        arguments = ["-y", "-copyts", *frames, *rate, "-i", "pipe:0"]
        outputs = ["-map", "0:v:0", "-vf", _TO_YUV, *_BT709, *_VIDEO_CODECS[kind]]
        if sound is not None:
            arguments += input_arguments(sound.path)
            outputs += _sound_arguments(kind, sound)
        # Titles, cover pictures and chapters of the sound's file are not those of this video.
        outputs += ["-map_metadata", "-1", "-map_chapters", "-1", *_tag_arguments(tags), *_CONTAINERS[kind]]
        self._process = Process([*arguments, *outputs, output_argument(path)], feed=True)

    def write(self, frame: Picture) -> None:
        """Add one frame; blocks while the encoder is behind."""
        down, right = self._padding
        if down or right:
            frame = np.pad(frame, ((0, down), (0, right), (0, 0)), mode="edge")
        try:
            write_all(self._process.stdin, np.ascontiguousarray(frame))
        except OSError as error:
            self._process.wait()  # its pipe is broken, so it is ending; only then is its complaint complete
            raise OSError(self._process.complaint()) from error

    def finish(self) -> None:
        if self._process.wait():
            raise OSError(self._process.complaint())
        if self._box:
            append_mp4_xmp(self._path, self._box)

    def abort(self) -> None:
        self._process.kill()


def _sound_arguments(kind: OutputKind, sound: Sound) -> list[str]:
    rate = sound.rate if sound.rate in _KEPT_RATES[kind] else _PLAYER_RATE
    return ["-map", "1:a:0", "-af", sound.filter, *_AUDIO_CODECS[kind], "-ar", f"{rate}"]


def _tag_arguments(tags: Mapping[str, str]) -> list[str]:
    return [argument for key, value in tags.items() for argument in ("-metadata", f"{key}={value}")]
