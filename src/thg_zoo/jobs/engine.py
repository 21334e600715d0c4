"""What an engine is: a pool of workers somewhere. Handing out jobs, retries and order are the same for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from thg_zoo.jobs.job import Failure, Job, Record, WorkerFactory


@dataclass(frozen=True)
class Ready:
    """A worker can take jobs."""

    worker: int


@dataclass(frozen=True)
class Finished:
    """A worker did its job, or recorded why not, and can take the next."""

    worker: int
    record: Record


@dataclass(frozen=True)
class Gone:
    """A worker ended without being told to. reason: in words; failure: what it said itself, if it could not start."""

    worker: int
    reason: str
    failure: Failure | None = None


Message = Ready | Finished | Gone


class Pool(Protocol):
    """Workers, by number. All calls come from one thread; none waits but `wait` and `close`."""

    def start(self, worker: int) -> None:
        """Start a worker; `Ready` follows, or `Gone`."""

    def submit(self, worker: int, job: Job) -> None:
        """Give a job to a worker that is ready; `Finished` follows, or `Gone`."""

    def wait(self, seconds: float) -> list[Message]:
        """What has happened; waits for something to happen, at most so long."""

    def stop(self, worker: int) -> None:
        """Let a worker without a job end."""

    def kill(self, worker: int) -> None:
        """End a worker in the middle of its job; `Gone` follows."""

    def close(self) -> None:
        """End all workers, whatever they do, and wait until they have ended."""


class Engine(Protocol):
    """Where jobs run. An engine is a description: `open` starts what it describes."""

    @property
    def retries(self) -> int:
        """How often a job is started again after its worker was lost."""

    @property
    def timeout(self) -> float | None:
        """Seconds after which a job is taken for hanging and its worker ended; None for never."""

    @property
    def workers(self) -> int:
        """How many workers there are at most. Raises DeviceError, UsageError if there cannot be any."""

    def open(self, factory: WorkerFactory) -> Pool:
        """A pool that makes its workers with `factory`. Raises UsageError if it cannot be had."""

    def describe(self) -> str:
        """The engine in words, for people."""
