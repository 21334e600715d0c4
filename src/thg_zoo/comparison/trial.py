"""One model of a comparison: loaded, run, measured, and released, whatever happens."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thg_zoo.comparison.results import Row, Timings
from thg_zoo.errors import Cancelled, ThgZooError
from thg_zoo.inputs import open_driver, open_source
from thg_zoo.memory import MemoryMeter, release
from thg_zoo.run import CancelCheck, Progress, ProgressCallback
from thg_zoo.runtime import resolve_runtime
from thg_zoo.zoo import describe, load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter
    from thg_zoo.animation import Animation
    from thg_zoo.inputs import DriverLike, SourceLike

logger = logging.getLogger(__name__)

RANDOM = "random"


@dataclass(frozen=True)
class Setting:
    """How models are run: see `thg_zoo.compare`. options, weights and drivers are by model."""

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Mapping[str, str | Path | None] = field(default_factory=dict)
    drivers: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    seed: int = 0
    warm: bool = False
    accept_licence: bool = False

    def weights_of(self, model: str) -> str | Path | None:
        """What `load` is to get: models without files take no random weights either."""
        return self.weights.get(model) if describe(model).variant.files else None


@dataclass(frozen=True)
class Watch:
    """Progress and cancellation of a whole comparison, handed on to its steps under their names."""

    progress: ProgressCallback | None = None
    cancel: CancelCheck | None = None

    def of(self, step: str) -> ProgressCallback | None:
        """The callback for one step; its stages are called `step: stage`."""
        progress = self.progress
        if progress is None:
            return None
        return lambda state: progress(Progress(f"{step}: {state.stage}", state.done, state.total))

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Report, and stop here if the caller wants to: raises Cancelled."""
        if self.progress:
            self.progress(Progress(stage, done, total))
        if self.cancel and self.cancel():
            raise Cancelled("The comparison was cancelled.", "Nothing was written.")


def run_model(model: str, source: SourceLike, driver: DriverLike, folder: Path, setting: Setting, watch: Watch) -> Row:
    """The row of one model, whose video lies in `folder` if it delivered. Raises Cancelled, nothing else."""
    try:
        return _run(model, source, setting.drivers.get(model, driver), folder, setting, watch)
    except Cancelled:
        raise
    except ThgZooError as error:
        return Row(model, "failed", error.message, error.remedy, error.exit_code)
    except Exception as error:  # the border between models: one that breaks must not take the others with it
        logger.exception("%s failed", model)
        return Row(model, "failed", f"{type(error).__name__}: {error}.", "This is a bug: please report it.", 1)
    finally:
        release()


def _run(model: str, source: SourceLike, driver: DriverLike, folder: Path, setting: Setting, watch: Watch) -> Row:
    watch.advance(f"{model}: load", 0, 1)
    # Weights may be large: inputs that the model does not take are refused before anything is fetched.
    spec = describe(model).spec
    open_source(source, spec.sources)
    open_driver(driver, spec.drivers)
    meter = MemoryMeter(resolve_runtime(setting.device, setting.precision).device)
    begin = time.perf_counter()
    adapter = load(
        model,
        weights=setting.weights_of(model),
        device=setting.device,
        precision=setting.precision,
        batch_size=setting.batch_size,
        seed=setting.seed,
        accept_licence=setting.accept_licence,
    )
    loaded = time.perf_counter() - begin
    animation, seconds = _to_file(adapter, source, driver, folder / f"{model}.mp4", setting, watch)
    report = animation.report
    assert report is not None
    memory = meter.result()
    warm = _again(adapter, source, driver, setting, watch) if setting.warm else None
    return Row(
        model,
        "ok",
        driver=report.driver,
        file=folder / f"{model}.mp4",
        fps=animation.fps,
        frames=report.frames,
        size=report.size,
        random_weights=any(weight.verified == RANDOM for weight in adapter.weights),
        timings=Timings(
            loaded, report.timings.get("prepare", 0.0), seconds, seconds / report.frames, warm, report.timings
        ),
        memory=memory,
        run=dataclasses.asdict(report),
    )


def _to_file(
    adapter: Adapter[Any, Any], source: SourceLike, driver: DriverLike, path: Path, setting: Setting, watch: Watch
) -> tuple[Animation, float]:
    """A run from the files to a file, and how many seconds it took."""
    name = adapter.model.name
    begin = time.perf_counter()
    animation = adapter.animate(
        source,
        driver,
        seed=setting.seed,
        progress=watch.of(name),
        cancel=watch.cancel,
        **setting.options.get(name, {}),
    )
    animation.save(path)
    return animation, time.perf_counter() - begin


def _again(adapter: Adapter[Any, Any], source: SourceLike, driver: DriverLike, setting: Setting, watch: Watch) -> float:
    with tempfile.TemporaryDirectory(prefix="thg-zoo-") as folder:
        return _to_file(adapter, source, driver, Path(folder) / "warm.mp4", setting, watch)[1]
