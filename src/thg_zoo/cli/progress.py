"""Progress on the terminal: of a run by stage, of many jobs by job; frames per second, time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from thg_zoo.cli import console
from thg_zoo.run import Progress as StageProgress
from thg_zoo.run import ProgressCallback


@contextlib.contextmanager
def progress_display(quiet: bool) -> Iterator[ProgressCallback | None]:
    """A callback for `animate` that draws one bar per stage; None if `quiet`."""
    if quiet:
        yield None
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    terminal = console.err()
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(state: StageProgress) -> None:
            if state.stage not in tasks:
                tasks[state.stage] = bars.add_task(state.stage, total=state.total, rate="")
            task = tasks[state.stage]
            speed = bars.tasks[task].speed
            rate = f"{speed:.0f} fps" if speed and state.stage == "render" else ""
            bars.update(task, completed=state.done, total=state.total, rate=rate)

        yield show


@contextlib.contextmanager
def jobs_display() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A callback for the events of `thg_zoo.jobs.run_jobs` that draws one bar: jobs done, failed, left, frames/s."""
    columns = (TextColumn("jobs"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
    terminal = console.err()
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bars:
        task = bars.add_task("starting workers")
        counts = {"done": 0, "failed": 0, "left": 0, "frames": 0}
        begin = time.monotonic()

        def show(event: dict[str, Any]) -> None:
            if event["event"] == "start":
                counts.update({name: event[name] for name in ("done", "failed", "left")})
            elif event["event"] == "job":
                counts[event["status"]] += 1
                counts["left"] -= 1
                counts["frames"] += int(event["value"].get("frames", 0))
            else:
                return
            rate = counts["frames"] / max(time.monotonic() - begin, 1e-3)
            text = f"{counts['done']} done, {counts['failed']} failed, {counts['left']} left, {rate:.0f} frames/s"
            total = counts["done"] + counts["failed"] + counts["left"]
            bars.update(task, completed=total - counts["left"], total=total, description=text)

        yield show
