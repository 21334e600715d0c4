"""What a job is, where it runs, and what is recorded of it. Imports nothing heavy: every worker starts with it."""

from __future__ import annotations

import dataclasses
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from thg_zoo.errors import ThgZooError
from thg_zoo.jobs.identity import Identity

_VARIABLE_PARTS = re.compile(r"'[^']*'|\"[^\"]*\"|(?:[\w.]+:/)?/\S+|\d+(?:\.\d+)?")
_TRACE_LIMIT = 4000

Event: TypeAlias = dict[str, Any]
"""What happens while jobs run: `event` is start, worker, started, job, lost or end; see `thg_zoo.jobs.session`."""


@dataclass(frozen=True)
class Job:
    """One unit of work.

    id: unique among the jobs of a folder and the same in every run; fingerprint: changes with everything, apart
    from the content of `inputs`, on which the result depends; payload: what the worker needs, as JSON can hold
    it (paths, not frames); affinity: jobs with the same text go to the same worker if possible, one after the
    other, in the order of this text (so that what they share is prepared once); inputs: paths or URLs of the
    files that are read: when one of them changes, the job is run again.
    """

    id: str
    fingerprint: str
    payload: dict[str, Any]
    affinity: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a worker runs: its name for messages, its device (cpu, cuda:0, ...), its share of CPU threads."""

    name: str
    device: str
    threads: int


JobFunction: TypeAlias = Callable[[Job], Mapping[str, Any]]
"""Does a job and returns what is to be remembered of it, as JSON can hold it. Raises whatever went wrong."""

WorkerFactory: TypeAlias = Callable[[Place], JobFunction]
"""Called once in every worker process, so that models are loaded once. Has to be picklable: a function of a
module, a `functools.partial` of one, or an instance of a dataclass with `__call__`."""


@dataclass(frozen=True)
class Failure:
    """Why a job failed. kind: name of the exception; trace: only for what is no `ThgZooError`, and so a bug."""

    kind: str
    message: str
    remedy: str = ""
    trace: str = ""

    @property
    def cause(self) -> str:
        """The failure without the names and numbers of this one job: what failures are grouped by."""
        return f"{self.kind}: {_VARIABLE_PARTS.sub('…', self.message)}"

    @property
    def lost_gpu(self) -> bool:
        """Whether the process can use its GPU no more: CUDA gives the same error for whatever is asked of it later."""
        return bool(self.trace) and self.message.startswith("CUDA error")


@dataclass(frozen=True)
class Record:
    """What became of a job: one line of results.jsonl.

    status: done or failed; attempts: how often it was started in this run; seconds: of the attempt that ended it;
    finished: UTC, ISO 8601; inputs: what the files were when they were read; value: what the job returned.
    """

    id: str
    fingerprint: str
    status: str
    seconds: float
    worker: str
    finished: str
    attempts: int = 1
    inputs: tuple[Identity, ...] = ()
    value: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def done(self) -> bool:
        """Whether the job succeeded."""
        return self.status == "done"

    def to_json(self) -> dict[str, Any]:
        """The record as JSON can hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The record from `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        failure = data.get("failure")
        return cls(
            **{
                **data,
                "inputs": tuple(Identity(**identity) for identity in data.get("inputs", ())),
                "failure": Failure(**failure) if failure else None,
            }
        )


def describe_failure(error: BaseException) -> Failure:
    """An exception as a record keeps it."""
    if isinstance(error, ThgZooError):
        return Failure(type(error).__name__, error.message, error.remedy)
    trace = "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, str(error), "This is a bug: please report it.", trace[-_TRACE_LIMIT:])
