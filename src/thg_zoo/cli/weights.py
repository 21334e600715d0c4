"""`thg-zoo weights`: what models need, what is here, and how to get, prove and remove it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.errors import Cancelled, DownloadError, ThgZooError, UsageError, VerificationError
from thg_zoo.spec import WeightFile
from thg_zoo.zoo import ModelDescription, describe, empty_networks_of, list_models

if TYPE_CHECKING:
    from thg_zoo.weights import Progress, WeightRecord

app = typer.Typer(help="Published weights: list, fetch, prove and remove them.", no_args_is_help=True)

Models = Annotated[list[str], typer.Argument(help="Names of models: see `thg-zoo list`.", metavar="MODEL")]
AnyModels = Annotated[list[str] | None, typer.Argument(help="Names of models; all if none is given.", metavar="MODEL")]
Commercial = Annotated[bool, typer.Option("--commercial", help="Only models that may be used commercially.")]


@app.command("list")
def list_(models: AnyModels = None, commercial: Commercial = False) -> None:
    """List the files that models need: size, licence, and whether they are on this machine."""
    from rich.table import Table

    from thg_zoo.weights import installed

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "file", "size", "here", "commercial use", "licence"):
        table.add_column(column, no_wrap=column in ("size", "here"), overflow="fold")
    for model in _chosen(models, commercial):
        for file in model.variant.files:
            here = "yes" if installed(file) else "no"
            allowed = "yes" if file.licence.commercial else "no"
            size = console.human_size(file.size)
            table.add_row(model.name, file.name, size, here, allowed, file.licence.name)
        if not model.variant.files:
            table.add_row(model.name, "(needs none)", "", "", "", "")
    console.out().print(table)


@app.command()
def pull(
    models: AnyModels = None,
    all_: Annotated[bool, typer.Option("--all", help="The files of every model.")] = False,
    commercial: Commercial = False,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the terms that forbid commercial use.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Files that are fetched at once.")] = 4,
) -> None:
    """Fetch the weights of models and prove them."""
    if not models and not all_ and not commercial:
        raise UsageError("No model is named.", "Name models, or use --all or --commercial.")
    from thg_zoo.weights import licences

    files = _files(_chosen(models, commercial))
    shown = [f.licence for f in files if accept_license and not f.licence.commercial]
    for text in dict.fromkeys(licences.terms(licence) for licence in shown if not licences.is_accepted(licence)):
        console.err().print(f"Accepted: {text}", markup=False, soft_wrap=True)
    licences.require([file.licence for file in files], accept_license)
    with _bars(files) as progress:
        records = _fetch_at_once(files, accept_license, jobs, progress)
    for record in records:
        console.out().print(f"{record.name}: {_proof(record)}, {record.source}", markup=False, soft_wrap=True)


@app.command()
def verify(models: AnyModels = None) -> None:
    """Read the files that are on this machine again and compare them with their published hashes."""
    from thg_zoo.weights import installation, verification

    wrong, found = [], False
    for file in _files(_chosen(models, commercial=False)):
        for path, source in installation.copies(file):
            found = True
            sha256 = verification.digest(path)
            try:
                _, how = verification.verify(path, file, source, sha256)
            except VerificationError as error:
                wrong.append(file)
                console.err().print(f"WRONG {error.message}", markup=False, soft_wrap=True)
            else:
                verification.remember_digest(path, sha256)
                console.out().print(f"{file.name}: {how} {sha256} {path}", markup=False, soft_wrap=True)
    if not found:
        console.err().print("There is nothing to verify: no such weights are on this machine.")
    if wrong:
        names = " ".join(dict.fromkeys(f.model for f in wrong))
        raise VerificationError(
            f"{len(wrong)} files are not the published ones.",
            f"`thg-zoo weights pull {names}` replaces what was fetched; remove by hand what was put there by hand.",
        )


@app.command()
def path(models: Models) -> None:
    """Print where the files of models lie, one per line."""
    from thg_zoo.weights import folders, installed

    missing = []
    for file in _files(_chosen(models, commercial=False)):
        found = installed(file)
        if found is None:
            missing.append(file)
        else:
            console.out().print(str(found), markup=False, soft_wrap=True)
    if missing:
        raise DownloadError(
            f"Not on this machine: {', '.join(file.name for file in missing)}.",
            f"Run `thg-zoo weights pull {' '.join(models)}`, or put them at "
            f"{', '.join(str(folders.by_hand(file)) for file in missing)}.",
        )


@app.command()
def remove(models: Models) -> None:
    """Remove the files of models, but none that another complete model on this machine uses."""
    from thg_zoo.weights import installation

    chosen = _chosen(models, commercial=False)
    names = {model.name for model in chosen}
    others = [m for m in list_models() if m.name not in names and m.variant.files]
    kept = [file for m in others if installation.is_installed(m.variant) for file in m.variant.files]
    removed = installation.remove(_files(chosen), kept)
    for gone in removed:
        console.out().print(f"removed {gone}", markup=False, soft_wrap=True)
    if not removed:
        console.err().print("Nothing was removed.")
    for file in _files(chosen):
        still = installation.installed(file)
        if still is not None:
            console.err().print(f"kept {still}: another model uses it", markup=False, soft_wrap=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The downloaded file.", metavar="FILE")],
    model: Annotated[str, typer.Argument(help="The model that it belongs to.", metavar="MODEL")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Take bytes that are not the published ones if the layout is right.")
    ] = False,
) -> None:
    """Take a hand-downloaded file: recognised by its hash or its layout, checked, and copied into the cache."""
    from thg_zoo.weights import import_file

    described = describe(model)
    record = import_file(file, described.variant, lambda: empty_networks_of(model), trust)
    console.out().print(f"{file} is {record.name} ({_proof(record)}): {record.path}", markup=False, soft_wrap=True)


def _chosen(models: Iterable[str] | None, commercial: bool) -> list[ModelDescription]:
    """The models named, or all; with `commercial`, those free for such use."""
    if models:
        return [model for model in map(describe, models) if model.commercial or not commercial]
    return list_models(commercial=commercial)


def _files(models: Iterable[ModelDescription]) -> list[WeightFile]:
    """Every file of the models once."""
    return list({(f.model, f.name): f for model in models for f in model.variant.files}.values())


def _proof(record: WeightRecord) -> str:
    if record.verified == "sha256":
        return "proved by its published sha256"
    return f"no hash is published, recorded sha256 {record.sha256}"


def _fetch_at_once(files: list[WeightFile], accepted: bool, jobs: int, progress: Progress) -> list[WeightRecord]:
    """Fetch in parallel. The others go on where one fails; an interrupt stops all."""
    from concurrent.futures import ThreadPoolExecutor

    from thg_zoo.weights import fetch

    stop = threading.Event()

    def report(name: str, done: int, total: int | None) -> None:
        if stop.is_set():
            raise Cancelled("The transfer was stopped.")
        progress(name, done, total)

    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(fetch, f, accept_licence=accepted, progress=_labelled(f, report)) for f in files]
        try:
            outcomes = [task.exception() for task in tasks]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    errors = [error for error in outcomes if error is not None]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise _all_in_one(errors)
    return [task.result() for task in tasks]


def _label(file: WeightFile) -> str:
    return f"{file.model}: {file.name}"


def _labelled(file: WeightFile, progress: Progress) -> Progress:
    """`progress` with the model's name before the file's, which several models may share."""
    return lambda _, done, total: progress(_label(file), done, total)


def _all_in_one(errors: list[BaseException]) -> BaseException:
    """One error that says what all of them say; a bug among them goes first."""
    known = [error for error in errors if isinstance(error, ThgZooError)]
    if len(known) < len(errors):
        return next(error for error in errors if not isinstance(error, ThgZooError))
    return DownloadError(" ".join(error.message for error in known), known[0].remedy)


@contextmanager
def _bars(files: Iterable[WeightFile]) -> Iterator[Callable[[str, int, int | None], None]]:
    """A callback that draws one bar per file while it is fetched."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    sizes = {_label(file): file.size for file in files}
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Progress(*columns, console=console.err(), transient=True) as bars:

        def show(name: str, done: int, total: int | None) -> None:
            with lock:
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=total or sizes.get(name))
            bars.update(tasks[name], completed=done, total=total or sizes.get(name))

        yield show
