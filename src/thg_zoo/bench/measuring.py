"""Every model in every setting, beside the plain loop, one after another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thg_zoo.bench.inputs import FPS, square_picture, write_inputs
from thg_zoo.bench.timing import Setting, Timed, time_model, time_plain
from thg_zoo.errors import Cancelled, ThgZooError, UsageError
from thg_zoo.media.audio import read_audio
from thg_zoo.memory import release
from thg_zoo.run import CancelCheck, ProgressCallback, Run
from thg_zoo.zoo import describe


@dataclass(frozen=True)
class Measurement:
    """One model in one setting. batch_size: what was asked for, None for what suits the device; timed: as it is used;
    plain: by the plain loop (batches of one, whatever the setting), None if it was not asked for; error, plain_error:
    why there is nothing.
    """

    model: str
    batch_size: int | None
    precision: str
    timed: Timed | None = None
    plain: Timed | None = None
    error: str = ""
    plain_error: str = ""

    @property
    def name(self) -> str:
        """The setting in a few words, for tables and charts."""
        batch = self.timed.batch_size if self.timed else self.batch_size
        return f"{self.model}, {batch} at once, {self.precision}"

    @property
    def times_plain(self) -> float | None:
        """How many times as fast as the plain loop it is, warm and file to file."""
        return self.plain.per_frame / self.timed.per_frame if self.plain and self.timed else None


def bench(
    models: Sequence[str],
    source: str | Path,
    speech: str | Path,
    *,
    size: int | None = None,
    seconds: float = 2.0,
    batch_sizes: Sequence[int | None] = (None,),
    precisions: Sequence[str] = ("float32",),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    rounds: int = 1,
    plain: bool = True,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Iterator[Measurement]:
    """Measure every model with every batch size (None: what suits the device) and precision, one after another.

    source: the picture that is animated, made square of `size` pixels if that is given; speech: the driver of models
    driven by sound; the others are driven by `seconds` of the source swaying. Each setting runs from files to a file,
    once cold, then `rounds` times warm, of which the fastest counts. plain: run each model and precision by the plain
    loop as well (see `thg_zoo.bench.plain`). A model that fails gives a measurement with `error`. Raises
    UnknownModelError, UsageError, Cancelled.
    """
    if seconds < 2 / FPS:
        raise UsageError(f"{seconds} seconds cannot be timed.", f"Give at least {2 / FPS}.")
    for name in models:
        describe(name)
    run = Run(0, progress, cancel)
    settings = [(m, p, b) for m in models for p in precisions for b in batch_sizes]
    with tempfile.TemporaryDirectory(prefix="thg-zoo-") as folder:
        inputs = write_inputs(Path(folder), square_picture(source, size), read_audio(speech), seconds)
        beside: tuple[Timed | None, str] | None = None
        for k, (model, precision, batch_size) in enumerate(settings):
            given = (options or {}).get(model, {})
            run.advance(model, k, len(settings))
            setting = Setting(model, batch_size, precision, device, inputs, given, rounds)
            timed, error = _attempt(time_model, setting)
            if k % len(batch_sizes) == 0:
                beside = None
            if plain and timed and beside is None:
                run.advance(f"{model}: plain loop", k, len(settings))
                beside = _attempt(time_plain, setting)
            slow, plain_error = beside or (None, "")
            yield Measurement(model, batch_size, precision, timed, slow, error, plain_error)
    run.advance("bench", len(settings), len(settings))


def _attempt(measure: Callable[[Setting], Timed], setting: Setting) -> tuple[Timed | None, str]:
    """What was measured, or why not. Raises Cancelled."""
    try:
        return measure(setting), ""
    except Cancelled:
        raise
    except ThgZooError as error:
        return None, str(error)
    finally:
        release()
