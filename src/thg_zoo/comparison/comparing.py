"""`thg_zoo.compare`: several models on one source and one driver."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thg_zoo.comparison.at_once import Trials, engine_for, run_at_once
from thg_zoo.comparison.cells import Cell, driver_cell, model_cell, source_cell
from thg_zoo.comparison.conditions import describe_conditions
from thg_zoo.comparison.grid import contact_sheet, key_frames, write_grid
from thg_zoo.comparison.layout import plan
from thg_zoo.comparison.page import page
from thg_zoo.comparison.places import CSV, JSON, MODELS, REPORT, SHEET, Places, claim
from thg_zoo.comparison.results import Comparison, Row, to_csv, to_json
from thg_zoo.comparison.trial import Setting, Watch, run_model
from thg_zoo.errors import ThgZooError, UsageError, nearest
from thg_zoo.inputs import Driver, Source, open_driver, open_source
from thg_zoo.media.image import write_image
from thg_zoo.metrics.catalogue import check_names
from thg_zoo.metrics.evaluate import Measured, evaluate
from thg_zoo.provenance import synthetic_tags
from thg_zoo.run import CancelCheck, ProgressCallback
from thg_zoo.spec import DRIVER_KINDS, SOURCE_KINDS
from thg_zoo.timing import frames_to_cover
from thg_zoo.zoo import describe

if TYPE_CHECKING:
    from thg_zoo.inputs import DriverLike, SourceLike

WeightsLike = str | Path | None


def compare(
    models: str | Sequence[str],
    source: SourceLike,
    driver: DriverLike,
    output: str | Path | None = None,
    *,
    drivers: Mapping[str, DriverLike] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    weights: WeightsLike | Mapping[str, WeightsLike] = None,
    reference: SourceLike | None = None,
    metrics: Sequence[str] | None = None,
    metric_weights: WeightsLike = None,
    device: str = "auto",
    precision: str = "float32",
    batch_size: int | None = None,
    seed: int = 0,
    warm: bool = False,
    accept_licence: bool = False,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Comparison:
    """Run `models` on the same source and driver; show them side by side, and measure them.

    models: names, or one text with commas between them; output: the grid video (.mp4, .webm, .gif), beside which a
    folder of the same name without suffix takes the models' own videos, the contact sheet, results.json, results.csv
    and report.html; None: a new temporary folder. drivers: another driver for single models; options: by model;
    weights: as for `load`, one for all or by model; reference: the video that should have come out; metrics: names
    (see `thg_zoo.metrics.catalogue`), by default all that can be computed; metric_weights: see `evaluate`; device:
    as for `load`, or several with commas between (cuda:0,cuda:1); warm: run every model a second time to time it warm.

    On one device models run one after another, and memory is released between them; on several each device has a
    process that takes one model after the other, so that a script needs `if __name__ == "__main__":` around the call.
    A model that fails becomes an empty cell with the reason, and the rest goes on; if all fail, the first one's
    error is raised. Raises UnknownModelError, OptionError, InputError, DeviceError, OutputError, Cancelled; nothing
    is left then.
    """
    names = model_names(models)
    setting = Setting(
        options=_by_model(options or {}, names),
        weights=_by_model(weights, names) if isinstance(weights, Mapping) else dict.fromkeys(names, weights),
        drivers=_by_model(drivers or {}, names),
        device=device,
        precision=precision,
        batch_size=batch_size,
        seed=seed,
        warm=warm,
        accept_licence=accept_licence,
    )
    for name in names:
        describe(name).resolve(setting.options.get(name, {}))
    check_names(metrics)
    watch = Watch(progress, cancel)
    engine = engine_for(device)
    seen, moved = open_source(source, SOURCE_KINDS), open_driver(driver, DRIVER_KINDS)
    true = None if reference is None else open_source(reference, ("video",))
    places = claim(output, overwrite)
    try:
        if engine is None:
            rows = [run_model(name, source, driver, places.models, setting, watch) for name in names]
        else:
            rows = run_at_once(names, Trials(source, driver, places.models, setting), engine, watch)
        _require_one(rows)
        measured = {
            row.model: evaluate(
                row.file,
                source=seen,
                audio=moved.audio,
                reference=true,
                names=metrics,
                weights=metric_weights,
                accept_licence=accept_licence,
                device=device if engine is None else engine.devices[0],
                seed=seed,
                progress=watch.of(f"{row.model}: measure"),
                cancel=cancel,
            )
            for row in rows
            if row.file is not None
        }
        rows = [_with_scores(row, measured.get(row.model)) for row in rows]
        _present(places, rows, measured, seen, moved, setting, metric_weights, watch)
        places.finish()
    finally:
        places.discard()
    return _finished(places, rows)


def model_names(models: str | Sequence[str]) -> list[str]:
    """Names from a list or a text with commas. Raises UnknownModelError, and UsageError for none or a repeated one."""
    names = [name.strip() for name in models.split(",")] if isinstance(models, str) else list(models)
    names = [name for name in names if name]
    if not names:
        raise UsageError("No model is named.", "Name at least one, as in warp,wav2lip.")
    for name in names:
        describe(name)
        if names.count(name) > 1:
            raise UsageError(f"The model {name!r} is named twice.", "Name each model once.")
    return names


def _by_model(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    for name in values:
        if name not in names:
            raise UsageError(f"{name!r} is not among the models compared.", nearest(name, names))
    return dict(values)


def _require_one(rows: Sequence[Row]) -> None:
    """Raise what the models said, as the first one's kind of error, unless one of them delivered."""
    if not any(row.ok for row in rows):
        error = ThgZooError(
            "None of the models delivered. " + " ".join(f"{row.model}: {row.error}" for row in rows), rows[0].remedy
        )
        error.exit_code = rows[0].exit_code
        raise error


def _with_scores(row: Row, measured: Measured | None) -> Row:
    return row if measured is None else dataclasses.replace(row, scores=measured.scores, skipped=measured.skipped)


def _present(
    places: Places,
    rows: Sequence[Row],
    measured: Mapping[str, Measured],
    source: Source,
    driver: Driver,
    setting: Setting,
    metric_weights: WeightsLike,
    watch: Watch,
) -> None:
    """Everything that people look at."""
    cells = _cells(rows, source, driver)
    fps = max(row.fps for row in rows if row.fps is not None)
    lasts = max(Fraction(row.frames) / row.fps for row in rows if row.fps is not None)
    n_frames = frames_to_cover(lasts, fps)
    keys = key_frames(n_frames)
    tags = _tags([row.model for row in rows if row.ok])
    sound = driver.audio or (source.file.path if source.file and source.file.has_audio else None)
    layout = plan([cell.size for cell in cells])
    pictures = write_grid(
        places.working_grid, cells, layout, fps, n_frames, audio=sound, tags=tags, keys=keys, watch=watch
    )
    times = [key / fps for key in keys]
    sheet = contact_sheet(cells, pictures, times)
    write_image(places.work / SHEET, sheet, text=tags)
    conditions = describe_conditions(source, driver, setting, fps, layout, metric_weights)
    (places.work / JSON).write_text(to_json(rows, conditions), encoding="utf-8")
    (places.work / CSV).write_text(to_csv(rows), encoding="utf-8")
    text = page(rows, conditions, measured, sheet, places.working_grid)
    (places.work / REPORT).write_text(text, encoding="utf-8")


def _tags(models: Sequence[str]) -> dict[str, str]:
    """What the grid says of itself: made by all of them, with trained networks if one of them has any."""
    specs = [describe(model).spec for model in models]
    trained = [spec for spec in specs if "trained" in spec.synthesis.lower()]
    return synthetic_tags((trained or specs)[0], ", ".join(models))


def _cells(rows: Sequence[Row], source: Source, driver: Driver) -> list[Cell]:
    videos = [open_source(row.file, ("video",)) if row.file else None for row in rows]
    models = [model_cell(row, video) for row, video in zip(rows, videos, strict=True)]
    return [source_cell(source), driver_cell(driver), *models]


def _finished(places: Places, rows: Sequence[Row]) -> Comparison:
    folder = places.folder
    moved = tuple(dataclasses.replace(row, file=folder / MODELS / row.file.name) if row.file else row for row in rows)
    return Comparison(
        grid=places.grid,
        folder=folder,
        contact_sheet=folder / SHEET,
        report=folder / REPORT,
        results_json=folder / JSON,
        results_csv=folder / CSV,
        rows=moved,
    )
