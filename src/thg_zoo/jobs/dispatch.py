"""Hands jobs to workers until none is left; replaces workers that are lost."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from thg_zoo.errors import BatchError, ThgZooError
from thg_zoo.jobs.engine import Engine, Finished, Gone, Pool, Ready
from thg_zoo.jobs.identity import Identity
from thg_zoo.jobs.job import Event, Failure, Job, Record, WorkerFactory
from thg_zoo.jobs.performing import identities, now
from thg_zoo.jobs.plan import Plan

logger = logging.getLogger(__name__)

_TICK_S = 0.5
# A worker that cannot start is tried again: the machine may be short of memory for a moment. Not for ever.
_MAX_FAILED_STARTS = 3
_CANNOT_START = (
    "Look for a lack of memory, or take fewer workers. A script that calls this needs "
    'an `if __name__ == "__main__":` around what it does.'
)


@dataclass
class _Running:
    """A job that a worker has."""

    job: Job
    attempt: int
    begin: float = field(default_factory=time.monotonic)
    overdue: bool = False


class Dispatcher:
    """One run over a plan. `records` is to be iterated; leaving it early ends all workers.

    A job whose worker is lost while it runs is started again, `engine.retries` times, then recorded as failed.
    `tick` is called at least twice a second, with the ids of the jobs in flight.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        factory: WorkerFactory,
        notify: Callable[[Event], None],
        tick: Callable[[list[str]], None],
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._factory = factory
        self._notify = notify
        self._tick = tick
        self._starting: set[int] = set()
        self._idle: set[int] = set()
        self._running: dict[int, _Running] = {}
        self._failed_starts: Counter[int] = Counter()
        self._given_up: set[int] = set()

    def records(self) -> Generator[Record]:
        """Records in the order in which jobs end. Raises BatchError if no worker can be started."""
        if not self._plan.pending:
            return
        with contextlib.closing(self._engine.open(self._factory)) as pool:
            while self._plan.pending or self._running:
                self._staff(pool)
                for message in pool.wait(_TICK_S):
                    record = self._handle(pool, message)
                    if record is not None:
                        yield record
                self._end_overdue(pool)
                self._hand_out(pool)
                self._tick([running.job.id for running in self._running.values()])

    def _staff(self, pool: Pool) -> None:
        """Start workers where there is work for them, let those end for which there is none."""
        wanted = min(self._plan.pending + len(self._running), self._engine.workers)
        present = self._starting | self._idle | set(self._running)
        for worker in range(self._engine.workers):
            if len(present) >= wanted:
                break
            if worker not in present | self._given_up:
                pool.start(worker)
                self._starting.add(worker)
                present.add(worker)
        if not self._plan.pending:
            for worker in self._idle:
                pool.stop(worker)
                self._plan.leave(worker)
            self._idle.clear()

    def _end_overdue(self, pool: Pool) -> None:
        """End workers whose job takes too long."""
        limit = self._engine.timeout
        for worker, running in self._running.items():
            if limit is not None and not running.overdue and time.monotonic() - running.begin > limit:
                running.overdue = True
                pool.kill(worker)

    def _hand_out(self, pool: Pool) -> None:
        for worker in sorted(self._idle):
            taken = self._plan.take(worker)
            if taken is None:
                return
            self._running[worker] = _Running(*taken)
            self._idle.remove(worker)
            self._notify({"event": "started", "worker": worker, "job": taken[0].id, "attempt": taken[1]})
            pool.submit(worker, taken[0])

    def _handle(self, pool: Pool, message: Ready | Finished | Gone) -> Record | None:
        worker = message.worker
        if isinstance(message, Ready):
            self._starting.discard(worker)
            del self._failed_starts[worker]
            self._idle.add(worker)
            self._notify({"event": "worker", "worker": worker})
            return None
        running = self._running.pop(worker, None)
        if isinstance(message, Finished):
            if message.record.failure is not None and message.record.failure.lost_gpu:
                logger.warning("worker %d is replaced: it lost its GPU (%s)", worker, message.record.failure.message)
                pool.stop(worker)
                self._plan.leave(worker)
            else:
                self._idle.add(worker)
            return dataclasses.replace(message.record, attempts=running.attempt if running else 1)
        return self._replace(message, running)

    def _replace(self, gone: Gone, running: _Running | None) -> Record | None:
        """A worker was lost: what to do with its job. Another one is started where there is work for it."""
        self._plan.leave(gone.worker)
        self._idle.discard(gone.worker)
        if gone.worker in self._starting:
            self._starting.remove(gone.worker)
            self._count_failed_start(gone)
        self._notify(
            {"event": "lost", "worker": gone.worker, "reason": gone.reason, "job": running.job.id if running else None}
        )
        if running is None:
            return None
        job, attempt = running.job, running.attempt
        reason = f"it took longer than {self._engine.timeout:g} s" if running.overdue else gone.reason
        if attempt <= self._engine.retries:
            logger.warning("worker %d was lost (%s); %s is started again", gone.worker, reason, job.id)
            self._plan.put_back(job)
            return None
        failure = Failure(
            "WorkerLost",
            f"Its worker was lost in each of {attempt} attempts, last: {reason}.",
            "Look for a lack of memory; run this job alone with `thg-zoo run`.",
        )
        inputs: tuple[Identity, ...] = ()
        with contextlib.suppress(ThgZooError):  # a record without them does not stand when they are back
            inputs = identities(job)
        return Record(
            job.id, job.fingerprint, "failed", 0.0, f"worker {gone.worker}", now(), attempt, inputs, failure=failure
        )

    def _count_failed_start(self, gone: Gone) -> None:
        """Try another time, or do without this worker; without any worker there is no going on."""
        self._failed_starts[gone.worker] += 1
        if gone.failure is None and self._failed_starts[gone.worker] < _MAX_FAILED_STARTS:
            return
        failure = gone.failure or Failure("WorkerLost", f"{gone.reason}.", _CANNOT_START)
        self._given_up.add(gone.worker)
        logger.warning("worker %d cannot start: %s", gone.worker, failure.message)
        if len(self._given_up) == self._engine.workers:
            raise BatchError(f"No worker can start: {failure.message}", failure.trace or failure.remedy)
