"""What every worker does with a job, whichever engine it belongs to."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timezone
from typing import Any

from thg_zoo.jobs.identity import Identity, identify
from thg_zoo.jobs.job import Job, JobFunction, Place, Record, describe_failure

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def now() -> str:
    """The time as records have it: UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def limit_threads(place: Place) -> None:
    """Give the libraries that are imported later the worker's share of the cores."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(place.threads)))
    # Threads that spin while they wait take the cores from the encoder, which runs at the same time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def identities(job: Job) -> tuple[Identity, ...]:
    """What the inputs of a job are now. Raises MediaError if one is missing."""
    return tuple(identify(path) for path in job.inputs)


def perform(function: JobFunction, job: Job, place: Place) -> Record:
    """Do the job and record what became of it. Whatever it raises is recorded, and the worker goes on."""
    begin = time.perf_counter()
    inputs: tuple[Identity, ...] = ()
    value: dict[str, Any] = {}
    failure = None
    try:
        # Before they are read: a file that changes meanwhile counts as changed at the next start.
        inputs = identities(job)
        value = json.loads(json.dumps(dict(function(job))))
    except Exception as error:
        failure = describe_failure(error)
    return Record(
        job.id,
        job.fingerprint,
        "failed" if failure else "done",
        round(time.perf_counter() - begin, 4),
        place.name,
        now(),
        inputs=inputs,
        value=value,
        failure=failure,
    )
