"""Models of a comparison at the same time: one worker process per device, one model after the other in each."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thg_zoo.comparison.results import Row
from thg_zoo.comparison.trial import Setting, Watch, run_model
from thg_zoo.jobs import Event, Job, LocalEngine, Place, Record
from thg_zoo.jobs.dispatch import Dispatcher
from thg_zoo.jobs.plan import Plan


@dataclass(frozen=True)
class Trials:
    """What all models get; makes the function that a worker runs them with. `Setting.device` becomes the worker's."""

    source: Any
    driver: Any
    folder: Path
    setting: Setting

    def __call__(self, place: Place) -> Callable[[Job], dict[str, Any]]:
        return partial(_do, dataclasses.replace(self, setting=dataclasses.replace(self.setting, device=place.device)))


def engine_for(device: str) -> LocalEngine | None:
    """The workers of several devices with commas between, None for a single one. Raises DeviceError, UsageError.

    A model that ends its process (for lack of memory, say) would do so again: it is not started another time.
    """
    return LocalEngine(device=device, retries=0) if "," in device else None


def run_at_once(models: Sequence[str], trials: Trials, engine: LocalEngine, watch: Watch) -> list[Row]:
    """The rows of all models, as `run_model` gives them one by one; one whose process is lost has failed.

    Raises Cancelled, and BatchError if no worker can start; all workers have ended then.
    """
    rows: dict[str, Row] = {}

    def notify(event: Event) -> None:
        if event["event"] == "started":
            watch.advance(f"{event['job']}: run", 0, 1)

    def tick(in_flight: Sequence[str]) -> None:  # noqa: ARG001 (the dispatcher's)
        watch.advance("models", len(rows), len(models))

    with Plan(Job(model, "", {}, affinity=model) for model in models) as plan:
        plan.start()
        dispatcher = Dispatcher(plan, engine, trials, notify, tick)
        with contextlib.closing(dispatcher.records()) as records:
            for record in records:
                rows[record.id] = _row(record)
                watch.advance(f"{record.id}: run", 1, 1)
    return [rows[model] for model in models]


def _do(trials: Trials, job: Job) -> dict[str, Any]:
    return run_model(job.id, trials.source, trials.driver, trials.folder, trials.setting, Watch()).to_json()


def _row(record: Record) -> Row:
    if record.failure is None:
        return Row.from_json(record.value)
    return Row(record.id, "failed", record.failure.message, record.failure.remedy, 1)
