"""The report of a comparison: one HTML file that needs nothing else, with pictures and charts inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thg_zoo.comparison.page_parts import megabytes, picture, short, table, video
from thg_zoo.comparison.results import Row
from thg_zoo.comparison.trial import RANDOM
from thg_zoo.metrics.catalogue import HIGHER, LOWER, METRICS, ZERO
from thg_zoo.metrics.evaluate import Measured
from thg_zoo.plots import bars, curves, number, stacked_bars, svg
from thg_zoo.zoo import describe

# Stages of a run that are worth telling apart; the rest of the time is "other".
_STAGES = ("prepare", "read driver", "motion", "read source", "encode source", "render", "compose", "finish file")

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --note: #8882; --bad: #c2410c }
@media (prefers-color-scheme: dark) { :root { --bad: #fb923c } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
h3 { font-size: .95rem; margin: 0 0 .4rem } h3 .sub { font-weight: 400; font-size: .85rem }
video, img { max-width: 100%; border-radius: 6px; display: block } .sub { opacity: .75; margin: .2rem 0 1rem }
table { border-collapse: collapse; font-size: .88rem }
td, th { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: bottom }
th { font-weight: 600 } .facts th { white-space: nowrap; vertical-align: top }
.n { text-align: right; font-variant-numeric: tabular-nums } td.n { white-space: nowrap }
.scroll { overflow-x: auto; margin-bottom: .8rem } .charts + h3 { margin-top: 1.6rem }
.best { font-weight: 700 } .bad { color: var(--bad) }
.note { background: var(--note); border-radius: 6px; padding: .6rem .9rem; margin: .8rem 0 }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); gap: 1.6rem 2rem }
svg { max-width: 100%; height: auto } pre { font-size: .8rem; overflow-x: auto } details { margin: .5rem 0 }
"""


def page(
    rows: Sequence[Row],
    conditions: Mapping[str, Any],
    measured: Mapping[str, Measured],
    sheet: NDArray[np.uint8],
    grid: Path,
) -> str:
    """The page as text. sheet: the contact sheet; grid: the video."""
    source, driver = conditions["source"], conditions["driver"]
    body = [
        f"<h1>{escape(', '.join(row.model for row in rows))}</h1>",
        f'<p class="sub">source {escape(short(source["name"]))}, {source["width"]} x {source["height"]} · driver '
        f"{escape(short(driver['name']))} ({escape(driver['kind'])}) · {escape(conditions['device'])}</p>",
        *_warnings(rows, conditions),
        "<h2>Side by side</h2>",
        video(grid),
        "<h2>Key frames</h2>",
        picture(sheet),
        "<h2>Results</h2>",
        _results(rows),
        *_metric_charts(rows),
        *_skipped(rows),
        *_mouths(rows, measured),
        *_timings(rows),
        "<h2>Conditions</h2>",
        _fairness(rows, conditions),
        *_options(rows),
    ]
    title = escape(f"Comparison: {', '.join(row.model for row in rows)}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _warnings(rows: Sequence[Row], conditions: Mapping[str, Any]) -> list[str]:
    random = [row.model for row in rows if row.random_weights]
    notes = []
    if random:
        notes.append(
            f'<p class="note"><b>Random weights:</b> {escape(", ".join(random))}. Their pictures and metrics mean '
            "nothing; their timings and memory do.</p>"
        )
    if conditions["metric_weights"] == RANDOM:
        notes.append(
            '<p class="note"><b>SyncNet and FAN have random weights:</b> LSE-C, LSE-D, AV offset, AKD, LMD, '
            "M-LMD, EAR and blinks mean nothing.</p>"
        )
    notes += [
        f'<p class="note bad"><b>{escape(row.model)} failed:</b> {escape(row.error)} {escape(row.remedy)}</p>'
        for row in rows
        if not row.ok
    ]
    return notes


def _results(rows: Sequence[Row]) -> str:
    """A line per quantity and a column per model: there are more of the former."""
    facts: list[tuple[str, Callable[[Row], str]]] = [
        ("frame", lambda row: f"{row.size[1]} x {row.size[0]}"),
        ("frames per second", lambda row: f"{float(row.fps or 0):.5g}"),
        ("frames", lambda row: str(row.frames)),
        ("seconds per frame, file to file", lambda row: number(row.timings.per_frame) if row.timings else ""),
        ("peak memory", lambda row: megabytes(row.memory.peak) if row.memory else ""),
    ]
    lines = []
    for k, (title, text) in enumerate(facts):
        failed = "–" if k else "failed"
        cells = [f'<td class="n">{text(row) if row.ok else failed}</td>' for row in rows]
        lines.append(f"<tr><td>{title}</td>{''.join(cells)}</tr>")
    for name, metric in METRICS.items():
        if any(name in row.scores for row in rows):
            best, cells = best_of(name, rows), []
            for row in rows:
                value = number(row.scores[name]) if name in row.scores else "–"
                cells.append(f'<td class="n{" best" if best == row.model else ""}">{value}</td>')
            unit = f" ({metric.unit})" if metric.unit else ""
            lines.append(f"<tr><td>{escape(metric.title)} {metric.arrow}{escape(unit)}</td>{''.join(cells)}</tr>")
    return table(["", *(row.model for row in rows)], lines, numbers_from=1)


def best_of(name: str, rows: Sequence[Row]) -> str | None:
    """The model with the best value, where the metric has a direction and several models with weights have one."""
    values = {row.model: row.scores[name] for row in rows if name in row.scores and not row.random_weights}
    rank = {HIGHER: lambda v: v, LOWER: lambda v: -v, ZERO: lambda v: -abs(v)}.get(METRICS[name].better)
    if rank is None or len(values) < 2:
        return None
    return max(values, key=lambda model: rank(values[model]))


def _metric_charts(rows: Sequence[Row]) -> list[str]:
    charts = []
    for name, metric in METRICS.items():
        values = {row.model: row.scores[name] for row in rows if name in row.scores}
        if values:
            unit = metric.unit.split()[0] if metric.unit.startswith("%") else metric.unit
            better = {HIGHER: "higher is better", LOWER: "lower is better", ZERO: "closer to 0 is better"}
            best = best_of(name, rows)
            drawing = bars(values, unit if len(unit) < 6 else "", None if best is None else [best])
            charts.append(
                f"<div><h3>{escape(metric.title)} {metric.arrow} <span class=sub>{escape(metric.summary)}; "
                f"{better.get(metric.better, 'compare with real video')}</span></h3>"
                f"{svg(drawing)}</div>"
            )
    return ["<h2>Metrics</h2>", f'<div class="charts">{"".join(charts)}</div>'] if charts else []


def _skipped(rows: Sequence[Row]) -> list[str]:
    """Metrics without a value by reason; models are named unless it holds for all of them."""
    reasons: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for name, metric in METRICS.items():
        found: dict[str, list[str]] = {}
        for row in rows:
            if name in row.skipped:
                found.setdefault(row.skipped[name], []).append(row.model)
        for reason, models in found.items():
            reasons.setdefault(reason, {}).setdefault(tuple(models), []).append(metric.title)
    everybody = tuple(row.model for row in rows if row.ok)
    lines = [
        f"<tr><td>{escape(', '.join(titles))}</td>"
        f"<td>{escape('all' if models == everybody else ', '.join(models))}</td><td>{escape(reason)}</td></tr>"
        for reason, groups in reasons.items()
        for models, titles in groups.items()
    ]
    return ["<h3>Not computed</h3>", table(["metrics", "models", "why"], lines)] if lines else []


def _mouths(rows: Sequence[Row], measured: Mapping[str, Measured]) -> list[str]:
    charts = []
    for row in rows:
        found = measured.get(row.model)
        if found is None or found.opening is None or found.loudness is None or row.fps is None:
            continue
        highest = np.nanmax(found.opening)
        series = {"mouth opening": found.opening / (highest or 1.0), "loudness": found.loudness}
        seconds = len(found.loudness) / float(row.fps)
        charts.append(f"<div><h3>{escape(row.model)}</h3>{svg(curves(series, seconds))}</div>")
    if not charts:
        return []
    text = "Darkness of the open mouth, and loudness over its upper 50 dB; each scaled to its largest."
    note = f'<p class="sub">{text}</p>'
    return ["<h2>Mouth and sound</h2>", note, f'<div class="charts">{"".join(charts)}</div>']


def _timings(rows: Sequence[Row]) -> list[str]:
    per_frame, whole = {}, {}
    for row in rows:
        if row.timings is None:
            continue
        stages = {name: row.timings.stages[name] for name in _STAGES if row.timings.stages.get(name, 0) > 0}
        whole[row.model] = {
            "load": row.timings.load,
            **stages,
            "other": max(0.0, row.timings.file_to_file - sum(stages.values())),
        }
        per_frame[row.model] = row.timings.per_frame * 1000
    charts = [
        f"<div><h3>Milliseconds per frame, file to file</h3>{svg(bars(per_frame, 'ms'))}</div>",
        f"<div><h3>From nothing to the file, by stage</h3>{svg(stacked_bars(whole, 's'))}</div>",
    ]
    return ["<h2>Time</h2>", f'<div class="charts">{"".join(charts)}</div>']


def _fairness(rows: Sequence[Row], conditions: Mapping[str, Any]) -> str:
    head = [
        *("model", "weights", "driven by", "crop", "device", "batch", "load s", "file to file s", "cold s", "warm s"),
        *("memory before", "peak memory"),
    ]
    lines = []
    for row in rows:
        if row.timings is None or row.memory is None:
            continue
        times = row.timings
        weights = "random" if row.random_weights else ", ".join(w["verified"] for w in row.run["weights"]) or "none"
        crop = describe(row.model).spec.crop or "none"
        texts = [row.model, weights, short(row.driver), crop, row.run["device"], str(row.run["batch_size"])]
        values = [times.load, times.file_to_file, times.cold, times.warm]
        numbers = [number(value) if value is not None else "not measured" for value in values]
        numbers += [megabytes(row.memory.before), megabytes(row.memory.peak)]
        cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
        lines.append(f"<tr>{cells}{''.join(f'<td class=n>{value}</td>' for value in numbers)}</tr>")
    grid, versions = conditions["grid"], conditions["versions"]
    facts = {
        "the same for all": f"seed {conditions['seed']}, {conditions['device']}, {conditions['codec']}",
        "measured on": "each model's own video, whole frames at its own rate and size, after encoding",
        "grid": f"{grid['fps']} fps by exact times, pictures {grid['cell_width']} x {grid['cell_height']}",
        "memory": "resident memory of the process that ran the model, without ffmpeg",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    more = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(text))}</td></tr>" for name, text in facts.items())
    return table(head, lines, numbers_from=6) + f'<div class="scroll"><table class="facts">{more}</table></div>'


def _options(rows: Sequence[Row]) -> list[str]:
    shown = []
    for row in rows:
        if row.ok:
            text = json.dumps({key: row.run[key] for key in ("options", "weights", "warnings")}, indent=1, default=str)
            shown.append(
                f"<details><summary>{escape(row.model)}: options, weights, warnings</summary>"
                f"<pre>{escape(text)}</pre></details>"
            )
    return shown
