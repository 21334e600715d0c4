"""`thg-zoo batch`: animate every line of a manifest, in a folder that a later run goes on with."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import AcceptLicense, BatchSize, Device, Pairs, Precision, Quiet, Seed, Weights, examples
from thg_zoo.errors import BatchError, Cancelled, ManifestError, UsageError, nearest
from thg_zoo.options import parse_pairs

if TYPE_CHECKING:
    from thg_zoo.jobs import Engine, Event

ENGINES = ("local", "ray")
_SHOWN_CAUSES = 10
EXAMPLES = examples(
    "thg-zoo batch jobs.csv --model warp -o out",
    "thg-zoo batch --source 'faces/*.png' --driver 'lines/*.wav' --model warp -o out",
    "thg-zoo batch --status out",
)


def batch(
    manifest: Annotated[
        str | None, typer.Argument(help="The jobs: a csv, jsonl or yaml file, or its URL.", metavar="MANIFEST")
    ] = None,
    pairs: Pairs = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder or URL of the outputs and results.", metavar="OUTDIR"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of the lines that name none.")] = None,
    source: Annotated[str | None, typer.Option(help="In place of a manifest: pattern of sources.")] = None,
    driver: Annotated[str | None, typer.Option(help="In place of a manifest: pattern of drivers.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Show how far the run in this folder is, and do nothing.", metavar="OUTDIR")
    ] = None,
    engine: Annotated[str, typer.Option(help="local: this machine; ray: a cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option(help="How many at most. Default: one per device, on the CPU one per core.", min=1)
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster. Default: $RAY_ADDRESS.")] = None,
    cpus: Annotated[int, typer.Option(help="CPU cores of one Ray worker.", min=1)] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs of one Ray worker; 0.5 puts two on one.", min=0.01)] = 1.0,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a job is taken for hanging.", min=1, show_default="never")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do again what failed before.")] = False,
    suffix: Annotated[str, typer.Option(help="Kind of outputs without a name: .mp4, .webm, .gif.")] = ".mp4",
    drive_by: Annotated[str, typer.Option(help="What of a driving video counts: see `thg-zoo run`.")] = "auto",
    weights: Weights = None,
    device: Device = "auto",
    precision: Precision = "float32",
    batch_size: BatchSize = None,
    seed: Seed = 0,
    accept_license: AcceptLicense = False,
    json_events: Annotated[
        bool, typer.Option("--json", help="Write what happens to standard output, one JSON object per line.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Animate every line of MANIFEST (columns source, driver, model, output, any option).

    What an earlier run into OUTDIR has finished is skipped, so that the same command goes on after an interruption.
    """
    if quiet:
        console.be_quiet()
    if status is not None:
        _show_status(status, json_events)
        return
    rows, given = _split([a for a in (manifest, *(pairs or [])) if a is not None], source, driver)
    if output is None:
        raise UsageError("It is not said where to write.", "Add -o OUTDIR.")
    options = parse_pairs(given)
    from thg_zoo.jobs.batch import batch as run

    try:
        with _display(json_events, quiet) as notify:
            summary = run(
                rows,
                output,
                model=model,
                engine=_engine(engine, workers, device, timeout, address, cpus, gpus),
                retry_failed=retry_failed,
                suffix=suffix,
                drive_by=drive_by,
                seed=seed,
                weights=weights,
                precision=precision,
                batch_size=batch_size,
                accept_licence=accept_license,
                notify=notify,
                **options,
            )
    except ManifestError as error:
        _list_problems(error)
        if len(error.problems) < 2:
            raise
        raise UsageError(f"There are {len(error.problems)} problems.", "Nothing was started.") from error
    except KeyboardInterrupt:
        raise Cancelled("Interrupted; finished jobs are kept.", "The same command goes on from there.") from None
    if not quiet and not json_events:
        _show(summary)
    if summary["failed"]:
        raise BatchError(
            f"{summary['failed']} of {summary['total']} jobs failed.",
            "results.jsonl says why; --retry-failed does them again.",
        )


def _split(arguments: list[str], source: str | None, driver: str | None) -> tuple[Any, list[str]]:
    """The manifest and the options for all its lines."""
    if source is not None and driver is not None:
        return [{"source": source, "driver": driver}], arguments
    if source is not None or driver is not None:
        raise UsageError("--source and --driver belong together.", "Give both, or a manifest.")
    if not arguments or ("=" in arguments[0] and arguments[0].split("=")[0].isidentifier()):
        raise UsageError("There is no manifest.", "Name a csv, jsonl or yaml file, or give --source and --driver.")
    return arguments[0], arguments[1:]


def _engine(
    name: str,
    workers: int | None,
    device: str,
    timeout: float | None,
    address: str | None,
    cpus: int,
    gpus: float,
) -> Engine:
    from thg_zoo.jobs import LocalEngine, RayEngine

    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}.", nearest(name, ENGINES))
    if name == "ray":
        return RayEngine(workers, address, device, cpus, gpus, timeout=timeout)
    return LocalEngine(workers, device, timeout=timeout)


@contextlib.contextmanager
def _display(json_events: bool, quiet: bool) -> Iterator[Callable[[Event], None] | None]:
    """What is told of each event: a line of JSON, a bar, or nothing."""
    if json_events:
        yield lambda event: console.out().print(json.dumps(event, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    if quiet:
        yield None
        return
    from thg_zoo.cli.progress import jobs_display

    with jobs_display() as notify:
        yield notify


def _list_problems(error: ManifestError) -> None:
    """Each on a line of its own; a single one is said by the error itself."""
    for line, text in error.problems if len(error.problems) > 1 else ():
        console.say(f"line {line}", "bold red", text)


def _show_status(folder: str, as_json: bool) -> None:
    from thg_zoo.jobs.batch import state_folder
    from thg_zoo.jobs.summary import read_summary

    summary = read_summary(state_folder(folder))
    if as_json:
        console.out().print(json.dumps(summary, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    _show(summary)


def _show(summary: dict[str, Any]) -> None:
    lines = [
        f"{summary['state']}: {summary['done']} of {summary['total']} jobs done, {summary['failed']} failed, "
        f"{summary['left']} left; {summary['frames']} frames in {summary['seconds']:.0f} s, "
        f"{summary['frames_per_second']:.1f} frames/s"
    ]
    for name, work in summary["models"].items():
        price = work["worker_seconds_per_video_minute"]
        if price is not None:
            lines.append(f"{name}: {work['jobs']} jobs, {price:.0f} worker seconds per minute of video")
    for failure in summary["failures"][:_SHOWN_CAUSES]:
        lines.append(f"{failure['jobs']} x {failure['cause']}")
        lines.append(f"    for example {failure['example']}")
    for line in lines:
        console.out().print(line, soft_wrap=True, markup=False)
