"""What a visitor reads while and after a run, as HTML."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thg_zoo.demo.jobs import Snapshot
from thg_zoo.errors import ThgZooError

_STAGES = {
    "start": "Loading the model",
    "prepare": "Looking at the face",
    "read driver": "Reading what drives it",
    "render": "Rendering",
    "grid": "Setting the videos side by side",
}


def welcome() -> str:
    """Before the first run."""
    return _card("idle", "Ready when you are", "Give a face and a voice, or take the example, and press the button.")


def hint(text: str, title: str = "Ready when you are") -> str:
    """What to do next, or to know."""
    return _card("idle", title, text)


def progress(now: Snapshot) -> str:
    """A job that waits or runs."""
    if now.state == "waiting":
        words = "You are next" if now.ahead <= 1 else f"{now.ahead} runs before yours"
        return _card("waiting", "Waiting in line", words + ".", share=0.0)
    model, _, stage = now.stage.rpartition(": ")
    share = now.done / now.total if now.total and stage == "render" else None
    facts = []
    if stage == "render" and now.total:
        facts.append(f"{now.done} of {now.total} frames")
    if stage == "render" and now.rate:
        facts.append(f"{now.rate:.0f} fps" if now.rate >= 10 else f"{now.rate:.1f} fps")
    if stage == "render" and now.left is not None:
        facts.append(f"{clock(now.left)} left")
    title = _STAGES.get(stage, stage.capitalize())
    return _card("running", f"{model}: {title.lower()}" if model else title, " · ".join(facts), share=share)


def transfer(now: Snapshot) -> str:
    """Weights that are being fetched."""
    if now.state == "waiting" or not now.done:
        return _card("waiting", "Fetching", "Looking for the files.", share=None)
    facts = [f"{now.done / 1e6:.0f} of {now.total / 1e6:.0f} MB" if now.total else f"{now.done / 1e6:.0f} MB"]
    if now.rate:
        facts.append(f"{now.rate / 1e6:.1f} MB/s")
    if now.left is not None:
        facts.append(f"{clock(now.left)} left")
    return _card("running", now.stage, " · ".join(facts), share=now.done / now.total if now.total else None)


def finished(report: dict[str, Any]) -> str:
    """A finished run, from its report."""
    top, _, bottom = report["fps"].partition("/")
    seconds = report["frames"] / (float(top) / float(bottom or 1))
    width, height = report["size"][1], report["size"][0]
    facts = [
        f"{seconds:.1f} s",
        f"{report['frames']} frames",
        f"{width} × {height}",
        f"made in {report['seconds']:.1f} s on {report['device']}",
    ]
    return _card("done", "Done", " · ".join(facts), notes=report["warnings"])


def download(file: Path, text: str) -> str:
    """A link to a generated file, relative to the page so that it works behind any proxy."""
    address = f"gradio_api/file={quote(str(file))}"
    return f'<a class="zoo-download" href="{address}" download="{html.escape(file.name)}">{html.escape(text)}</a>'


def compared(rows: list[dict[str, Any]]) -> str:
    """A finished comparison."""
    bad = [f"{row['model']}: {row['error']}" for row in rows if row["status"] != "ok"]
    return _card("done", "Done", f"{len(rows) - len(bad)} of {len(rows)} models", notes=bad)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of a comparison as a table: speed, memory, and every metric that any of them has."""
    scores = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    head = ["model", "seconds", "fps", "memory", *scores]
    body = [
        [
            row["model"],
            _figure(row["seconds"]),
            _figure(row["frames_per_second"]),
            f"{row['peak_memory'] / 1e6:.0f} MB" if row["peak_memory"] else "–",
            *(_figure(row["scores"].get(name)) for name in scores),
        ]
        for row in rows
    ]
    lines = [_line("th", head), *(_line("td", cells) for cells in body)]
    return f'<div class="zoo-scroll"><table class="zoo-table">{"".join(lines)}</table></div>'


def failed(error: ThgZooError) -> str:
    """An error, as the command line says it: what is wrong, and what to do."""
    return _card("failed", error.message, error.remedy)


def cancelled() -> str:
    """A run that its visitor stopped."""
    return _card("cancelled", "Cancelled", "Nothing was kept of it.")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, 1:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _line(tag: str, cells: list[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _card(kind: str, title: str, text: str, *, share: float | None = -1.0, notes: list[str] | None = None) -> str:
    """`share`: 0..1 for a bar, None for one of unknown length, negative for none."""
    bar = ""
    if share is None:
        bar = '<div class="zoo-bar zoo-unknown"><i></i></div>'
    elif share >= 0:
        bar = f'<div class="zoo-bar"><i style="width:{100 * min(share, 1):.1f}%"></i></div>'
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes or ())
    role = "alert" if kind == "failed" else "status"
    return (
        f'<div class="zoo-status zoo-{kind}" role="{role}"><strong>{html.escape(title)}</strong>'
        f"<span>{html.escape(text)}</span>{bar}{f'<ul>{listed}</ul>' if listed else ''}</div>"
    )
