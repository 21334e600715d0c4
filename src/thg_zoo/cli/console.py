"""What the command line says and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Characters: wider than any table.
_UNLIMITED = 400


@cache
def out() -> Console:
    """Standard output, for results that may be piped."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    # A pipe or a file has no width: nothing is cut off or broken there unless COLUMNS asks for it.
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNLIMITED
    return console


@cache
def err() -> Console:
    """Standard error, for progress, notes and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def say(label: str, style: str, text: str) -> None:
    """One line on standard error, whatever signs the names in it contain."""
    from rich.text import Text

    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    err().print(Text.assemble((f"{label}: ", style), line), soft_wrap=True)


class _LogLines(logging.Handler):
    """Warnings of the library as lines of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.levelname.lower(), "yellow", record.getMessage())


def show_log(debug: bool) -> None:
    """Show the library's warnings; with `debug` everything that it and its dependencies log."""
    own = logging.getLogger("thg_zoo")
    own.handlers, own.propagate = [], debug
    if debug:
        own.setLevel(logging.DEBUG)
        logging.basicConfig(level=logging.DEBUG, format="%(name)s: %(message)s", force=True)
        return
    own.setLevel(logging.WARNING)
    own.addHandler(_LogLines())
    # What its client says of every attempt, our error says once (read when it is imported, which is later).
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def be_quiet() -> None:
    """Show nothing but errors, and no bars of the hub's client (which is not imported yet)."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    logging.getLogger("thg_zoo").setLevel(logging.ERROR)


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
