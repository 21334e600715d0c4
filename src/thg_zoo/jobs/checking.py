"""A manifest's rows as jobs: everything that can be wrong is found, with its line, before anything starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from thg_zoo.errors import InputError, ManifestError, OutputError, ThgZooError, UsageError, nearest
from thg_zoo.jobs import storage
from thg_zoo.jobs.job import Job
from thg_zoo.jobs.manifest import Problem, Row
from thg_zoo.jobs.places import Places, plain_name
from thg_zoo.zoo import describe

_NAMED = 20
_PLAIN = re.compile(r"[^\w.\-]+")
_PATTERN = re.compile(r"[*?\[]")
_STEM_BYTES = 72


@dataclass(frozen=True)
class Defaults:
    """What holds for every row that does not say otherwise.

    model: name, or None where every row has one; suffix: of derived output names; identity: what else the results
    depend on, the same for all (weights, precision).
    """

    model: str | None = None
    seed: int = 0
    drive_by: str = "auto"
    suffix: str = ".mp4"
    options: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """An input. path: absolute or a URL; written: seen from the manifest, so that moving both changes nothing; stem:
    its part of derived names."""

    path: str
    written: str
    stem: str


@dataclass(frozen=True)
class _Settings:
    """What a row says besides files, checked. options: all of them; source_options: those that count when a source
    is prepared; given: those that the row or the call names; fingerprint: of all this; common: of the family that
    prepares in the same way."""

    model: str
    seed: int
    drive_by: str
    options: dict[str, Any]
    source_options: dict[str, Any]
    given: dict[str, Any]
    fingerprint: str
    common: str


class ManifestJobs:
    """Jobs from the rows of a manifest. To be iterated once: what is wrong is raised after the last row.

    name: of the manifest, for messages; base: folder or URL against which relative inputs are resolved; output:
    folder or URL that all outputs lie in; fresh: it is there and no batch has written to it yet, so that its files
    are somebody else's. models: names of the models used, complete after the last row. Raises ManifestError.
    """

    def __init__(
        self, name: str, rows: Iterable[Row | Problem], base: str, output: str, defaults: Defaults, *, fresh: bool
    ) -> None:
        self.models: set[str] = set()
        self._name = name
        self._rows = rows
        self._base = base
        self._output = output.rstrip("/")
        self._defaults = defaults
        self._fresh = fresh
        self._places = Places(output)
        self._asked: set[str] = set()
        # A manifest repeats files and settings: each is looked at once. Bounded, as all that is kept here.
        self._files = lru_cache(maxsize=8192)(self._find_files)
        self._settings = lru_cache(maxsize=8192)(self._resolve)

    def __iter__(self) -> Iterator[Job]:
        n = 0
        problems: list[tuple[int, str]] = []
        for row in self._rows:
            if isinstance(row, Problem):
                problems.append((row.line, row.text))
                continue
            try:
                for job in self._jobs(row):
                    n += 1
                    yield job
            except ThgZooError as error:
                problems.append((row.line, str(error)))
        problems += self._places.conflicts()
        if not n and not problems:
            problems.append((1, "There are no jobs in it."))
        if problems:
            raise _manifest_error(self._name, sorted(problems))

    def _jobs(self, row: Row) -> Iterator[Job]:
        values = dict(row.values)
        sources, drivers = (self._files(name, _text(name, values.pop(name, None))) for name in ("source", "driver"))
        output = values.pop("output", None)
        settings = self._settings(json.dumps(values, sort_keys=True, default=str))
        self.models.add(settings.model)
        if output is not None and len(sources) * len(drivers) > 1:
            raise UsageError(f"One output is named for {len(sources) * len(drivers)} jobs.", "Leave it empty.")
        name = None if output is None else plain_name(_text("output", output))
        for source in sources:
            for driver in drivers:
                yield self._job(row.line, source, driver, settings, name or self._derived(source, driver, settings))

    def _job(self, line: int, source: _File, driver: _File, settings: _Settings, name: str) -> Job:
        self._places.add(line, name, (source.path, driver.path))
        target = f"{self._output}/{name}"
        if self._fresh and storage.total_size(target) is not None:
            raise OutputError(
                f"{target} exists already, and no batch has written it.", "Choose another name or folder."
            )
        return Job(
            id=name,
            fingerprint=settings.fingerprint,
            payload={
                "model": settings.model,
                "source": source.path,
                "driver": driver.path,
                "drive_by": settings.drive_by,
                "seed": settings.seed,
                "options": settings.options,
                "source_options": settings.source_options,
                "output": target,
            },
            affinity=f"{settings.common} {source.path}",
            inputs=(source.path, driver.path),
        )

    def _resolve(self, columns: str) -> _Settings:
        """Model, seed, what drives, and options of a row, from its columns but the files as JSON."""
        values = json.loads(columns)
        model = values.pop("model", None) or self._defaults.model
        if model is None:
            raise UsageError("It names no model.", "Add a column `model`, or name one for all (--model).")
        described, seed = describe(_text("model", model)), _whole(values.pop("seed", None), self._defaults.seed)
        drive_by = _text("drive_by", values.pop("drive_by", None) or self._defaults.drive_by)
        drivers = ("auto", *described.spec.drivers)
        if drive_by not in drivers:
            raise UsageError(f"{model} is not driven by {drive_by!r}.", nearest(drive_by, drivers))
        given = {**self._defaults.options, **values}
        options = dataclasses.asdict(described.resolve(given))
        early = {info.name: options[info.name] for info in described.options if info.stage == "source"}
        return _Settings(
            described.name,
            seed,
            drive_by,
            options,
            early,
            {name: options[name] for name in given},
            fingerprint=_digest([described.name, seed, drive_by, options, dict(self._defaults.identity)]),
            common=f"{described.name} {_digest([seed, early])[:10]}",
        )

    def _find_files(self, column: str, written: str) -> tuple[_File, ...]:
        """The files that a cell names: one, or those that match a pattern."""
        path = storage.join(self._base, written)
        if storage.is_remote(path):
            self._ask_for_folder(path)
        found = storage.matches(self._base, written)
        if not found:
            what = "No file matches" if _PATTERN.search(written) else "There is no file"
            raise InputError(f"{what} {path!r} ({column}).", "Check the path; it is relative to the manifest.")
        for one in found:
            _check_utf8(one, column)
        empty = [one for one in found if storage.state(one).size == 0]
        if empty:
            raise InputError(f"The file {empty[0]!r} ({column}) is empty.", "Give another one.")
        return tuple(_File(one, self._seen_from_base(one, written), _short(PurePosixPath(one).stem)) for one in found)

    def _seen_from_base(self, path: str, written: str) -> str:
        if storage.is_remote(path) or os.path.isabs(written):  # noqa: PTH117 (a URL may have been written)
            return path
        return os.path.relpath(path, storage.local_path(self._base))

    def _ask_for_folder(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if folder not in self._asked and not folder.startswith(("http:", "https:")):
            self._asked.add(folder)
            storage.list_folder(path)

    def _derived(self, source: _File, driver: _File, settings: _Settings) -> str:
        """A name that says what it is, and that no other job has: made from this job alone, as it was written."""
        written = [source.written, driver.written, settings.model, settings.seed, settings.drive_by, settings.given]
        name = f"{source.stem}-{driver.stem}-{settings.model}-{_digest(written)[:10]}{self._defaults.suffix}"
        return name.lstrip("-.")


def _text(column: str, value: object) -> str:
    if value is None:
        raise UsageError(f"It has no {column}.")
    if isinstance(value, (dict, list, bool)) or not str(value).strip():
        raise UsageError(f"{value!r} is no {column}.", "Write a text.")
    _check_utf8(str(value), column)
    return str(value)


def _check_utf8(text: str, column: str) -> None:
    """Names of files can be any bytes; results, which are UTF-8, could not name them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} ({column}) is not UTF-8.", "Rename it.") from error


def _whole(value: object, default: int) -> int:
    if value is None:
        return default
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise UsageError(f"{value!r} is no seed.", "Give a whole number from 0.")
    return number


def _short(stem: str) -> str:
    """A stem as part of a name: without signs that shells and storages trip over, and not too long for any disk."""
    return _PLAIN.sub("_", stem).encode()[:_STEM_BYTES].decode(errors="ignore")


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _manifest_error(name: str, problems: list[tuple[int, str]]) -> ManifestError:
    shown = " ".join(f"Line {line}: {text}" for line, text in problems[:_NAMED])
    more = f" And {len(problems) - _NAMED} more." if len(problems) > _NAMED else ""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ManifestError(f"{name} has {count}. {shown}{more}", "Nothing was started.", tuple(problems))
