"""The worker of `thg-zoo batch`: a manifest's line becomes a video. One per process, with the model it used last."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import weakref
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from thg_zoo.errors import ThgZooError
from thg_zoo.jobs import storage
from thg_zoo.jobs.job import Job, Place, Record
from thg_zoo.media.outputs import remove
from thg_zoo.report import RunReport
from thg_zoo.zoo import load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter, Portrait

WORK = ".thg-zoo-work"


@dataclass(frozen=True)
class AnimatorSettings:
    """What all jobs of a run share; called in each worker, it makes the function that does them.

    output: the folder or URL of the outputs; the others as `thg_zoo.load` takes them.
    """

    output: str
    weights: str | None = None
    precision: str = "float32"
    batch_size: int | None = None
    seed: int = 0
    accept_licence: bool = False

    def __call__(self, place: Place) -> Animator:
        return Animator(self, place)


class Animator:
    """Animates, keeping the last model and the last prepared source: jobs that share them come one after the other."""

    def __init__(self, settings: AnimatorSettings, place: Place) -> None:
        self._settings = settings
        self._place = place
        self._scratch = _own_folder(work_folder(settings.output))
        weakref.finalize(self, _leave, self._scratch)  # also when the process ends by itself
        self._copies = storage.LocalCopies(self._scratch / "copies")
        self._model: Adapter[Any, Any] | None = None
        self._model_name = ""
        self._broken: dict[str, ThgZooError] = {}
        self._portrait: Portrait[Any, Any] | None = None
        self._portrait_key: object = None

    def __call__(self, job: Job) -> dict[str, Any]:
        """Make the video of one job and put it into its place. Returns what the record keeps of it."""
        task = job.payload
        portrait = self._prepared(task)
        driver = self._copies.path(task["driver"])
        animation = portrait.animate(driver, drive_by=task["drive_by"], seed=task["seed"], **task["options"])
        temporary = self._scratch / f"{secrets.token_hex(6)}{PurePosixPath(task['output']).suffix.lower()}"
        try:
            animation.save(temporary)
            size = storage.total_size(str(temporary))
            storage.publish(temporary, task["output"])
        finally:
            remove(temporary)
        assert animation.report is not None
        return _value(animation.report, job.id, task, size)

    def _loaded(self, name: str) -> Adapter[Any, Any]:
        """The model, loaded once; an error in loading it holds for all its jobs, so it is not tried again."""
        if self._model is not None and self._model_name == name:
            return self._model
        if name in self._broken:
            raise self._broken[name].with_traceback(None)  # or it would grow with every job
        # The old one goes first: two may not fit into memory.
        self._model = self._portrait = self._portrait_key = None
        settings = self._settings
        try:
            self._model = load(
                name,
                weights=settings.weights,
                device=self._place.device,
                precision=settings.precision,
                batch_size=settings.batch_size,
                seed=settings.seed,
                accept_licence=settings.accept_licence,
            )
        except ThgZooError as error:
            self._broken[name] = error
            raise
        self._model_name = name
        return self._model

    def _prepared(self, task: dict[str, Any]) -> Portrait[Any, Any]:
        model = self._loaded(task["model"])
        key = (task["model"], task["source"], storage.state(task["source"]), task["seed"], task["source_options"])
        if self._portrait is None or self._portrait_key != key:
            self._portrait = None
            path = self._copies.path(task["source"])
            self._portrait = model.prepare(path, seed=task["seed"], **task["source_options"])
            self._portrait_key = key
        return self._portrait


def is_intact(output: str, record: Record) -> bool:
    """Whether the output of a finished job lies in the folder or at the URL `output`, of the size that it had."""
    size = record.value.get("bytes")
    return size is not None and storage.total_size(f"{output.rstrip('/')}/{record.id}") == size


def work_folder(output: str) -> Path:
    """Where workers keep unfinished files: beside local outputs, to be renamed into place; else in the system's."""
    if storage.is_remote(output):
        return Path(tempfile.gettempdir()) / f"thg-zoo-{hashlib.sha256(output.encode()).hexdigest()[:12]}"
    return storage.local_path(output) / WORK


def clean(work: Path) -> None:
    """Remove what processes of this machine left in a work folder, but not of those that still run."""
    host = socket.gethostname()
    for folder in work.glob(f"{host}-*"):
        pid = folder.name.removeprefix(f"{host}-")
        if pid.isdecimal() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody is using it
        work.rmdir()


def _own_folder(work: Path) -> Path:
    """A folder of this process alone."""
    clean(work)
    own = work / f"{socket.gethostname()}-{os.getpid()}"
    while True:
        # A worker that leaves or cleans up may take the empty work folder away just now.
        with contextlib.suppress(FileNotFoundError):
            own.mkdir(parents=True, exist_ok=True)
            return own


def _leave(own: Path) -> None:
    shutil.rmtree(own, ignore_errors=True)
    with contextlib.suppress(OSError):
        own.parent.rmdir()


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _value(report: RunReport, name: str, task: dict[str, Any], size: int | None) -> dict[str, Any]:
    """What is worth keeping of a run's report, a hundred thousand times."""
    return {
        "output": name,
        "bytes": size,
        "model": task["model"],
        "source": task["source"],
        "driver": task["driver"],
        "frames": report.frames,
        "fps": report.fps,
        "video_seconds": round(float(report.frames / Fraction(report.fps)), 4),
        "size": list(report.size),
        "device": report.device,
        "seconds": round(report.seconds, 4),
        "timings": {stage: round(seconds, 4) for stage, seconds in report.timings.items()},
        "warnings": report.warnings,
    }
