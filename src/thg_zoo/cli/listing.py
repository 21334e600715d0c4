"""`thg-zoo list`: the models as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.errors import UsageError, nearest
from thg_zoo.spec import DRIVER_KINDS
from thg_zoo.zoo import ModelDescription, list_models

# Narrower terminals have no room for sentences.
_WIDE = 120
COLUMNS = ("model", "sources", "drivers", "download", "commercial use", "summary")


def list_(
    driver: Annotated[
        str | None, typer.Option(help="Only models driven by audio, video, image, motion or edit.")
    ] = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only models whose code and weights may be used commercially.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table, as in the README.")] = False,
) -> None:
    """List the models."""
    if driver is not None and driver not in DRIVER_KINDS:
        raise UsageError(f"{driver!r} is no kind of driver.", nearest(driver, DRIVER_KINDS))
    models = list_models(driver=driver, commercial=commercial)
    if markdown:
        console.out().print(markdown_table(models), markup=False, soft_wrap=True)
        return
    from rich.table import Table

    shown = len(COLUMNS) if console.out().width >= _WIDE else COLUMNS.index("summary")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS[:shown]:
        table.add_column(column, no_wrap=column in ("model", "download"), overflow="fold")
    for model in models:
        table.add_row(*_cells(model)[:shown])
    console.out().print(table)


def markdown_table(models: Iterable[ModelDescription]) -> str:
    """The same table in Markdown; the README's is this one."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(_cells(model) for model in models)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(model: ModelDescription) -> tuple[str, ...]:
    return (
        model.name,
        ", ".join(model.spec.sources),
        ", ".join(model.spec.drivers),
        console.human_size(model.variant.size) if model.variant.files else "none",
        "yes" if model.commercial else "no",
        model.spec.summary,
    )
