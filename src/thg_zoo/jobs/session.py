"""One run over a folder of results: what is finished is skipped, the rest done, everything written down.

The folder holds results.jsonl (see `ledger`), summary.json (see `summary`), and a lock that one run at a time has.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from thg_zoo.errors import OutputError
from thg_zoo.jobs.dispatch import Dispatcher
from thg_zoo.jobs.engine import Engine
from thg_zoo.jobs.identity import Identity, is_same
from thg_zoo.jobs.job import Event, Job, Record, WorkerFactory
from thg_zoo.jobs.ledger import Ledger, parse, read_lines
from thg_zoo.jobs.performing import now
from thg_zoo.jobs.plan import Plan
from thg_zoo.jobs.summary import LOCK, Tally, write_summary
from thg_zoo.jobs.summary import NAME as SUMMARY
from thg_zoo.media.outputs import failed_write

logger = logging.getLogger(__name__)

_SUMMARY_EVERY_S = 2.0


def run_jobs(
    jobs: Iterable[Job],
    factory: WorkerFactory,
    folder: str | Path,
    *,
    engine: Engine,
    retry_failed: bool = False,
    intact: Callable[[Record], bool] | None = None,
    notify: Callable[[Event], None] | None = None,
) -> Generator[Record]:
    """Do all jobs that are not finished; yields the record of each as soon as it is written down.

    jobs: read once and completely before anything starts, so that what is wrong with one of them stops all;
    folder: is made if need be; intact: whether the output of a finished job is still there (without it nothing
    is looked at but the record); retry_failed: do those again that failed, too; notify: is told what happens.

    A job is skipped if its last record says that it is done, with the same fingerprint and inputs, and `intact`
    agrees; or if it failed, again with the same fingerprint and inputs, unless `retry_failed`. Whatever ends the
    run, a kill included, costs the jobs in flight. Events: `start` (engine, workers, counts), `worker` (one is
    ready), `started` (job, worker, attempt), `job` (the record's fields), `lost` (a worker crashed: reason, job),
    `end` (state, counts); all have a `time`.

    Raises OutputError if another run has the folder or it cannot be written, BatchError if no worker can start,
    and whatever iterating `jobs` raises.
    """
    folder = Path(folder)
    with Plan(jobs) as plan, _locked(folder), contextlib.closing(_ledger(folder)) as ledger:
        tally = Tally(total=plan.total)
        for record in _settled(plan, folder, retry_failed, intact):
            tally.skip(record)
        plan.start()
        watch = _Watch(folder, tally, notify)
        watch.tell({"event": "start", "engine": engine.describe(), "workers": engine.workers, **tally.counts()})
        state = "interrupted"
        try:
            with contextlib.closing(Dispatcher(plan, engine, factory, watch.tell, watch.tick).records()) as records:
                for record in records:
                    _write_down(ledger, record)
                    tally.add(record)
                    watch.tell({"event": "job", **record.to_json()})
                    yield record
            state = "finished"
        finally:
            write_summary(folder, tally, state, [])
            watch.tell({"event": "end", "state": state, **tally.counts()})


class _Watch:
    """Tells whoever asked what happens, and keeps summary.json up to date."""

    def __init__(self, folder: Path, tally: Tally, notify: Callable[[Event], None] | None) -> None:
        self._folder = folder
        self._tally = tally
        self._notify = notify
        self._written = -_SUMMARY_EVERY_S
        # A run that was killed while it wrote its summary leaves the unfinished one.
        for unfinished in folder.glob(f"{SUMMARY}.*.tmp"):
            unfinished.unlink(missing_ok=True)
        self.tick([])

    def tell(self, event: Event) -> None:
        if self._notify:
            self._notify({"time": now(), **event})

    def tick(self, in_flight: list[str]) -> None:
        if time.monotonic() - self._written >= _SUMMARY_EVERY_S:
            self._written = time.monotonic()
            write_summary(self._folder, self._tally, "running", in_flight)


def _settled(plan: Plan, folder: Path, retry_failed: bool, intact: Callable[[Record], bool] | None) -> Iterator[Record]:
    """The records that stand, whose jobs are dropped from the plan."""
    for job_id, line in read_lines(folder):
        plan.remember(job_id, line)
    unchanged = lru_cache(maxsize=8192)(is_same)  # many jobs share their inputs
    for job, line in plan.remembered():
        record = parse(line)
        if record is None:
            continue
        wanted = (intact is None or intact(record)) if record.done else not retry_failed
        if wanted and _stands(job, record, unchanged):
            plan.drop(job)
            yield record


def _stands(job: Job, record: Record, unchanged: Callable[[str, Identity], bool]) -> bool:
    """Whether the job would be done from the same inputs in the same way."""
    return (
        record.fingerprint == job.fingerprint
        and len(record.inputs) == len(job.inputs)
        and all(unchanged(path, identity) for path, identity in zip(job.inputs, record.inputs, strict=True))
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder for this run alone. The lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=1)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"Another run is writing to {folder}.", "Wait for it, or stop it: `thg-zoo batch --status` shows it."
        ) from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to: {error.strerror}.", "Choose another folder.") from error
    try:
        yield
    finally:
        lock.release()


def _ledger(folder: Path) -> Ledger:
    try:
        return Ledger(folder)
    except OSError as error:
        raise failed_write(folder, error) from error


def _write_down(ledger: Ledger, record: Record) -> None:
    try:
        ledger.append(record)
    except OSError as error:
        raise failed_write(ledger.path, error) from error
