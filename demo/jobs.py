"""Runs that wait for a worker: one thread per device, first come, first served, watched from outside."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from thg_zoo.errors import Cancelled, ThgZooError
from thg_zoo.run import Progress

logger = logging.getLogger(__name__)

ToolT = TypeVar("ToolT")
State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]

# A run that nobody has looked at for so long is given up: longer than a reload takes, shorter than patience.
_ABANDONED_SECONDS = 60.0


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment: its place in the queue, or its stage with rate (items per second) and seconds left."""

    state: State
    ahead: int = 0
    stage: str = ""
    done: int = 0
    total: int | None = None
    rate: float | None = None
    left: float | None = None


class Job:
    """One task of one visitor. `result` is there when the state is done, `error` when it is failed."""

    def __init__(self, visitor: str, kind: str) -> None:
        self.id = secrets.token_urlsafe(16)
        self.visitor = visitor
        self.kind = kind
        self.state: State = "waiting"
        self.result: Any = None
        self.error: ThgZooError | None = None
        self._cancel = threading.Event()
        self._seen = time.monotonic()
        self._progress = Progress("start", 0, None)
        self._stage_began = self._seen
        self._stage_offset = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Stop it at the next opportunity."""
        self._cancel.set()

    def cancelled(self) -> bool:
        """Whether it is to stop: somebody said so, or nobody is looking any more."""
        return self._cancel.is_set() or time.monotonic() - self._seen > _ABANDONED_SECONDS

    def advance(self, progress: Progress) -> None:
        """Progress as the library reports it."""
        if progress.stage != self._progress.stage:
            # The first items of a stage pay for what is set up with them; the rate counts from there.
            self._stage_began, self._stage_offset = time.monotonic(), progress.done
        self._progress = progress

    def look(self, ahead: int = 0) -> Snapshot:
        """How it stands. Looking also says that somebody still waits for it."""
        self._seen = time.monotonic()
        if self.state != "running":
            return Snapshot(self.state, ahead)
        now = self._progress
        seconds, items = self._seen - self._stage_began, now.done - self._stage_offset
        rate = items / seconds if items > 0 and seconds > 0 else None
        left = (now.total - now.done) / rate if rate and now.total else None
        return Snapshot(self.state, 0, now.stage, now.done, now.total, rate, left)


class JobQueue(Generic[ToolT]):
    """Jobs in the order in which they came, worked off by one thread per tool (a device with its models, say).

    idle: called with the tool after each `idle_seconds` without work.
    """

    def __init__(
        self,
        tools: Sequence[ToolT],
        *,
        max_waiting: int,
        max_per_visitor: int,
        idle: Callable[[ToolT], None] | None = None,
        idle_seconds: float = 300.0,
    ) -> None:
        self._waiting: list[tuple[Job, Callable[[Job, ToolT], Any], ToolT | None]] = []
        self._running: set[Job] = set()
        self._change = threading.Condition()
        self._closed = False
        self._max_waiting = max_waiting
        self._max_per_visitor = max_per_visitor
        self._idle = idle
        self._idle_seconds = idle_seconds
        self._threads = [
            threading.Thread(target=self._work, args=(tool,), name=f"demo-worker-{k}", daemon=True)
            for k, tool in enumerate(tools)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, task: Callable[[Job, ToolT], Any], only: ToolT | None = None) -> Job:
        """Queue a job, for the worker that holds the tool `only` if one is named. Raises ThgZooError if it is full."""
        with self._change:
            try:
                self._refuse_beyond_limits(job)
            except ThgZooError:
                job.state = "failed"
                raise
            self._waiting.append((job, task, only))
            self._change.notify_all()
        return job

    def look(self, job: Job) -> Snapshot:
        """How a job stands, with the number of runs before it."""
        with self._change:
            order = [entry[0] for entry in self._waiting]
            if job in order and job.cancelled():
                self._waiting = [entry for entry in self._waiting if entry[0] is not job]
                job.state = "cancelled"
            ahead = order.index(job) + len(self._running) if job in order else 0
        return job.look(ahead)

    @property
    def load(self) -> tuple[int, int]:
        """How many jobs run and how many wait."""
        with self._change:
            return len(self._running), len(self._waiting)

    def close(self) -> None:
        """Cancel everything and end the threads."""
        with self._change:
            self._closed = True
            for job in (*self._running, *(entry[0] for entry in self._waiting)):
                job.cancel()
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def _refuse_beyond_limits(self, job: Job) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise ThgZooError(f"{len(self._waiting)} runs are waiting already.", "Try again in a few minutes.")
        mine = sum(j.visitor == job.visitor for j in (*self._running, *(entry[0] for entry in self._waiting)))
        if mine >= self._max_per_visitor:
            raise ThgZooError(f"{mine} of your runs are in the queue already.", "Wait for one, or cancel it.")

    def _work(self, tool: ToolT) -> None:
        while not self._closed:
            entry = self._next(tool)
            if entry is not None:
                self._perform(*entry, tool)
                with self._change:
                    self._running.discard(entry[0])
            elif self._idle and not self._closed:
                self._idle(tool)

    def _next(self, tool: ToolT) -> tuple[Job, Callable[[Job, ToolT], Any]] | None:
        """The next job for this tool, which counts as running from here; None at the end, or if none came for long."""
        with self._change:
            while not self._closed:
                for k, (job, task, only) in enumerate(self._waiting):
                    if only is None or only is tool:
                        del self._waiting[k]
                        self._running.add(job)
                        return job, task
                if not self._change.wait(self._idle_seconds):
                    break
        return None

    def _perform(self, job: Job, task: Callable[[Job, ToolT], Any], tool: ToolT) -> None:
        if job.cancelled():
            job.state = "cancelled"
            return
        job.state = "running"
        try:
            job.result = task(job, tool)
        except Cancelled:
            job.state = "cancelled"
        except ThgZooError as error:
            job.error, job.state = error, "failed"
        except Exception as error:
            logger.exception("a run of the demo failed")
            job.error = ThgZooError(f"{type(error).__name__}: {error}.", "This is a bug: please report it.")
            job.state = "failed"
        else:
            job.state = "done"
