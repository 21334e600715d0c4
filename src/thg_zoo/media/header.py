"""What ffmpeg says about a file before decoding anything: `ffmpeg -i FILE`, parsed.

The wheel carries no ffprobe. The lines parsed here have kept their form since ffmpeg 4:

    Duration: 00:00:06.01, start: 1.466733, bitrate: 2534 kb/s
    Stream #0:0[0x1](und): Video: h264 (Main), yuv420p(tv, bt709), 640x480 [SAR 1:1 DAR 4:3], 29.97 fps, 29.97 tbr
      Display Matrix: rotation of 90.00 degrees
    Stream #0:1: Audio: aac (LC), 44100 Hz, stereo, fltp, 128 kb/s
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from thg_zoo.errors import MediaError
from thg_zoo.media.ffmpeg import Process, input_arguments
from thg_zoo.media.limits import Limits

_INPUT = re.compile(r"^Input #0, (?P<container>.+), from ")
_DURATION = re.compile(r"^ +Duration: (?:(\d+):(\d+):(\d+)\.(\d+)|N/A)(?:.*?start: (-?\d+\.\d+))?")
_STREAM = re.compile(r"^ +Stream #0:(?P<index>\d+)\S*: (?P<type>\w+): (?P<rest>.*)$")
_SIZE = re.compile(r", (?P<width>\d+)x(?P<height>\d+)(?:,? \[?SAR (?P<x>\d+):(?P<y>\d+))?")
_FPS = re.compile(r", (?P<fps>\d+(?:\.\d+)?)(?P<k>k?) fps")
_ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees|^ +rotate +: (-?\d+)")
_RATE = re.compile(r", (\d+) Hz")
_LAYOUT = re.compile(r" Hz, ([^,]+)")
_NAMED_LAYOUTS = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8, "cube": 8}

# Far more streams than any limit allows, each with its metadata: the rest of a hostile header is dropped.
_HEADER_LINES = 5000


@dataclass(frozen=True)
class VideoStream:
    """The picture track: displayed size in square pixels (after rotation), the header's rounded rate, colours."""

    width: int
    height: int
    codec: str
    fps: float | None = None
    rotation: float = 0.0
    colours: str = ""

    @property
    def high_dynamic_range(self) -> bool:
        return "smpte2084" in self.colours or "arib-std-b67" in self.colours

    def rotated(self, degrees: float) -> VideoStream:
        quarter_turns = round(degrees / 90)
        width, height = (self.height, self.width) if quarter_turns % 2 else (self.width, self.height)
        return replace(self, width=width, height=height, rotation=degrees)


@dataclass(frozen=True)
class AudioStream:
    """The sound track: sample rate in Hz and number of channels (None for a layout that ffmpeg has to mix)."""

    rate: int
    channels: int | None
    codec: str


@dataclass(frozen=True)
class Header:
    """A container's own statement; times in seconds, `start` being its time of the earliest stream."""

    path: Path
    container: str
    duration: Fraction | None
    start: Fraction
    streams: int
    video: VideoStream | None
    audio: AudioStream | None

    @property
    def origin(self) -> Fraction:
        """The container's time that counts as 0. What lies before a negative start is encoder priming."""
        return max(self.start, Fraction(0))


def read_header(path: Path, limits: Limits) -> Header:
    """Ask ffmpeg what is in `path` (a regular file, see `sniff`) and check it against `limits`.

    Raises MediaError if it is nothing that ffmpeg reads, MediaLimitError if it is above a limit.
    """
    process = Process(input_arguments(path), loglevel="info", keep_lines=_HEADER_LINES)
    process.wait()  # always an error status: no output was named
    header = parse_header(path, process.lines)
    if header is None:
        raise _not_media(path, process)
    limits.check_streams(str(path), header.streams)
    if header.video is not None:
        limits.check_size(str(path), header.video.width, header.video.height)
    if header.duration is not None:
        limits.check_duration(str(path), header.duration)
    return header


def parse_header(path: Path, lines: list[str]) -> Header | None:
    """The header in the lines that ffmpeg printed, or None if it could not open the file."""
    container: str | None = None
    duration: Fraction | None = None
    start = Fraction(0)
    streams = 0
    video: VideoStream | None = None
    audio: AudioStream | None = None
    in_video = False
    for line in lines:
        if container is None:
            container = match["container"] if (match := _INPUT.match(line)) else None
        elif match := _DURATION.match(line):
            duration, start = _times(match)
        elif match := _STREAM.match(line):
            streams += 1
            in_video = False
            if match["type"] == "Video" and video is None and "(attached pic)" not in match["rest"]:
                video = _video_stream(match["rest"])
                in_video = video is not None
            elif match["type"] == "Audio" and audio is None:
                audio = _audio_stream(match["rest"])
        elif in_video and video is not None and (match := _ROTATION.search(line)):
            video = video.rotated(float(match[1] or match[2]))
            in_video = False
    return None if container is None else Header(path, container, duration, start, streams, video, audio)


def _times(match: re.Match[str]) -> tuple[Fraction | None, Fraction]:
    hours, minutes, seconds, hundredths, start = match.groups()
    duration = None
    if hours is not None:
        duration = Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(f"0.{hundredths}")
    return duration, Fraction(start or 0)


def _video_stream(rest: str) -> VideoStream | None:
    size = _SIZE.search(rest)
    if size is None:
        return None
    width, height = int(size["width"]), int(size["height"])
    if size["x"] and int(size["x"]) and int(size["y"]):
        width = max(1, round(width * Fraction(int(size["x"]), int(size["y"]))))
    fps = None
    if match := _FPS.search(rest):
        fps = float(match["fps"]) * (1000 if match["k"] else 1)
    return VideoStream(width, height, codec=_codec(rest), fps=fps, colours=rest[: size.start()])


def _audio_stream(rest: str) -> AudioStream | None:
    rate = _RATE.search(rest)
    if rate is None or int(rate[1]) == 0:
        return None
    layout = _LAYOUT.search(rest)
    return AudioStream(int(rate[1]), _channels(layout[1].strip()) if layout else None, _codec(rest))


def _channels(layout: str) -> int | None:
    if layout in _NAMED_LAYOUTS:
        return _NAMED_LAYOUTS[layout]
    if match := re.match(r"(\d+) channels", layout):
        return int(match[1])
    if match := re.match(r"(\d)\.(\d)(?:\.(\d))?(?![\d])", layout):  # 5.1(side), 7.1.4
        return sum(int(part) for part in match.groups() if part)
    return None


def _codec(rest: str) -> str:
    return re.split(r"[ ,]", rest, maxsplit=1)[0]


def _not_media(path: Path, process: Process) -> MediaError:
    said = " ".join(process.lines)
    if "moov atom not found" in said:
        return MediaError(
            f"{path} is cut off or was never finished: its index (the moov atom) is missing.",
            "Copy, download or record it again.",
        )
    if "not on whitelist" in said:
        return MediaError(
            f"{path} is of a kind that is not accepted (playlists and device streams never are).",
            "Convert it to mp4, webm or wav first.",
        )
    reason = re.sub(r"^Error opening input: ", "", process.complaint(1))
    return MediaError(
        f"{path} is not a picture, sound or video that can be read ({_first_reason(process) or reason}).",
        "Check that it plays elsewhere, or convert it to mp4, wav or png.",
    )


def _first_reason(process: Process) -> str:
    reasons = [re.sub(r"^\[[^\]]*\] ", "", line) for line in process.lines if line.startswith("[")]
    return reasons[-1].removeprefix("Error opening input: ") if reasons else ""
