"""What the command line says and where: results on standard output, everything else on standard error."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def out() -> Console:
    """Standard output, for results that may be piped."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def err() -> Console:
    """Standard error, for progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say_error(text: str) -> None:
    """One line on standard error, whatever signs the names in it contain."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    err().print(f"[bold red]error:[/] {_escaped(line)}", soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def human_size(n_bytes: int | None) -> str:
    """A number of bytes for people, in decimal units; `?` where it is not known."""
    if n_bytes is None:
        return "?"
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
