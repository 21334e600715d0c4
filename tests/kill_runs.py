"""Kills a run, or one of its workers, at random moments, and starts it again until everything is done."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from thg_zoo.jobs import read_records

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
MARK = "THG_ZOO_TEST_RUN"


@dataclass
class Fire:
    """What was done to the runs: signals by victim, and the jobs that were done at each start."""

    main_kills: int = 0
    worker_kills: int = 0
    starts: list[tuple[int, set[str]]] = field(default_factory=list)


def run_under_fire(
    command: Sequence[str | Path],
    results: Path,
    begun: Callable[[], int],
    *,
    kills: int,
    longest: float,
    seed: int,
    environment: Mapping[str, str] | None = None,
) -> Fire:
    """Run `command` until it ends by itself with exit code 0, killing it `kills` times before.

    results: the folder of its records; begun: how many jobs have been started so far; longest: seconds until the
    next kill at most.
    """
    chance = random.Random(seed)
    fire = Fire()
    while True:
        mark = uuid.uuid4().hex
        fire.starts.append((begun(), {record.id for record in read_records(results) if record.done}))
        environ = {**os.environ, **(environment or {}), MARK: mark}
        with subprocess.Popen([str(c) for c in command], env=environ, start_new_session=True) as process:
            while fire.main_kills + fire.worker_kills < kills and process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(0.0, longest))
                _shoot(process, chance, fire)
            code = process.wait(300)
        assert vanished(mark), "processes were left behind"
        if code == 0:
            return fire
        assert code in (-signal.SIGKILL, 7), f"the run ended with {code}"


def _shoot(process: subprocess.Popen[bytes], chance: random.Random, fire: Fire) -> None:
    if process.poll() is not None:
        return
    workers = workers_of(process.pid)
    if workers and chance.random() < 0.5:
        fire.worker_kills += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(workers), signal.SIGKILL)
        return
    fire.main_kills += 1
    process.kill()
    process.wait()


def workers_of(pid: int) -> list[int]:
    """Worker processes of a run."""
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def marked(mark: str) -> list[int]:
    """Processes that were started, directly or not, with `mark` in the environment."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdecimal() or f"{MARK}={mark}".encode() not in (entry / "environ").read_bytes():
                continue
            # Ray's own processes notice within a minute or two that their node has gone; only its actors hold jobs.
            command = (entry / "cmdline").read_bytes()
            if b"ray::_Actor" in command or not (b"ray::" in command or b"/ray/" in command):
                found.append(int(entry.name))
    return found


def vanished(mark: str, seconds: float = 20.0) -> bool:
    """Whether all of them end within so many seconds."""
    end = time.monotonic() + seconds
    while marked(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
