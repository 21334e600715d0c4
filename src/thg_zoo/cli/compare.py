"""`thg-zoo compare`: the same source and driver through several models, side by side, measured and reported."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import AcceptLicense, BatchSize, Pairs, Precision, Quiet, Seed, Weights, examples
from thg_zoo.errors import Cancelled, UsageError, nearest
from thg_zoo.metrics.catalogue import METRICS, check_names
from thg_zoo.options import parse_pairs
from thg_zoo.zoo import describe

if TYPE_CHECKING:
    from thg_zoo.comparison.results import Comparison, Row

EXAMPLES = examples(
    "thg-zoo compare warp,wav2lip,sadtalker face.png speech.wav -o compare.mp4",
    "thg-zoo compare warp,wav2lip --manifest pairs.csv -o results",
)


def compare(
    models: Annotated[
        str, typer.Argument(help="Names with commas between: warp,wav2lip.", metavar="MODEL,MODEL[,...]")
    ],
    source: Annotated[str | None, typer.Argument(help="Picture or video of the person.", metavar="SOURCE")] = None,
    driver: Annotated[
        str | None, typer.Argument(help="Speech, video, picture or motion file.", metavar="DRIVER")
    ] = None,
    options: Pairs = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="The grid video, beside which a folder takes the rest; with --manifest a folder.",
            metavar="OUT",
            show_default="compare.mp4, or compare",
        ),
    ] = None,
    drivers: Annotated[
        list[str] | None, typer.Option("--driver", help="Another driver for one model.", metavar="MODEL=FILE")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The video that should come out, to compare with.", metavar="VIDEO")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Metrics with commas between, or `none`. Default: all that can be computed.")
    ] = None,
    metric_weights: Annotated[
        str | None,
        typer.Option(help="Of SyncNet: a file; of it and of FAN: a folder; or `random`. Default: from the hub."),
    ] = None,
    weights: Weights = None,
    device: Annotated[
        str,
        typer.Option(
            help="auto, cpu, cuda, cuda:N or mps; several with commas between run models at the same time.",
        ),
    ] = "auto",
    precision: Precision = "float32",
    batch_size: BatchSize = None,
    seed: Seed = 0,
    warm: Annotated[bool, typer.Option("--warm", help="Run every model twice, to time it warm as well.")] = False,
    manifest: Annotated[
        str | None,
        typer.Option(help="Compare many pairs: a CSV with the columns source, driver and, if known, reference."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison.")] = False,
    accept_license: AcceptLicense = False,
    quiet: Quiet = False,
) -> None:
    """Compare MODELS on SOURCE and DRIVER, or with --manifest on many pairs.

    An option is given to every model that has it, or to one: wav2lip.detector=mtcnn.
    """
    if quiet:
        console.be_quiet()
    names = [name.strip() for name in models.split(",") if name.strip()]
    wanted = _metrics(metrics)
    arguments: dict[str, Any] = {
        "metrics": wanted,
        "metric_weights": metric_weights,
        "weights": weights,
        "device": device,
        "precision": precision,
        "batch_size": batch_size,
        "seed": seed,
        "accept_licence": accept_license,
    }
    if manifest is not None:
        # What stands in the places of the source and the driver can only be options then.
        pairs = [text for text in (source, driver) if text is not None] + (options or [])
        _many(names, manifest, output or "compare", options_by_model(names, pairs), arguments, quiet)
        return
    if source is None or driver is None:
        raise UsageError("A source and a driver are needed.", "Name both, or give --manifest pairs.csv.")
    given = options_by_model(names, options or [])
    others = _drivers(drivers or [])
    # Heavy imports come now: everything that can be refused without them has been.
    from thg_zoo.allocation import keep_freed_memory
    from thg_zoo.cli.progress import progress_display
    from thg_zoo.comparison.comparing import compare as run

    keep_freed_memory()
    with progress_display(quiet) as progress:
        comparison = run(
            names,
            source,
            driver,
            output or "compare.mp4",
            drivers=others,
            options=given,
            reference=reference,
            warm=warm,
            overwrite=overwrite,
            progress=progress,
            **arguments,
        )
    if not quiet:
        _show(comparison)
    for path in (comparison.grid, comparison.report):
        console.out().print(str(path), soft_wrap=True, markup=False)


def options_by_model(names: Sequence[str], pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options from key=value, for every model that has them, and from model.key=value, for one of them.

    Raises OptionError, and UsageError for what no model has.
    """
    known = {name: {info.name for info in describe(name).options} for name in names}
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        model, dot, option = key.rpartition(".")
        if dot and model not in known:
            raise UsageError(f"{pair!r}: {model!r} is not among the models compared.", nearest(model, known))
        takers = [model] if dot else [name for name in names if key in known[name]]
        if not takers:
            raise UsageError(
                f"None of the models has an option {key!r}.",
                nearest(key, {n for options in known.values() for n in options}),
            )
        for name in takers:
            found.setdefault(name, {}).update(parse_pairs([f"{option}={value}"]))
    for name, given in found.items():
        describe(name).resolve(given)
    return found


def _metrics(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return check_names([name.strip() for name in text.split(",")] if text != "none" else [])


def _drivers(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"{pair!r} names no model.", "Write --driver MODEL=FILE.")
    return dict(pair.split("=", 1) for pair in pairs)


def _show(comparison: Comparison) -> None:
    """A column per model, of which there are fewer than metrics; and why some have none."""
    from rich.table import Table

    done = [row for row in comparison.rows if row.ok]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for row in done:
        table.add_column(row.model, justify="right")
    columns = [_facts(row) for row in done]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    for name, metric in METRICS.items():
        if any(name in row.scores for row in done):
            values = (f"{row.scores[name]:.4g}" if name in row.scores else "-" for row in done)
            table.add_row(f"{metric.title} {metric.arrow}".rstrip(), *values)
    console.err().print(table)
    for row in comparison.rows:
        if not row.ok:
            console.say(row.model, "yellow", f"{row.error} {row.remedy}")


def _facts(row: Row) -> dict[str, str]:
    assert row.timings is not None
    assert row.memory is not None
    return {
        "frame": f"{row.size[1]} x {row.size[0]}",
        "s/frame": f"{row.timings.per_frame:.3g}",
        "memory": console.human_size(row.memory.peak),
    }


def _many(
    names: Sequence[str],
    manifest: str,
    output: str,
    options: dict[str, dict[str, Any]],
    arguments: dict[str, Any],
    quiet: bool,
) -> None:
    from thg_zoo.cli.progress import jobs_display
    from thg_zoo.comparison.manifest import compare_many
    from thg_zoo.comparison.summaries import missing_metrics, table_markdown

    try:
        with contextlib.nullcontext() if quiet else jobs_display() as notify:
            summaries = compare_many(names, manifest, output, options=options, notify=notify, **arguments)
    except KeyboardInterrupt:
        raise Cancelled("Interrupted; finished pairs are kept.", "The same command goes on from there.") from None
    console.out().print(table_markdown(summaries), soft_wrap=True, markup=False)
    for summary in summaries:
        for cause, n in summary.causes.items():
            console.say(summary.model, "yellow", f"{n} failed: {cause}")
    for reason, titles in missing_metrics(summaries).items():
        console.say(", ".join(titles), "yellow", f"not computed: {reason}")
