"""A real server for the tests of the page: the command `thg-zoo demo` in a process and a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STARTED = 60


@dataclass(frozen=True)
class Page:
    """A running server. folder: where it keeps everything; started: seconds until the page answered."""

    url: str
    process: subprocess.Popen[str]
    folder: Path
    started: float

    @property
    def root(self) -> Path:
        """The private folder that the server made."""
        return next(p for p in self.folder.iterdir() if p.name.startswith("thg-zoo-demo-"))

    def files(self) -> list[Path]:
        """What visitors have left behind, but for the bundled example."""
        found = (p for p in self.root.rglob("*") if p.is_file() and p.name != "lock")
        return [p for p in found if p.parent.name != "examples"]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Page]:
    """`thg-zoo demo ARGUMENTS`, ended as Ctrl-C ends it."""
    port = free_port()
    command = [sys.executable, "-m", "thg_zoo", "demo", "--port", str(port), *arguments]
    variables = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", **environment}
    begin = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=variables, cwd=folder)
        try:
            yield Page(f"http://127.0.0.1:{port}", process, folder, _answer(process, port, begin, folder))
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answer(process: subprocess.Popen[str], port: int, begin: float, folder: Path) -> float:
    while time.monotonic() - begin < STARTED:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                answer.read()
        except OSError:
            time.sleep(0.05)
        else:
            return time.monotonic() - begin
    raise AssertionError(f"the page did not start: {(folder / 'log.txt').read_text()}")
