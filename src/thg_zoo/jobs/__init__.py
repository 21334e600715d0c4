"""Many jobs at once, safe to interrupt: engines that run them, records that make a restart skip what is finished.

    from thg_zoo.jobs import Job, LocalEngine, run_jobs

    for record in run_jobs(jobs, make_worker, folder, engine=LocalEngine(workers=2)):
        ...

`thg_zoo.batch` animates the lines of a manifest with it; anything else that consists of many independent jobs
can use it as well.
"""

from __future__ import annotations

from thg_zoo.jobs.engine import Engine
from thg_zoo.jobs.job import Event, Failure, Job, JobFunction, Place, Record, WorkerFactory
from thg_zoo.jobs.ledger import read_records
from thg_zoo.jobs.local import LocalEngine
from thg_zoo.jobs.ray_cluster import RayEngine
from thg_zoo.jobs.session import run_jobs

__all__ = [
    "Engine",
    "Event",
    "Failure",
    "Job",
    "JobFunction",
    "LocalEngine",
    "Place",
    "RayEngine",
    "Record",
    "WorkerFactory",
    "read_records",
    "run_jobs",
]
