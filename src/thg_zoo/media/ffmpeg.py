"""The bundled ffmpeg: where it is, what it may open, and how its process is started, watched and ended."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import imageio_ffmpeg
from numpy.typing import NDArray

from thg_zoo.errors import MediaError

# Only demuxers that read the one file they are given. Playlists and scripts (hls, dash, concat, sdp, image2, ...)
# make ffmpeg open whatever they name, so they must never be on this list.
DEMUXERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "gif"),
    *("wav", "w64", "mp3", "aac", "ogg", "flac", "aiff", "caf", "au", "amr"),
)
PROTOCOLS = ("file", "pipe")

KEPT_LINES = 30
# What ffmpeg says when a container promises more data than the file holds (it still exits with 0).
_CUT_OFF = re.compile(r"partial file|ended prematurely|truncat", re.IGNORECASE)
_SPEAKER = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\]\s*")


def executable() -> str:
    """Path of the ffmpeg binary that the imageio-ffmpeg wheel carries (or IMAGEIO_FFMPEG_EXE names)."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError(
            f"No ffmpeg program was found: {error}", "Reinstall the package imageio-ffmpeg, which carries one."
        ) from error


def input_arguments(path: Path, *options: str) -> list[str]:
    """Arguments that open `path` as an input: allowed demuxers and protocols only, any file name.

    The prefix `file:` keeps names that begin with a dash or contain a colon from being read as an option or a
    protocol.
    """
    guards = ["-protocol_whitelist", ",".join(PROTOCOLS), "-format_whitelist", ",".join(DEMUXERS)]
    return [*guards, *options, "-i", f"file:{path}"]


def output_argument(path: Path) -> str:
    """The argument that names `path` as an output, whatever characters it has."""
    return f"file:{path}"


class Process:
    """A running ffmpeg with its standard streams as pipes.

    Standard error is read all the time by a thread (a full pipe would stop ffmpeg for ever); the last lines are
    kept. `kill` and `wait` leave neither a process nor a thread behind.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        feed: bool = False,
        read: bool = False,
        loglevel: str = "error",
        keep_lines: int = KEPT_LINES,
    ) -> None:
        # Its own session: Ctrl-C must reach Python alone, which then ends ffmpeg and removes what it wrote.
        command = [executable(), "-hide_banner", "-nostdin", "-loglevel", loglevel, *arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE if read else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise MediaError(
                f"{command[0]} cannot be started: {error.strerror}.", "Reinstall the package imageio-ffmpeg."
            ) from error
        self._lines: deque[str] = deque(maxlen=keep_lines)
        self._cut_off = False
        self._listener = threading.Thread(target=self._listen, name="ffmpeg-stderr", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for raw in read_lines(self._process.stderr):
            line = raw.decode("utf-8", "replace").rstrip()
            self._cut_off = self._cut_off or bool(_CUT_OFF.search(line))
            if line:
                self._lines.append(line)

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Close the pipes, wait for the end, and return the exit status. Where the waiting is interrupted, end it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            status = self._process.wait()
        except BaseException:  # Ctrl-C, which ffmpeg has not seen
            self._process.kill()
            self._process.wait()
            raise
        self._listener.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        return status

    def stop(self) -> None:
        """Make it end now, and its pipes with it; `wait` has still to be called."""
        if self.running:
            self._process.kill()

    def kill(self) -> None:
        """End it now, whatever it is doing, and clean up. Harmless on a process that has ended."""
        self.stop()
        self.wait()

    @property
    def lines(self) -> list[str]:
        """The last lines of its standard error, complete once `wait` has returned."""
        return list(self._lines)

    @property
    def cut_off(self) -> bool:
        """Whether ffmpeg noticed that the input ends before its container says so."""
        return self._cut_off

    def complaint(self, lines: int = 3) -> str:
        """The last different messages, without the names of ffmpeg's parts, for the end of an error."""
        messages = dict.fromkeys(_SPEAKER.sub("", line) for line in self._lines)
        return " / ".join(list(messages)[-lines:]) or "ffmpeg gave no reason"


def read_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a raw pipe, which by itself reads them byte by byte, each by a call to the system.

    Lines are cut at 4096 bytes, so that one without end cannot fill the memory.
    """
    buffered = io.BufferedReader(cast("io.RawIOBase", stream))
    return iter(lambda: buffered.readline(4096), b"")


def read_exactly(stream: IO[bytes], array: NDArray[Any]) -> int:
    """Fill the contiguous `array` from `stream`; returns how many bytes came before the end of the stream."""
    view, filled = array.data.cast("B"), 0
    while filled < len(view):
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]  # raw pipes have it, IO[bytes] does not
        if not got:
            break
        filled += got
    return filled


def write_all(stream: IO[bytes], array: NDArray[Any]) -> None:
    """Write the contiguous `array` whole: one `write` on a raw pipe may take only part of it."""
    view, sent = array.data.cast("B"), 0
    while sent < len(view):
        sent += stream.write(view[sent:])
