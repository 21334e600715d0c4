"""What a worker does for a comparison, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thg_zoo.demo.jobs import Job
from thg_zoo.demo.settings import Settings
from thg_zoo.demo.studio import Studio
from thg_zoo.demo.tasks import nameless, without_folder
from thg_zoo.errors import ThgZooError


@dataclass(frozen=True)
class Compared:
    """A finished comparison: the grid video, a report for people, and one row per model."""

    grid: Path
    report: Path
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class CompareTask:
    """Run `source` and `driver` through `models`; everything is written into `folder`."""

    models: tuple[str, ...]
    source: Path
    driver: Path
    folder: Path
    settings: Settings
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measure: bool = False
    seed: int = 0

    def __call__(self, job: Job, studio: Studio) -> Compared:
        """Run on a worker, which drops its own model first: those compared need the room."""
        import thg_zoo

        studio.rest()
        try:
            comparison = thg_zoo.compare(
                list(self.models),
                self.source,
                self.driver,
                self.folder / "comparison.mp4",
                options={model: dict(values) for model, values in self.options.items()},
                weights=self.settings.weights,
                metrics=None if self.measure else (),
                device=studio.device,
                seed=self.seed,
                progress=job.advance,
                cancel=job.cancelled,
            )
        except ThgZooError as error:
            raise nameless(error, self.folder) from error
        finally:
            studio.tidy()
        return Compared(comparison.grid, comparison.report, [self._row(row) for row in comparison.rows])

    def _row(self, row: Any) -> dict[str, Any]:
        seconds = row.timings.file_to_file if row.timings else None
        return {
            "model": row.model,
            "status": row.status,
            "error": without_folder(row.error, self.folder),
            "frames": row.frames,
            "size": list(row.size),
            "seconds": seconds,
            "frames_per_second": row.frames / seconds if seconds else None,
            "peak_memory": row.memory.peak if row.memory else None,
            "scores": dict(row.scores),
        }
