"""`thg-zoo info MODEL`: the card, the options with ranges, the files and their licences."""

from __future__ import annotations

from thg_zoo.cli import console
from thg_zoo.cli.arguments import ModelName
from thg_zoo.spec import Licence
from thg_zoo.zoo import ModelDescription, describe


def info(model: ModelName) -> None:
    """Show everything about a model."""
    described = describe(model)
    _print_card(described)
    _print_options(described)
    _print_files(described)


def _print_card(model: ModelDescription) -> None:
    spec, out = model.spec, console.out()
    out.print(f"[bold]{model.name}[/] - {model.variant.title}")
    out.print(spec.summary, markup=False)
    rows = {
        "sources": ", ".join(spec.sources),
        "drivers": ", ".join(spec.drivers),
        "frames per second": f"{spec.fps:g}" if spec.fps else "those of the video",
        "network output": f"{spec.frame_size[1]} x {spec.frame_size[0]}" if spec.frame_size else "size of the source",
        "crop": spec.crop,
        "licence": _licence(spec.licence),
        "commercial use": "yes" if model.commercial else "no",
        **{f"paper {k}": f"{p.title} ({p.venue} {p.year or ''}) {p.url}" for k, p in enumerate(spec.papers, 1)},
        **{f"code {k}": f"{c.title} {c.url}" for k, c in enumerate(spec.code, 1)},
    }
    for name, value in rows.items():
        if value:
            out.print(f"  {name:<18} {value}", markup=False, soft_wrap=True)


def _print_options(model: ModelDescription) -> None:
    from rich.table import Table

    if not model.options:
        return
    table = Table(box=None, pad_edge=False, header_style="bold", title="Options (key=value)", title_justify="left")
    for column in ("option", "default", "accepted", "meaning"):
        table.add_column(column)
    for option in model.options:
        table.add_row(option.name, _written(option.default), option.range_text or option.type_name, option.help)
    console.out().print()
    console.out().print(table)


def _written(default: object) -> str:
    """A default as it is written behind `key=`."""
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{','.join(map(_written, default))}]"
    return str(default)


def _print_files(model: ModelDescription) -> None:
    out = console.out()
    out.print()
    if not model.variant.files:
        out.print("Needs no download.")
    for file in model.variant.files:
        source = file.sources[0]
        where = f"{source.repo_id} ({source.path})" if source.repo_id else source.url
        out.print(
            f"{file.name}: {file.role}, {console.human_size(file.size)}, from {where}", markup=False, soft_wrap=True
        )
        out.print(f"  licence: {_licence(file.licence)}", markup=False, soft_wrap=True)


def _licence(licence: Licence) -> str:
    return " ".join(part for part in (licence.name, licence.terms, licence.url) if part)
