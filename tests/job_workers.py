"""Workers that are predictable, for the tests of engines: importable by the processes that the engines start."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thg_zoo.comparison.at_once import Trials
from thg_zoo.errors import MediaError
from thg_zoo.jobs import Job, JobFunction, Place
from thg_zoo.jobs.storage import publish


def writer(place: Place) -> JobFunction:
    """Notes that a job begins, does what its payload says, and writes a file."""

    def work(job: Job) -> dict[str, Any]:
        task = job.payload
        if place.device == "spoilt":
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA.")
        note(task["log"], f"{job.id} {place.name}")
        time.sleep(task.get("seconds", 0.0))
        if task.get("fail"):
            raise MediaError(f"'{job.id}.png' shows no face.", "Give another.")
        if task.get("spoil"):
            object.__setattr__(place, "device", "spoilt")
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if task.get("bug"):
            raise ZeroDivisionError(job.id)
        if task.get("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        output = Path(task["output"])
        temporary = output.with_name(f".{secrets.token_hex(4)}")
        temporary.write_text(content(job.id))
        publish(temporary, str(output))
        return {
            "model": "writer",
            "frames": 5,
            "video_seconds": 0.2,
            "threads": os.environ["OMP_NUM_THREADS"],
            "pid": os.getpid(),
        }

    return work


def unable(place: Place) -> JobFunction:
    """A worker that cannot be made."""
    raise MediaError("The model is broken.", "Mend it.")


def partly_unable(place: Place) -> JobFunction:
    """The first worker cannot be made, the others can."""
    return unable(place) if place.name.startswith("worker 0") else writer(place)


def deadly(place: Place) -> JobFunction:
    """A worker that ends before it can take a job."""
    os._exit(3)


def content(job_id: str) -> str:
    """What the job writes."""
    return f"{job_id}\n" * 100


def jobs_of(folder: Path, n: int, family: int = 5, **payload: Any) -> list[Job]:
    """Jobs that write `folder`/out/job0, ...; `family` of them share an affinity. payload: for all of them."""
    (folder / "out").mkdir(exist_ok=True, parents=True)
    return [
        Job(f"job{i}", "a", task(folder, f"job{i}") | payload, affinity=f"family{i // family:04}") for i in range(n)
    ]


def task(folder: Path, name: str) -> dict[str, Any]:
    return {"log": str(folder / "log"), "output": str(folder / "out" / f"{name}.mp4")}


def note(log: str, line: str) -> None:
    """Append a line, whole even when several processes do."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def started(folder: Path) -> list[str]:
    """Ids of the jobs that were begun, in order, by all runs together."""
    log = folder / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def complete(folder: Path, ids: Iterable[str]) -> bool:
    """Whether the outputs are exactly those of these jobs, each whole."""
    out = folder / "out"
    made = {p.name: p.read_text() for p in out.iterdir() if not p.name.startswith(".")}
    return made == {f"{i}.mp4": content(i) for i in ids}


class Fatal(Trials):
    """wav2lip ends its process, as the system does when memory runs out."""

    def __call__(self, place: Place) -> JobFunction:
        run = super().__call__(place)

        def attempt(job: Job) -> Any:
            if job.id == "wav2lip":
                os.kill(os.getpid(), signal.SIGKILL)
            return run(job)

        return attempt
