"""`thg-zoo bench`: speed and memory of models on this machine, with seeded weights and without any download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import Device, Quiet, examples
from thg_zoo.errors import UsageError
from thg_zoo.zoo import describe, list_models

if TYPE_CHECKING:
    from thg_zoo.bench import Measurement

EXAMPLES = examples("thg-zoo bench warp fomm --batch-sizes 1,8 --json bench.json --chart bench.png")


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names of models; by default one of each card.", metavar="MODEL"),
    ] = None,
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", help="As in 1,8,16. Default: what suits the device.")
    ] = None,
    precisions: Annotated[str, typer.Option("--precisions", help="As in float32,bfloat16.")] = "float32",
    seconds: Annotated[float, typer.Option(help="Length of the video that is made.", min=0.08)] = 2.0,
    size: Annotated[int | None, typer.Option(help="Side of the source in pixels. Default: 512.", min=64)] = None,
    rounds: Annotated[int, typer.Option(help="Warm runs, of which the fastest counts.", min=1)] = 1,
    device: Device = "auto",
    json_file: Annotated[str | None, typer.Option("--json", help="Write everything here.", metavar="FILE")] = None,
    chart: Annotated[
        str | None, typer.Option(help="Write charts here, as .html, .png or .svg.", metavar="FILE")
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain/--no-plain", help="Time a plain loop of the same networks as well."),
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Time MODELS file to file on the bundled example, each in every setting, cold and warm.

    fps: frames per second when warm. plain: those of a plain loop, frame after frame, layers as published.

    x: how many times as fast the model is as the plain loop. render ms: milliseconds per frame in the networks.
    """
    if quiet:
        console.be_quiet()
    names = models or [next(iter(spec.variants)) for spec in {m.spec.name: m.spec for m in list_models()}.values()]
    for name in names:
        describe(name)
    sizes = _numbers(batch_sizes)
    kinds = [precision.strip() for precision in precisions.split(",")]
    from thg_zoo import bench as benchmark
    from thg_zoo.allocation import keep_freed_memory
    from thg_zoo.cli.progress import progress_display
    from thg_zoo.demo import example_driver, example_source
    from thg_zoo.report import check_report_path
    from thg_zoo.runtime import resolve_runtime

    for precision in kinds:
        resolve_runtime(device, precision)
    for path in (json_file, chart):
        if path is not None:
            check_report_path(path)
    if chart is not None:
        benchmark.check_chart_name(chart)
    keep_freed_memory()
    found: list[Measurement] = []
    try:
        with progress_display(quiet) as progress:
            for measurement in benchmark.bench(
                names,
                example_source(),
                example_driver(),
                size=size,
                seconds=seconds,
                batch_sizes=sizes,
                precisions=kinds,
                device=device,
                rounds=rounds,
                plain=plain,
                progress=progress,
            ):
                found.append(measurement)
    finally:
        # What was measured before an interruption may have taken hours.
        if found:
            _present(found, json_file, chart)


def _present(found: list[Measurement], json_file: str | None, chart: str | None) -> None:
    from thg_zoo import bench as benchmark
    from thg_zoo.weights.records import write_atomically

    if json_file is not None:
        write_atomically(Path(json_file), benchmark.to_json(found).encode())
    if chart is not None:
        write_atomically(Path(chart), benchmark.chart(found, chart))
    _print(found)


def _numbers(text: str | None) -> list[int | None]:
    if text is None:
        return [None]
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise UsageError(f"{text!r} are no batch sizes.", "Write, for instance, 1,8.")
    return [int(number) for number in numbers]


def _print(found: list[Measurement]) -> None:
    from rich.table import Table

    rows = [_row(m) for m in found if m.timed]
    columns = [name for name in rows[0] if any(row[name] != "-" for row in rows)] if rows else []
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    if rows:
        console.out().print(table)
    for m in found:
        if m.error or m.plain_error:
            console.say(m.model, "yellow", m.error or f"plain loop: {m.plain_error}")


def _row(measurement: Measurement) -> dict[str, str]:
    timed, plain, times = measurement.timed, measurement.plain, measurement.times_plain
    assert timed is not None
    assert timed.memory is not None
    on_device = timed.memory.device_peak
    return {
        "model": measurement.model,
        "batch": str(timed.batch_size),
        "precision": measurement.precision,
        "fps": f"{1000 / timed.per_frame:.1f}",
        "plain": "-" if plain is None else f"{1000 / plain.per_frame:.1f}",
        "x": "-" if times is None else f"{times:.2f}",
        "render ms": f"{timed.stages.get('render', 0):.1f}",
        "cold s": f"{timed.load + timed.cold:.2f}",
        "memory": console.human_size(timed.memory.peak),
        "on device": "-" if on_device is None else console.human_size(on_device),
    }
