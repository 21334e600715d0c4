"""Measurements for programs and for people: JSON, charts, a page."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from PIL import Image

from thg_zoo.bench.measuring import Measurement
from thg_zoo.bench.timing import Timed
from thg_zoo.bench.timing import to_json as timed_to_json
from thg_zoo.errors import UsageError
from thg_zoo.plots import Drawing, bars, picture, stacked, stacked_bars, svg
from thg_zoo.report import versions

_CHART_KINDS = (".html", ".png", ".svg")
_STYLE = ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;margin:2rem}h2{font-size:1rem}"


def to_json(measurements: Sequence[Measurement]) -> str:
    """All measurements and the versions of what ran, indented."""
    text = json.dumps(
        {"versions": versions(), "measurements": [_plain_values(m) for m in measurements]},
        indent=2,
        ensure_ascii=False,
    )
    return text + "\n"


def _plain_values(measurement: Measurement) -> dict[str, Any]:
    return {
        "model": measurement.model,
        "precision": measurement.precision,
        "timed": timed_to_json(measurement.timed),
        "plain": timed_to_json(measurement.plain),
        "times_plain": measurement.times_plain,
        "error": measurement.error,
        "plain_error": measurement.plain_error,
    }


def charts(measurements: Sequence[Measurement]) -> list[tuple[str, Drawing]]:
    """Titles and charts: time, the same by stage, against the plain loop, memory; none if nothing could be measured."""
    found: dict[str, Timed] = {}
    for m in measurements:
        if m.timed:
            found[m.name] = m.timed
        if m.plain:
            found[_plain_name(m)] = m.plain
    used = {m.name for m in measurements}
    ratios = {m.name: m.times_plain for m in measurements if m.times_plain is not None}
    memory = {name: timed.memory.peak / 1e6 for name, timed in found.items() if timed.memory}
    if not found:
        return []
    per_frame = {name: timed.per_frame for name, timed in found.items()}
    stages = {name: timed.stages for name, timed in found.items()}
    return [
        ("Milliseconds per frame, file to file, warm", bars(per_frame, "ms", used)),
        *([("Times as fast as the plain loop", bars(ratios, "x"))] if ratios else []),
        ("Milliseconds per frame by stage (stages overlap, except in the plain loop)", stacked_bars(stages, "ms")),
        ("Peak memory of the process", bars(memory, "MB", used)),
    ]


def _plain_name(measurement: Measurement) -> str:
    """The plain loop is one for all batch sizes."""
    return f"{measurement.model}, plain loop, {measurement.precision}"


def page(measurements: Sequence[Measurement]) -> str:
    """The charts as a page that needs nothing else."""
    parts = "".join(f"<h2>{title}</h2>{svg(drawing)}" for title, drawing in charts(measurements))
    body = f"<p>{_where(measurements)}</p>{parts or '<p>Nothing could be measured.</p>'}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>thg-zoo bench</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>thg-zoo bench</h1>{body}</body></html>\n"
    )


def check_chart_name(name: str) -> str:
    """The suffix that says what kind of file a chart is. Raises UsageError if it is none of .html, .png and .svg."""
    kind = PurePath(name).suffix.lower()
    if kind not in _CHART_KINDS:
        raise UsageError(f"{name!r} is no name for a chart.", f"End it with {', '.join(_CHART_KINDS)}.")
    return kind


def chart(measurements: Sequence[Measurement], name: str) -> bytes:
    """The charts as the content of a file `name`. Raises UsageError as `check_chart_name` does."""
    kind = check_chart_name(name)
    if kind == ".html":
        return page(measurements).encode()
    drawing = stacked([(f"thg-zoo bench: {_where(measurements)}", Drawing(0, 0, ())), *charts(measurements)])
    if kind == ".svg":
        return svg(drawing).encode()
    buffer = io.BytesIO()
    Image.fromarray(picture(drawing)).save(buffer, "PNG")
    return buffer.getvalue()


def _where(measurements: Sequence[Measurement]) -> str:
    devices = dict.fromkeys(m.timed.device for m in measurements if m.timed)
    return f"{'; '.join(devices) or 'nothing could be measured'}; seeded weights"
