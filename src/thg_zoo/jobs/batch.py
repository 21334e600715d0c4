"""`thg_zoo.batch`: every line of a manifest becomes a video, in a folder that a later run goes on with."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from thg_zoo.errors import UsageError, nearest
from thg_zoo.jobs import ledger, storage
from thg_zoo.jobs.animator import AnimatorSettings, clean, is_intact, work_folder
from thg_zoo.jobs.checking import Defaults, ManifestJobs
from thg_zoo.jobs.engine import Engine
from thg_zoo.jobs.job import Event, Job, Record
from thg_zoo.jobs.local import LocalEngine
from thg_zoo.jobs.manifest import Problem, Row, read_manifest, rows_of
from thg_zoo.jobs.mirror import Mirror
from thg_zoo.jobs.places import SUFFIXES
from thg_zoo.jobs.session import run_jobs
from thg_zoo.jobs.summary import read_summary
from thg_zoo.zoo import describe

RANDOM = "random"
_PATIENCE_S = 3.0
Manifest: TypeAlias = "str | Path | Iterable[Mapping[str, Any]]"


def batch(
    manifest: Manifest,
    output: str | Path,
    *,
    model: str | None = None,
    engine: Engine | None = None,
    retry_failed: bool = False,
    suffix: str = ".mp4",
    drive_by: str = "auto",
    seed: int = 0,
    weights: str | Path | None = None,
    precision: str = "float32",
    batch_size: int | None = None,
    accept_licence: bool = False,
    notify: Callable[[Event], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Animate every line of a manifest; what an earlier run has finished is skipped.

    manifest: a csv, jsonl or yaml file or its URL, or mappings; columns source, driver (paths, URLs, or patterns
    such as faces/*.png: every source with every driver), and optionally model, output, seed, drive_by and any
    option of the model; output: folder or URL of the outputs; model, seed, drive_by, options: for lines that do
    not say; engine: where it runs, `LocalEngine()` by default; suffix: .mp4, .webm, .gif or none, of names that
    the manifest does not give; retry_failed: do again what failed; notify: see `run_jobs`; the others as in `load`.

    Returns the summary (see `read_summary`); a job that fails is counted there and recorded in results.jsonl.
    Raises ManifestError with every problem before anything starts, OutputError, BatchError, LicenceError.
    """
    if suffix not in SUFFIXES:
        raise UsageError(f"Outputs of the kind {suffix!r} cannot be written.", nearest(suffix, filter(None, SUFFIXES)))
    records = animate_all(
        manifest,
        output,
        defaults=Defaults(model, seed, drive_by, suffix, options, _identity(weights, precision, seed)),
        settings=AnimatorSettings(
            _absolute(output), None if weights is None else str(weights), precision, batch_size, seed, accept_licence
        ),
        engine=engine or LocalEngine(),
        retry_failed=retry_failed,
        notify=notify,
    )
    for _ in records:
        pass
    return read_summary(state_folder(output))


def animate_all(
    manifest: Manifest,
    output: str | Path,
    *,
    defaults: Defaults,
    settings: AnimatorSettings,
    engine: Engine,
    retry_failed: bool = False,
    notify: Callable[[Event], None] | None = None,
) -> Generator[Record]:
    """The records of `batch`, one by one, each when it is written down. Leaving early stops the workers."""
    output = _absolute(output)
    state = state_folder(output)
    mirror = Mirror(state, output) if storage.is_remote(output) else None
    if mirror:
        storage.list_folder(f"{output}/{ledger.NAME}")
        mirror.pull()
    name, rows, base = _opened(manifest)
    fresh = not (state / ledger.NAME).exists() and storage.is_folder(output)
    jobs = ManifestJobs(name, rows, base, output, defaults, fresh=fresh)
    try:
        yield from _mirrored(
            mirror,
            run_jobs(
                _with_licences(jobs, settings.accept_licence),
                settings,
                state,
                engine=engine,
                retry_failed=retry_failed,
                intact=partial(is_intact, output),
                notify=notify,
            ),
        )
    finally:
        _clean_up(work_folder(output))


def _clean_up(work: Path) -> None:
    """Remove the work folder. Workers that Ray was told to end take a moment for it."""
    end = time.monotonic() + _PATIENCE_S
    clean(work)
    while work.exists() and time.monotonic() < end:
        time.sleep(0.1)
        clean(work)


def state_folder(output: str | Path) -> Path:
    """The local folder with results.jsonl and summary.json: that of the outputs, or one that stands for a URL."""
    text = _absolute(output)
    if not storage.is_remote(text):
        return Path(text)
    from thg_zoo.weights import folders

    return folders.home() / "batch" / hashlib.sha256(text.encode()).hexdigest()[:16]


def _opened(manifest: Manifest) -> tuple[str, Iterable[Row | Problem], str]:
    """A manifest's name, its rows, and what its relative paths are relative to."""
    if not isinstance(manifest, (str, Path)):
        return "The list of jobs", rows_of(manifest), os.getcwd()  # noqa: PTH109
    text = _absolute(manifest)
    return text, read_manifest(text), text.rpartition("/")[0] if storage.is_remote(text) else str(Path(text).parent)


def _with_licences(jobs: ManifestJobs, accepted: bool) -> Iterator[Job]:
    """The jobs; then, before any of them starts, the licences of the models that they use."""
    yield from jobs
    used = [file.licence for name in sorted(jobs.models) for file in describe(name).variant.files]
    if any(not licence.commercial for licence in used):
        from thg_zoo.weights import licences

        licences.require(used, accepted)


def _mirrored(mirror: Mirror | None, records: Generator[Record]) -> Generator[Record]:
    with contextlib.closing(records):
        try:
            for record in records:
                yield record
                if mirror:
                    mirror.push_if_due()
        finally:
            records.close()  # writes the last summary
            if mirror:
                mirror.push()


def _identity(weights: str | Path | None, precision: str, seed: int) -> dict[str, Any]:
    """What all results of a run depend on besides their own line."""
    if weights is None or str(weights) == RANDOM:
        return {"weights": str(weights), "precision": precision, "seed": seed if weights else 0}
    return {"weights": _absolute(weights), "precision": precision}


def _absolute(path: str | Path) -> str:
    text = str(path)
    return text if storage.is_remote(text) else os.path.abspath(storage.local_path(text))  # noqa: PTH100
