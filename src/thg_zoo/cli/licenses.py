"""`thg-zoo licenses`: the terms of all weights, and accepting those that forbid commercial use."""

from __future__ import annotations

from typing import Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.errors import UnknownModelError, UsageError, nearest
from thg_zoo.spec import Licence
from thg_zoo.zoo import describe, list_models

app = typer.Typer(help="Licences of weights: without a command, lists all and which are accepted.")


@app.callback(invoke_without_command=True)
def licenses(context: typer.Context) -> None:
    """List the licences of all weights, who they concern, and whether they are accepted."""
    if context.invoked_subcommand is not None:
        return
    from thg_zoo.weights import licences

    for key, (licence, models) in _known().items():
        state = "accepted" if licences.is_accepted(licence) else f"accept it with `thg-zoo licenses accept {key}`"
        out = console.out()
        out.print(f"{key}: {', '.join(models)}", markup=False, soft_wrap=True)
        out.print(f"  {licences.terms(licence)}", markup=False, soft_wrap=True)
        if not licence.commercial:
            out.print(f"  {state}", markup=False, soft_wrap=True)


@app.command()
def accept(
    names: Annotated[
        list[str], typer.Argument(help="Licences by name, or models: all licences of their files.", metavar="NAME")
    ],
) -> None:
    """Accept the terms of weights whose licence forbids commercial use."""
    from thg_zoo.weights import licences

    for licence in {licence.key: licence for name in names for licence in _named(name)}.values():
        licences.accept(licence)
        console.out().print(f"Accepted: {licences.terms(licence)}", markup=False, soft_wrap=True)


def _known() -> dict[str, tuple[Licence, list[str]]]:
    """The licences of all weight files with the models they concern, by key."""
    found: dict[str, tuple[Licence, list[str]]] = {}
    for model in list_models():
        for file in model.variant.files:
            _, models = found.setdefault(file.licence.key, (file.licence, []))
            if model.name not in models:
                models.append(model.name)
    return dict(sorted(found.items()))


def _named(name: str) -> list[Licence]:
    """The licence of that name, or the gated licences of the model of that name."""
    known = _known()
    for key, (licence, _) in known.items():
        if name.lower() in {key, licence.name.lower()}:
            return [licence]
    try:
        model = describe(name)
    except UnknownModelError:
        names = [*known, *(m.name for m in list_models())]
        raise UsageError(f"There is no licence and no model {name!r}.", nearest(name, names)) from None
    return [file.licence for file in model.variant.files if not file.licence.commercial]
