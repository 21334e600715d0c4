"""What a comparison found: one row per model, as Python objects, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from thg_zoo.memory import Memory


@dataclass(frozen=True)
class Timings:
    """Seconds. load: weights into networks; prepare: all that depends on the source alone; file_to_file: prepare,
    read the driver, render and encode, until the file is complete; warm: the same once more with the model loaded and
    used before, None if it was not asked for; stages: of the first run, by name.
    """

    load: float
    prepare: float
    file_to_file: float
    per_frame: float
    warm: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def cold(self) -> float:
        """From nothing to the finished file."""
        return self.load + self.file_to_file


@dataclass(frozen=True)
class Row:
    """What one model made of the source and the driver. A failed one has `error`, `remedy` and the error's `exit_code`.

    file: its video; size: (height, width); scores: values by metric; skipped: why the other metrics have none;
    run: the run report of `Animation.save` as JSON can hold it.
    """

    model: str
    status: str
    error: str = ""
    remedy: str = ""
    exit_code: int = 0
    driver: str = ""
    file: Path | None = None
    fps: Fraction | None = None
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    random_weights: bool = False
    timings: Timings | None = None
    memory: Memory | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the model delivered."""
        return self.status == "ok"

    def to_json(self) -> dict[str, Any]:
        """The row as JSON can hold it; `from_json` makes it again, with what the run report holds as plain values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The row from `to_json`."""
        typed: dict[str, Callable[[Any], Any]] = {
            "file": Path,
            "fps": Fraction,
            "size": tuple,
            "timings": lambda value: Timings(**value),
            "memory": lambda value: Memory(**value),
        }
        return cls(
            **{
                name: typed[name](value) if name in typed and value is not None else value
                for name, value in data.items()
            }
        )


@dataclass(frozen=True)
class Comparison:
    """The files of a comparison, and its rows in the order in which the models were named."""

    grid: Path
    folder: Path
    contact_sheet: Path
    report: Path
    results_json: Path
    results_csv: Path
    rows: tuple[Row, ...]


def to_json(rows: Sequence[Row], conditions: Mapping[str, Any]) -> str:
    """`conditions` (what is the same for all models) and the rows, indented."""
    models = [_shown(row) for row in rows]
    return json.dumps({**conditions, "models": models}, indent=2, ensure_ascii=False) + "\n"


def _shown(row: Row) -> dict[str, Any]:
    """A row with files by their name beside the results, and what follows from its values."""
    data = row.to_json()
    if row.file is not None:
        data["file"] = f"{row.file.parent.name}/{row.file.name}"
    if row.timings is not None:
        data["timings"]["cold"] = row.timings.cold
    return data


def to_csv(rows: Sequence[Row]) -> str:
    """One line per model: identity, timings, memory, and a column per metric that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*_COLUMNS, *names])
    for row in rows:
        table.writerow([*_cells(row), *(row.scores.get(name, "") for name in names)])
    return text.getvalue()


_COLUMNS = (
    *("model", "status", "error", "driver", "fps", "frames", "height", "width", "random_weights"),
    *("load_s", "prepare_s", "file_to_file_s", "cold_s", "warm_s", "s_per_frame", "peak_memory_bytes"),
)


def _cells(row: Row) -> list[Any]:
    times, memory = row.timings, row.memory
    identity = [row.model, row.status, row.error, row.driver, row.fps or "", row.frames, *row.size, row.random_weights]
    if times is None:
        return [*identity, *[""] * (len(_COLUMNS) - len(identity))]
    warm = "" if times.warm is None else times.warm
    measured = [times.load, times.prepare, times.file_to_file, times.cold, warm, times.per_frame]
    return [*identity, *measured, "" if memory is None else memory.peak]
