"""Manifests as rows: csv, jsonl and yaml, read line by line, so that memory does not grow with their length.

What cannot be read is a `Problem` with its line, and reading goes on: a user wants to know all of them at once.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from thg_zoo.errors import InputError, ManifestError
from thg_zoo.jobs import storage
from thg_zoo.jobs.yaml_rows import yaml_rows

REQUIRED = ("source", "driver")


@dataclass(frozen=True)
class Row:
    """One line of a manifest. values: by column; a cell left empty in a csv is no value."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a line."""

    line: int
    text: str


def read_manifest(path: str) -> Iterator[Row | Problem]:
    """The rows of a manifest file or URL. Raises ManifestError if it is of another kind or cannot be opened."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _READERS:
        raise ManifestError(f"{path!r} is no manifest: the suffix {suffix!r} is not known.", f"Use {_KNOWN}.")
    try:
        file = storage.open_binary(path)
    except InputError as error:
        raise ManifestError(error.message, error.remedy) from error
    with file:
        yield from _READERS[suffix](file)


def rows_of(mappings: Iterable[object]) -> Iterator[Row | Problem]:
    """Mappings as the rows of a manifest; their lines are counted from 1."""
    for line, values in enumerate(mappings, 1):
        yield _row(line, values)


def _csv_rows(file: IO[bytes]) -> Iterator[Row | Problem]:
    """Each line by itself: a quote that is not closed spoils its own line only (no path has a line break in it)."""
    header: list[str] | None = None
    for line, cells in _csv_lines(file):
        if isinstance(cells, Problem):
            yield cells
            if header is None:
                return
        elif header is None:
            header = [name.strip() for name in cells]
            problem = _header_problem(header)
            if problem:
                yield Problem(line, problem)
                return
        elif len(cells) != len(header):
            yield Problem(line, f"It has {len(cells)} cells, the header has {len(header)}: quote cells with commas.")
        else:
            values = zip(header, cells, strict=True)
            yield Row(line, {name: None if cell == "null" else cell for name, cell in values if cell != ""})
    if header is None:
        yield Problem(1, f"There is no header: the first line names the columns, {' and '.join(REQUIRED)} among them.")


def _csv_lines(file: IO[bytes]) -> Iterator[tuple[int, list[str] | Problem]]:
    for line, raw in enumerate(file, 1):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\r\n")
            yield line, next(csv.reader([text], strict=True, skipinitialspace=True))
        except UnicodeDecodeError:
            yield line, Problem(line, "It is not UTF-8.")
        except csv.Error as error:
            yield line, Problem(line, f"Its quoting is wrong ({error}): quotes enclose a cell, one inside is doubled.")


def _header_problem(header: list[str]) -> str:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        return f"The column {' and the column '.join(missing)} is missing; there are: {', '.join(header)}."
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        return f"The column {twice[0]!r} is there twice." if twice[0] else "A column has no name."
    return "" if all(header) else "A column has no name."


def _jsonl_rows(file: IO[bytes]) -> Iterator[Row | Problem]:
    for line, raw in enumerate(file, 1):
        if not raw.strip():
            continue
        try:
            yield _row(line, json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8")))
        except UnicodeDecodeError:
            yield Problem(line, "It is not UTF-8.")
        except (ValueError, RecursionError) as error:
            yield Problem(line, f"It is not JSON: {error}.")


def _yaml_rows(file: IO[bytes]) -> Iterator[Row | Problem]:
    for line, values in yaml_rows(file):
        yield Problem(line, values) if isinstance(values, str) else _row(line, values)


def _row(line: int, values: object) -> Row | Problem:
    if not isinstance(values, dict):
        return Problem(line, f"It is a {type(values).__name__}, not a mapping of columns to values.")
    missing = [name for name in REQUIRED if values.get(name) in (None, "")]
    if missing:
        return Problem(line, f"It has no {' and no '.join(missing)}.")
    return Row(line, {str(name): value for name, value in values.items()})


_READERS: dict[str, Callable[[IO[bytes]], Iterator[Row | Problem]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".yaml": _yaml_rows,
    ".yml": _yaml_rows,
}
_KNOWN = ", ".join(_READERS)
