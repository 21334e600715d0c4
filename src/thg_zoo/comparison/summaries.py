"""The results of many pairs, gathered by model: mean, spread, and why pairs failed, as tables."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thg_zoo.jobs import Job, Record, read_records
from thg_zoo.metrics.catalogue import METRICS

# Not a metric, but everybody wants to see it beside them.
SECONDS = "s_per_frame"


@dataclass(frozen=True)
class Spread:
    """Of one quantity over all pairs: mean, sample standard deviation (0 for a single value), number of values."""

    mean: float
    deviation: float
    n: int


@dataclass(frozen=True)
class ModelSummary:
    """One model over all pairs. values: by metric, and `SECONDS`; causes: why pairs failed, with how many; skipped: of
    metrics without any value why one pair has none.
    """

    model: str
    done: int
    failed: int
    values: Mapping[str, Spread]
    causes: Mapping[str, int]
    skipped: Mapping[str, str] = field(default_factory=dict)


def summarise(names: Sequence[str], jobs: Iterable[Job], folder: Path) -> list[ModelSummary]:
    """A summary per model from the last records of these jobs in `folder`."""
    ours = {job.id: job.payload["model"] for job in jobs}
    by_model: dict[str, list[Record]] = {name: [] for name in names}
    for record in {record.id: record for record in read_records(folder)}.values():
        if record.id in ours:
            by_model[ours[record.id]].append(record)
    return [_summary(name, records) for name, records in by_model.items()]


def _summary(model: str, records: Sequence[Record]) -> ModelSummary:
    values: dict[str, list[float]] = {}
    causes: dict[str, int] = {}
    reasons: dict[str, str] = {}
    for record in records:
        if record.failure is not None:
            causes[record.failure.cause] = causes.get(record.failure.cause, 0) + 1
        reasons |= record.value.get("not_computed", {})
        for name, value in {SECONDS: record.value.get(SECONDS), **record.value.get("scores", {})}.items():
            if value is not None:
                values.setdefault(name, []).append(float(value))
    spreads = {
        name: Spread(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0, len(found))
        for name, found in values.items()
    }
    done = sum(record.done for record in records)
    skipped = {name: reason for name, reason in reasons.items() if name not in spreads}
    return ModelSummary(model, done, len(records) - done, spreads, causes, skipped)


def table_csv(summaries: Sequence[ModelSummary]) -> str:
    """A line per model; of every metric its mean, its standard deviation and the number of pairs."""
    names = _measured(summaries)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["model", "done", "failed", *(f"{n}{part}" for n in names for part in ("_mean", "_std", "_n"))])
    for summary in summaries:
        cells: list[Any] = [summary.model, summary.done, summary.failed]
        for name in names:
            spread = summary.values.get(name)
            cells += ["", "", 0] if spread is None else [spread.mean, spread.deviation, spread.n]
        table.writerow(cells)
    return text.getvalue()


def table_markdown(summaries: Sequence[ModelSummary]) -> str:
    """The same for people: mean ± standard deviation."""
    names = _measured(summaries)
    titles = ["s/frame" if n == SECONDS else f"{METRICS[n].title} {METRICS[n].arrow}".strip() for n in names]
    rows = [["model", "pairs", "failed", *titles], ["---"] * (len(names) + 3)]
    for summary in summaries:
        spreads = [summary.values.get(name) for name in names]
        cells = ["-" if s is None else f"{s.mean:.3g} ± {s.deviation:.2g}" for s in spreads]
        rows.append([summary.model, str(summary.done), str(summary.failed), *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def missing_metrics(summaries: Sequence[ModelSummary]) -> dict[str, list[str]]:
    """Titles of the metrics that no model has a value of, by the reason that the first one gives."""
    measured = _measured(summaries)
    found: dict[str, list[str]] = {}
    for name, metric in METRICS.items():
        reasons = [summary.skipped[name] for summary in summaries if name in summary.skipped]
        if reasons and name not in measured:
            found.setdefault(reasons[0], []).append(metric.title)
    return found


def _measured(summaries: Sequence[ModelSummary]) -> list[str]:
    return [name for name in (SECONDS, *METRICS) if any(name in summary.values for summary in summaries)]
