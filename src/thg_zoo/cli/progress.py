"""Progress of a run on the terminal: stage, frames, frames per second, time left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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
