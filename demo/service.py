"""Everything behind the page and the API: visitors, workers, and the steps from a request to a result."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from thg_zoo.demo import example_driver, example_source
from thg_zoo.demo.comparing import CompareTask
from thg_zoo.demo.controls import refuse_hidden
from thg_zoo.demo.jobs import Job, JobQueue, Snapshot
from thg_zoo.demo.settings import Settings
from thg_zoo.demo.studio import Studio, require_weights, unknown_portrait
from thg_zoo.demo.tasks import AnimateTask, EditTask, PrepareTask
from thg_zoo.demo.uploads import place, received
from thg_zoo.demo.visitors import EXAMPLES, Visitor, Visitors
from thg_zoo.errors import UsageError
from thg_zoo.zoo import describe

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_SWEEP_SECONDS = 20.0


class Service:
    """One running demo. root: the folder of everything uploaded and generated; it belongs to this service."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings = settings
        self.root = root
        # Only what lies below `root` is served, the bundled example included.
        self.examples = root / EXAMPLES
        self.examples.mkdir()
        for file in (example_source(), example_driver()):
            shutil.copy(file, self.examples)
        self.visitors = Visitors(root, settings.keep_seconds, settings.keep_results)
        self.studios = [Studio(device, settings) for device in settings.devices]
        self.workers = JobQueue(
            self.studios,
            max_waiting=settings.max_waiting,
            max_per_visitor=settings.max_per_visitor,
            idle=Studio.rest,
            idle_seconds=settings.idle_seconds,
        )
        # Fetching weights needs no device, and would block one for minutes.
        self.downloads = JobQueue([None], max_waiting=settings.max_waiting, max_per_visitor=settings.max_waiting)
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="demo-sweeper", daemon=True)
        self._sweeper.start()

    def animate(
        self,
        visitor: Visitor,
        model: str,
        source: Any,
        driver: Any,
        options: Mapping[str, Any],
        *,
        drive_by: str = "auto",
        seed: int = 0,
        portrait: str = "",
    ) -> Job:
        """Queue an animation of uploads. Raises ThgZooError for everything that can be refused at once."""
        self._check(model, options, seed)
        owner = None
        if portrait:
            owner = next((studio for studio in self.studios if studio.holds(portrait)), None)
            if owner is None:
                raise unknown_portrait()
        _require(portrait or source, driver or "edit" in describe(model).spec.drivers)
        uploads = {} if portrait else {"source": source}
        if driver:
            uploads["driver"] = driver
        job, folder, files = self._open(visitor, "animate", uploads)
        task = AnimateTask(model, files.get("source"), files.get("driver"), folder, options, drive_by, seed, portrait)
        return self.workers.submit(job, task, owner)

    def prepare(self, visitor: Visitor, model: str, source: Any, options: Mapping[str, Any], seed: int = 0) -> Job:
        """Queue the preparation of an uploaded source."""
        self._check(model, options, seed)
        _require(source, driver=True)
        job, folder, files = self._open(visitor, "prepare", {"source": source})
        return self.workers.submit(job, PrepareTask(model, files["source"], folder, options, seed))

    def compare(
        self,
        visitor: Visitor,
        models: list[str],
        source: Any,
        driver: Any,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        measure: bool = False,
        seed: int = 0,
    ) -> Job:
        """Queue a comparison of several models."""
        if not isinstance(models, list) or not models or not all(isinstance(model, str) for model in models):
            raise UsageError("No model is chosen.", "Give a list with the name of at least one.")
        names, given = tuple(dict.fromkeys(models)), options or {}
        if not isinstance(given, Mapping):
            raise UsageError(f"{given!r} are no options.", 'Give them as {"model": {"name": value}}.')
        for name in given:
            if name not in names:
                raise UsageError(f"Options are given for {name!r}, which is not compared.", "Add it to the models.")
        for name in names:
            self._check(name, given.get(name, {}), seed)
        _require(source, driver)
        job, folder, files = self._open(visitor, "compare", {"source": source, "driver": driver})
        task = CompareTask(names, files["source"], files["driver"], folder, self.settings, given, measure, seed)
        return self.workers.submit(job, task)

    def edit(self, visitor: Visitor, model: str, source: Any, options: Mapping[str, Any]) -> Job:
        """Queue a still of an edited portrait."""
        self._check(model, options, 0)
        _require(source, driver=True)
        upload = received(source, self.root)
        job, folder, files = self._open(visitor, "edit", {"source": source})
        return self.workers.submit(job, EditTask(model, upload, files["source"], folder, options))

    async def watch(self, job: Job, queue: JobQueue[Any] | None = None) -> AsyncIterator[Snapshot]:
        """How a job stands whenever that changes, until it is finished."""
        last = None
        while True:
            # The state is read before it is looked at: a job that ends in between is shown once more.
            ended = job.finished
            now = (queue or self.workers).look(job)
            if now != last:
                yield now
            if ended:
                return
            last = now
            await asyncio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Stop all runs and threads. The folder is left to whoever made it."""
        self._stop.set()
        self.workers.close()
        self.downloads.close()
        self._sweeper.join(timeout=10)

    def _check(self, model: str, options: Mapping[str, Any], seed: int) -> None:
        described = describe(str(model))
        if not isinstance(options, Mapping):
            raise UsageError(f"{options!r} are no options.", 'Give them as {"name": value}.')
        refuse_hidden(described, options)
        described.resolve(options)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UsageError(f"{seed!r} is not a seed.", "Give a whole number from 0.")
        require_weights(model, self.settings)

    def _open(self, visitor: Visitor, kind: str, uploads: Mapping[str, Any]) -> tuple[Job, Path, dict[str, Path]]:
        """A job with its folder and the visitor's files in it."""
        paths = {role: received(value, self.root) for role, value in uploads.items()}
        job = Job(visitor.token, kind)
        folder = self.visitors.add(visitor, job)
        files = {}
        for role, path in paths.items():
            visitor.uploads.add(path)
            files[role] = place(path, folder, role)
        return job, folder, files

    def _sweep(self) -> None:
        while not self._stop.wait(min(_SWEEP_SECONDS, self.settings.keep_seconds / 4)):
            with suppress(OSError):
                self.visitors.sweep()


def _require(source: Any, driver: Any) -> None:
    if not source:
        raise UsageError("There is no face.", "Give a picture or a video of a person.")
    if not driver:
        raise UsageError("There is nothing to drive the face.", "Give speech or a driving video.")
