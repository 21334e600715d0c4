"""Many pairs of source and driver through several models: resumable, one JSON line each, a table at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from thg_zoo.comparison.comparing import model_names
from thg_zoo.comparison.summaries import SECONDS, ModelSummary, summarise, table_csv
from thg_zoo.errors import ManifestError
from thg_zoo.jobs import Event, Job, LocalEngine, Place, run_jobs
from thg_zoo.jobs.animator import Animator, AnimatorSettings, clean, is_intact, work_folder
from thg_zoo.jobs.manifest import Row, read_manifest
from thg_zoo.memory import release
from thg_zoo.metrics.catalogue import check_names
from thg_zoo.metrics.evaluate import evaluate
from thg_zoo.weights.records import write_atomically
from thg_zoo.zoo import describe

COLUMNS = ("source", "driver", "reference")
TABLE = "models.csv"
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class PairSettings:
    """What all pairs share; makes the function that a worker does them with. See `thg_zoo.compare`."""

    animator: AnimatorSettings
    metrics: tuple[str, ...] | None
    metric_weights: str | None

    def __call__(self, place: Place) -> Callable[[Job], dict[str, Any]]:
        return partial(_do_pair, self, Animator(self.animator, place), place)


def compare_many(
    models: str | Sequence[str],
    manifest: str | Path,
    output: str | Path,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    weights: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    metric_weights: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    precision: str = "float32",
    batch_size: int | None = None,
    seed: int = 0,
    accept_licence: bool = False,
    retry_failed: bool = False,
    notify: Callable[[Event], None] | None = None,
) -> list[ModelSummary]:
    """Run all models on every line of `manifest` (csv, jsonl or yaml; columns source, driver and, where there is one,
    reference; paths are relative to it), and measure each result.

    output: a folder that takes videos/MODEL/NAME.mp4, results.jsonl (one line per model and pair, appended when it is
    finished) and models.csv. The same call goes on after an interruption, and does again only what has changed. A pair
    that fails is recorded and counted. device: auto, cpu, cuda (all of them), cuda:N, or several with commas between;
    workers: processes, one per device by default (on the CPU one per core).

    Raises ManifestError with what is wrong before anything starts, OutputError, BatchError, UnknownModelError.
    """
    names = model_names(models)
    folder = Path(output).absolute()
    wanted = None if metrics is None else check_names(metrics)
    settings = PairSettings(
        AnimatorSettings(str(folder), _text(weights), precision, batch_size, seed, accept_licence),
        wanted,
        _text(metric_weights),
    )
    jobs = _jobs(names, list(_pairs(Path(manifest).absolute())), options or {}, settings, folder)
    engine = LocalEngine(workers, device)
    records = run_jobs(
        jobs,
        settings,
        folder,
        engine=engine,
        retry_failed=retry_failed,
        intact=partial(is_intact, str(folder)),
        notify=notify,
    )
    try:
        for _ in records:
            pass
    finally:
        clean(work_folder(str(folder)))
    summaries = summarise(names, jobs, folder)
    write_atomically(folder / TABLE, table_csv(summaries).encode())
    return summaries


def _pairs(manifest: Path) -> Iterator[dict[str, str]]:
    """The lines of a manifest, paths made absolute. Raises ManifestError for the first few that are wrong."""
    problems: list[str] = []
    found = []
    for line in read_manifest(str(manifest)):
        if not isinstance(line, Row):
            problems.append(f"line {line.line}: {line.text}")
        elif unknown := [name for name in line.values if name not in COLUMNS]:
            problems.append(f"line {line.line}: there is no column {unknown[0]!r}.")
        else:
            given = {name: value for name, value in line.values.items() if value is not None}
            found.append({name: str((manifest.parent / str(value)).resolve()) for name, value in given.items()})
    if not found and not problems:
        problems.append("it has no lines.")
    for path in dict.fromkeys(path for pair in found for path in pair.values()):
        if not Path(path).is_file():
            problems.append(f"there is no file {path!r}.")
    if problems:
        shown = " ".join(problems[:_SHOWN_PROBLEMS])
        raise ManifestError(f"{manifest.name} cannot be used: {shown}", f"Its columns are {', '.join(COLUMNS)}.")
    yield from found


def _jobs(
    names: Sequence[str],
    pairs: Sequence[Mapping[str, str]],
    options: Mapping[str, Mapping[str, Any]],
    settings: PairSettings,
    folder: Path,
) -> list[Job]:
    """One job for every model and pair; pairs that stand twice in the manifest are one."""
    jobs: dict[str, Job] = {}
    for model in names:
        given = dict(options.get(model, {}))
        described = describe(model)
        described.resolve(given)
        early = {info.name for info in described.options if info.stage == "source"}
        for pair in pairs:
            identity = json.dumps([model, *(pair.get(column, "") for column in COLUMNS)])
            stem = f"{Path(pair['source']).stem[:40]}-{Path(pair['driver']).stem[:40]}-{_digest(identity)[:8]}"
            name = f"videos/{model}/{stem}.mp4"
            (folder / "videos" / model).mkdir(parents=True, exist_ok=True)
            payload = {
                "model": model,
                "source": pair["source"],
                "driver": pair["driver"],
                "reference": pair.get("reference"),
                "output": str(folder / name),
                "drive_by": "auto",
                "seed": settings.animator.seed,
                "options": {key: value for key, value in given.items() if key not in early},
                "source_options": {key: value for key, value in given.items() if key in early},
            }
            measured = check_names(settings.metrics)
            everything = [payload, settings.animator.weights, settings.animator.precision, measured]
            jobs[name] = Job(
                name,
                _digest(json.dumps([*everything, settings.metric_weights], sort_keys=True)),
                payload,
                affinity=json.dumps([model, pair["source"]]),
                inputs=tuple(pair.values()),
            )
    return list(jobs.values())


def _do_pair(settings: PairSettings, animate: Animator, place: Place, job: Job) -> dict[str, Any]:
    """Make the video, measure it, and return what the record keeps."""
    value = animate(job)
    measured = evaluate(
        job.payload["output"],
        source=job.payload["source"],
        reference=job.payload["reference"],
        names=settings.metrics,
        weights=settings.metric_weights,
        accept_licence=settings.animator.accept_licence,
        device=place.device,
        seed=settings.animator.seed,
    )
    release()
    return {
        **value,
        SECONDS: round(_file_to_file(value) / max(value["frames"], 1), 5),
        "scores": measured.scores,
        "not_computed": measured.skipped,
    }


def _file_to_file(value: Mapping[str, Any]) -> float:
    """Seconds for one video, its source's preparation included, which pairs of one source share."""
    timings = value["timings"]
    return float(timings.get("prepare", 0.0) + timings.get("read driver", 0.0) + value["seconds"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
