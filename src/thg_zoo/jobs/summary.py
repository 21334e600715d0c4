"""summary.json: how far a run is, how fast, and why jobs failed. Written while it runs and when it ends."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from thg_zoo.errors import InputError
from thg_zoo.jobs.job import Record
from thg_zoo.jobs.performing import now
from thg_zoo.weights.records import write_atomically

logger = logging.getLogger(__name__)

NAME = "summary.json"
LOCK = ".thg-zoo-lock"


@dataclass
class _Work:
    """What was done for one model, in this run and in earlier ones."""

    jobs: int = 0
    frames: int = 0
    video_seconds: float = 0.0
    worker_seconds: float = 0.0


@dataclass
class Tally:
    """Counts of a run. Of what a job returns, `frames`, `video_seconds` and `model` are counted if they are there."""

    total: int
    skipped: int = 0
    done: int = 0
    failed: int = 0
    frames: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    models: dict[str, _Work] = field(default_factory=dict)
    started: str = field(default_factory=now)
    _begin: float = field(default_factory=time.monotonic)

    def skip(self, record: Record) -> None:
        """Count a job that an earlier run has settled."""
        self.skipped += record.done
        self._count(record)

    def add(self, record: Record) -> None:
        """Count a job that this run has ended."""
        self.done += record.done
        self.frames += int(record.value.get("frames", 0))
        self._count(record)

    @property
    def left(self) -> int:
        """Jobs that are neither done nor failed."""
        return self.total - self.skipped - self.done - self.failed

    def counts(self) -> dict[str, Any]:
        """The counts as JSON can hold them. `done` contains those that an earlier run had done (`skipped`); seconds
        and frames are of this run."""
        seconds = time.monotonic() - self._begin
        return {
            "total": self.total,
            "done": self.skipped + self.done,
            "skipped": self.skipped,
            "failed": self.failed,
            "left": self.left,
            "seconds": round(seconds, 2),
            "frames": self.frames,
            "frames_per_second": round(self.frames / seconds, 2) if seconds else 0.0,
        }

    def _count(self, record: Record) -> None:
        if record.failure is None:
            work = self.models.setdefault(str(record.value.get("model", "")), _Work())
            work.jobs += 1
            work.frames += int(record.value.get("frames", 0))
            work.video_seconds += float(record.value.get("video_seconds", 0.0))
            work.worker_seconds += record.seconds
            return
        self.failed += 1
        self.causes[record.failure.cause] += 1
        self.examples.setdefault(record.failure.cause, f"{record.id}: {record.failure.message}")


def write_summary(folder: Path, tally: Tally, state: str, in_flight: list[str]) -> None:
    """Replace the summary of a folder. It can be made again from the records, so a failure is only logged."""
    summary = {
        "state": state,
        **tally.counts(),
        "failures": [
            {"cause": cause, "jobs": n, "example": tally.examples[cause]} for cause, n in tally.causes.most_common()
        ],
        "models": {name: _rounded(work) for name, work in sorted(tally.models.items())},
        "in_flight": in_flight,
        "started": tally.started,
        "updated": now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    target = folder / NAME
    try:
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        write_atomically(target, text.encode(errors="backslashreplace"))
    except OSError as error:
        logger.warning("%s cannot be written: %s", target, error)


def read_summary(folder: str | Path) -> dict[str, Any]:
    """The summary of a run, going on or over; `state` is running, finished, interrupted, or killed.

    Counts of a killed run can lack its last two seconds; its records lack nothing. Raises InputError if there
    was no run in that folder.
    """
    path = Path(folder) / NAME
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        state = summary["state"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{str(folder)!r} holds no results of a batch.", "Give the folder that -o named.") from error
    if state == "running" and not _is_locked(Path(folder)):
        summary["state"] = "killed"
    return summary


def _is_locked(folder: Path) -> bool:
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _rounded(work: _Work) -> dict[str, Any]:
    """What was done, with the price: worker seconds per minute of video."""
    price = 60 * work.worker_seconds / work.video_seconds if work.video_seconds else None
    return {
        "jobs": work.jobs,
        "frames": work.frames,
        "video_seconds": round(work.video_seconds, 3),
        "worker_seconds": round(work.worker_seconds, 3),
        "worker_seconds_per_video_minute": price and round(price, 2),
    }
