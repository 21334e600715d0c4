"""`thg-zoo bench`: speed and memory of models on this machine, with seeded weights and without any download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import Device, Quiet
from thg_zoo.errors import UsageError
from thg_zoo.zoo import describe, list_models

if TYPE_CHECKING:
    from thg_zoo.bench import Measurement

COLUMNS = ("model", "batch", "precision", "fps", "ms/frame", "render", "cold s", "warm s", "memory", "device memory")


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names of models; by default one of each card.", metavar="[MODEL]..."),
    ] = None,
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", help="As in 1,8,16. Default: what suits the device.")
    ] = None,
    precisions: Annotated[str, typer.Option("--precisions", help="As in float32,bfloat16.")] = "float32",
    seconds: Annotated[float, typer.Option(help="Length of the video that is made.", min=0.08)] = 2.0,
    size: Annotated[int | None, typer.Option(help="Side of the source in pixels. Default: 512.", min=64)] = None,
    device: Device = "auto",
    json_file: Annotated[str | None, typer.Option("--json", help="Write everything here.", metavar="FILE")] = None,
    chart: Annotated[str | None, typer.Option(help="Write charts here, as a page.", metavar="FILE.html")] = None,
    quiet: Quiet = False,
) -> None:
    """Time MODELS file to file on the bundled example, each in every setting, twice.

    The table shows the second, warm run; `render` is the part of the networks, both in milliseconds per frame.
    """
    if quiet:
        console.be_quiet()
    names = models or [next(iter(spec.variants)) for spec in {m.spec.name: m.spec for m in list_models()}.values()]
    for name in names:
        describe(name)
    sizes = _numbers(batch_sizes)
    from thg_zoo import bench as benchmark
    from thg_zoo.cli.progress import progress_display
    from thg_zoo.demo import example_driver, example_source
    from thg_zoo.report import check_report_path
    from thg_zoo.weights.records import write_atomically

    for path in (json_file, chart):
        if path is not None:
            check_report_path(path)
    with progress_display(quiet) as progress:
        found = list(
            benchmark.bench(
                names,
                example_source(),
                example_driver(),
                size=size,
                seconds=seconds,
                batch_sizes=sizes,
                precisions=precisions.split(","),
                device=device,
                progress=progress,
            )
        )
    for path, text in ((json_file, benchmark.to_json), (chart, benchmark.chart)):
        if path is not None:
            write_atomically(Path(path), text(found).encode())
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

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "model" else "right")
    for m in found:
        if m.error:
            continue
        device_memory = m.memory.device_peak if m.memory else None
        table.add_row(
            m.model,
            str(m.batch_size),
            m.precision,
            f"{m.fps:.1f}",
            f"{1000 / m.fps:.1f}",
            f"{m.stages.get('render', 0):.1f}",
            f"{m.load + m.cold:.2f}",
            f"{m.warm:.2f}",
            console.human_size(m.memory.peak if m.memory else None),
            "-" if device_memory is None else console.human_size(device_memory),
        )
    if table.rows:
        console.out().print(table)
    for m in found:
        if m.error:
            console.say(m.model, "yellow", m.error)
