"""Small media files for tests, made with the bundled ffmpeg, numpy and Pillow."""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

# Names that shells, ffmpeg's options, protocols and numbered patterns would each read as something else.
AWKWARD_NAMES = ["a b", "ünï ☺", "-dash", "new\nline", "%03d", "co:lon", "it's \"q\" 'x'", "http:x", "a,b;c=[d]"]

NUMBER_SIZE = (48, 64)
_BITS = 8


def ffmpeg(*arguments: str | Path, data: bytes | None = None) -> bytes:
    """Run the bundled ffmpeg and return its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def numbered_frame(number: int) -> NDArray[np.uint8]:
    """[48, 64, 3]: the number in binary as eight black or white columns, which survive any codec."""
    bits = np.array([255 * (number >> bit & 1) for bit in range(_BITS)], np.uint8)
    columns = np.repeat(bits, NUMBER_SIZE[1] // _BITS)
    return np.broadcast_to(columns[None, :, None], (*NUMBER_SIZE, 3)).copy()


def number_of(frame: NDArray[np.uint8]) -> int:
    """The number that `numbered_frame` drew."""
    columns = frame.mean(axis=(0, 2)).reshape(_BITS, -1)[:, 2:-2].mean(axis=1)
    return int(sum(1 << bit for bit, value in enumerate(columns) if value > 127))


def numbers_of(frames: Iterable[NDArray[np.uint8]]) -> list[int]:
    return [number_of(frame) for frame in frames]


def numbered_video(path: Path, n: int, rate: str, *options: str | Path) -> Path:
    """Frames 0 .. n-1 at `rate`, in the container and codec that the suffix and `options` say."""
    data = b"".join(numbered_frame(number).tobytes() for number in range(n))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", rate, "-i", "-"]
    ffmpeg(*raw, *options, f"file:{path}", data=data)
    return path


def click(seconds: float, at: float, rate: int = 16_000) -> NDArray[np.float32]:
    """Silence with a burst of 2 kHz, 20 ms long, that begins at `at` seconds."""
    samples = np.zeros(round(seconds * rate), np.float32)
    burst = np.sin(2 * np.pi * 2000 * np.arange(rate // 50) / rate)
    start = round(at * rate)
    samples[start : start + len(burst)] = 0.8 * burst
    return samples


def onset(samples: NDArray[np.float32], rate: int) -> float:
    """Seconds until the first loud sample."""
    return float(np.argmax(np.abs(samples) > 0.2)) / rate


def left_behind(folder: Path) -> list[str]:
    """Names of temporary files that should have been removed."""
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".thg-zoo-")]


def huge_png(path: Path, side: int) -> Path:
    """A PNG whose header claims side x side pixels; its data is not needed to refuse it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)))
    return path
