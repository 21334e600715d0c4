"""Progress of downloads: a plain callback outside, the progress bar that the hub's client expects inside."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Progress = Callable[[str, int, "int | None"], None]
"""Called with the file's name, the bytes that are there, and the bytes in all (None if not known)."""


def bar_class(name: str, progress: Progress) -> type:
    """A tqdm class that shows nothing and reports to `progress`."""
    base: Any = import_module("tqdm.auto").tqdm

    class Reporting(base):  # type: ignore[misc]
        def __init__(self, *_: Any, total: float | None = None, initial: float = 0, **__: Any) -> None:
            super().__init__(disable=True)
            self.total, self.n = total, initial
            self._report()

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            self._report()

        # The client opens a second bar for bytes on the wire unless the class takes them itself.
        def update_transfer(self, n: float) -> None:
            pass

        def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
            pass

        def _report(self) -> None:
            progress(name, int(self.n), None if self.total is None else int(self.total))

    return Reporting
