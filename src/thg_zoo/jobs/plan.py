"""The jobs of a run and their order, kept in a private database on disk, so that memory does not grow with them.

It is a working copy: what is true stands in the caller's list of jobs and in results.jsonl.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType

from thg_zoo.errors import UsageError
from thg_zoo.jobs.job import Job

_PENDING, _TAKEN, _ENDED = 0, 1, 2
_SCHEMA = """
CREATE TABLE jobs (number INTEGER PRIMARY KEY, id TEXT UNIQUE, affinity TEXT, content TEXT, attempts INT, state INT,
    record TEXT);
CREATE TABLE families (affinity TEXT PRIMARY KEY, pending INT, workers INT) WITHOUT ROWID;
"""
# Made when all jobs are there, which is faster.
_INDICES = """
CREATE INDEX pending ON jobs (affinity, number) WHERE state = 0;
INSERT INTO families SELECT affinity, count(*), 0 FROM jobs WHERE state = 0 GROUP BY affinity;
CREATE INDEX free ON families (affinity) WHERE pending > 0 AND workers = 0;
CREATE INDEX shared ON families (pending) WHERE pending > 0 AND workers > 0;
"""


class Plan:
    """Jobs to be done: which one a worker should take next, which are left.

    Jobs of one affinity form a family. A worker stays with its family as long as there are jobs of it; then it
    takes a family that nobody works on, and only when there is none it helps with the largest that is left: no
    worker waits while there is work, and no source is prepared more often than that takes.

    total: jobs in all; pending: jobs that nobody has taken, from `start` on.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        # Without a name: a temporary file of SQLite's, removed by the system even if this process is killed.
        self._data = sqlite3.connect("", isolation_level=None)
        self._data.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        self._data.execute("BEGIN")  # until `start`
        self._held: dict[int, str] = {}
        try:
            self._data.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, 0, 0, NULL)", map(_row, enumerate(jobs)))
        except sqlite3.IntegrityError as error:
            raise UsageError("Two jobs have the same id.", "Give every job an id of its own.") from error
        self.total = int(self._data.execute("SELECT count(*) FROM jobs").fetchone()[0])
        self.pending = 0

    def remember(self, job_id: str, record: str) -> None:
        """Keep what an earlier run recorded of a job; the last record counts. Only before `start`."""
        self._data.execute("UPDATE jobs SET record = ? WHERE id = ?", (record, job_id))

    def remembered(self) -> Iterator[tuple[Job, str]]:
        """The jobs of which there are records, with the last one. They may be dropped meanwhile."""
        last = -1
        while rows := self._data.execute(
            "SELECT number, id, affinity, content, record FROM jobs"
            " WHERE number > ? AND record IS NOT NULL ORDER BY number LIMIT 500",
            (last,),
        ).fetchall():
            for row in rows:
                yield _job(row[1:4]), row[4]
            last = rows[-1][0]

    def drop(self, job: Job) -> None:
        """Leave out a job that is finished already. Only before `start`."""
        self._data.execute("UPDATE jobs SET state = ? WHERE id = ?", (_ENDED, job.id))

    def start(self) -> int:
        """Nothing is dropped any more: order what is left. Returns how many jobs that is."""
        self._data.executescript(_INDICES)  # commits first
        self.pending = int(self._data.execute("SELECT coalesce(sum(pending), 0) FROM families").fetchone()[0])
        return self.pending

    def take(self, worker: int) -> tuple[Job, int] | None:
        """The next job for a worker, and how often it was started, this time included; None if none is left."""
        affinity = self._choose(worker)
        if affinity is None:
            return None
        number, job_id, content, attempts = self._data.execute(
            "SELECT number, id, content, attempts FROM jobs WHERE affinity = ? AND state = 0 ORDER BY number LIMIT 1",
            (affinity,),
        ).fetchone()
        self._data.execute("UPDATE jobs SET state = ?, attempts = ? WHERE number = ?", (_TAKEN, attempts + 1, number))
        self._data.execute("UPDATE families SET pending = pending - 1 WHERE affinity = ?", (affinity,))
        self.pending -= 1
        return _job((job_id, affinity, content)), attempts + 1

    def put_back(self, job: Job) -> None:
        """A job that was taken and not done: it is the next of its family."""
        self._data.execute("UPDATE jobs SET state = ? WHERE id = ?", (_PENDING, job.id))
        self._data.execute("UPDATE families SET pending = pending + 1 WHERE affinity = ?", (_affinity(job),))
        self.pending += 1

    def leave(self, worker: int) -> None:
        """A worker has ended, and what it had prepared with it."""
        affinity = self._held.pop(worker, None)
        if affinity is not None:
            self._data.execute("UPDATE families SET workers = workers - 1 WHERE affinity = ?", (affinity,))

    def __enter__(self) -> Plan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def _choose(self, worker: int) -> str | None:
        """The family that a worker takes its next job from, and from now on belongs to."""
        held = self._held.get(worker)
        row = self._data.execute("SELECT affinity FROM families WHERE affinity = ? AND pending > 0", (held,)).fetchone()
        if row is not None:
            return held
        self.leave(worker)
        for condition, order in (("workers = 0", "affinity"), ("workers > 0", "pending DESC")):
            row = self._data.execute(
                f"SELECT affinity FROM families WHERE pending > 0 AND {condition} ORDER BY {order} LIMIT 1"
            ).fetchone()
            if row is not None:
                self._data.execute("UPDATE families SET workers = workers + 1 WHERE affinity = ?", row)
                self._held[worker] = row[0]
                return str(row[0])
        return None


def _affinity(job: Job) -> str:
    return job.affinity or job.id


def _row(numbered: tuple[int, Job]) -> tuple[int, str, str, str]:
    number, job = numbered
    return number, job.id, _affinity(job), json.dumps([job.fingerprint, job.payload, job.affinity, job.inputs])


def _job(row: tuple[str, str, str]) -> Job:
    fingerprint, payload, affinity, inputs = json.loads(row[2])
    return Job(row[0], fingerprint, payload, affinity, tuple(inputs))
