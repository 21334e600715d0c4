"""Which outputs a manifest asks for: no two of one name, none in the way of another, none an input."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from thg_zoo.errors import OutputError
from thg_zoo.jobs import storage
from thg_zoo.media.outputs import OutputKind

SUFFIXES = tuple(kind.value for kind in OutputKind)
_LONGEST_PART = 240  # bytes; file systems allow 255, and temporary names are longer


class Places:
    """The outputs and inputs seen so far. In a temporary database: memory does not grow with their number.

    Names are compared without regard to case, as some file systems do.
    """

    def __init__(self, folder: str) -> None:
        self._inside = "" if storage.is_remote(folder) else os.path.realpath(storage.local_path(folder)) + os.sep
        self._data = sqlite3.connect("", isolation_level=None)
        self._data.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE outputs (name TEXT PRIMARY KEY, line INT) WITHOUT ROWID;"
            "CREATE TABLE inputs (name TEXT PRIMARY KEY, line INT) WITHOUT ROWID;"
        )
        self._data.execute("BEGIN")
        self._url = folder.rstrip("/") + "/"
        # A manifest repeats its inputs.
        self._name_inside = lru_cache(maxsize=8192)(self._find_name_inside)

    def add(self, line: int, name: str, inputs: Iterable[str]) -> None:
        """Note a job's output, by its plain name, and inputs. Raises OutputError if another job has that output."""
        try:
            self._data.execute("INSERT INTO outputs VALUES (?, ?)", (name.casefold(), line))
        except sqlite3.IntegrityError:
            other = self._line_of(name.casefold())
            text = "twice" if other == line else f"that of line {other} as well"
            raise OutputError(f"The output {name} is {text}.", "Give each job an output of its own.") from None
        for path in inputs:
            inner = self._name_inside(path)
            if inner:
                self._data.execute("INSERT OR IGNORE INTO inputs VALUES (?, ?)", (inner.casefold(), line))

    def conflicts(self) -> list[tuple[int, str]]:
        """(line, problem) of inputs that are outputs, and of outputs that lie in another output."""
        found = []
        for name, line in self._data.execute("SELECT name, line FROM inputs"):
            for place in (name, *_folders(name)):
                other = self._line_of(place)
                if other is not None:
                    found.append((line, f"It reads {name}, which is the output of line {other}."))
        for name, line in self._data.execute("SELECT name, line FROM outputs WHERE name LIKE '%/%'"):
            for place in _folders(name):
                other = self._line_of(place)
                if other is not None:
                    found.append((line, f"Its output {name} would lie in {place}, the output of line {other}."))
        return found

    def _line_of(self, name: str) -> int | None:
        row = self._data.execute("SELECT line FROM outputs WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else None

    def _find_name_inside(self, path: str) -> str:
        """The name that an input has in the folder of outputs, empty if it lies elsewhere."""
        if storage.is_remote(path):
            return path.removeprefix(self._url) if path.startswith(self._url) else ""
        real = os.path.realpath(storage.local_path(path))
        return real.removeprefix(self._inside) if self._inside and real.startswith(self._inside) else ""


def _folders(name: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(name).parents][:-1]


def plain_name(name: str) -> str:
    """An output's name without detours. Raises OutputError if it leads elsewhere or is of no known kind."""
    path = PurePosixPath(name)
    if storage.is_remote(name) or path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise OutputError(f"{name!r} is no name for an output.", "Give a name below the folder of outputs.")
    if any(part.startswith(".") for part in path.parts):
        raise OutputError(f"{name!r} is a hidden name.", "Begin it with another sign than a dot.")
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(suffix for suffix in SUFFIXES if suffix)
        raise OutputError(
            f"Outputs of the kind {path.suffix} cannot be written.", f"Use {known}, or no suffix for a folder of PNGs."
        )
    if any(len(part.encode()) > _LONGEST_PART for part in path.parts):
        raise OutputError(f"The name {name[:60]}... is too long.", "Shorten it.")
    return str(path)
