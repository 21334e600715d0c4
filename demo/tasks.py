"""What workers do: animate, prepare, edit. Each returns what is shown, with names instead of the server's paths."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thg_zoo.demo.jobs import Job
from thg_zoo.demo.studio import Studio
from thg_zoo.errors import ThgZooError


@dataclass(frozen=True)
class Made:
    """A finished video and its report."""

    video: Path
    report: dict[str, Any]


@dataclass(frozen=True)
class AnimateTask:
    """Animate `source`, or the prepared `portrait`, with `driver` (None: by options alone); the video goes
    into `folder`."""

    model: str
    source: Path | None
    driver: Path | None
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    drive_by: str = "auto"
    seed: int = 0
    portrait: str = ""

    def __call__(self, job: Job, studio: Studio) -> Made:
        """Run on a worker. Raises the errors of the library, naming files as the visitor does."""
        try:
            return self._animate(job, studio)
        except ThgZooError as error:
            raise nameless(error, self.folder) from error
        finally:
            studio.tidy()

    def _animate(self, job: Job, studio: Studio) -> Made:
        calls: dict[str, Any] = {"seed": self.seed, "progress": job.advance, "cancel": job.cancelled}
        if self.portrait:
            portrait = studio.portrait(self.portrait, job.visitor)
            stem = "portrait"
            animation = portrait.animate(self.driver, drive_by=self.drive_by, **calls, **self.options)
        else:
            assert self.source is not None
            stem = self.source.stem
            animation = studio.model(self.model).animate(
                self.source, self.driver, drive_by=self.drive_by, **calls, **self.options
            )
        mover = self.driver.stem if self.driver else "edited"
        video = animation.save(self.folder / f"{stem}-{mover}-{self.model}.mp4")
        assert animation.report is not None
        return Made(video, shown_report(dataclasses.asdict(animation.report), self.folder))


@dataclass(frozen=True)
class PrepareTask:
    """Prepare `source` for later runs of one client."""

    model: str
    source: Path
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __call__(self, job: Job, studio: Studio) -> dict[str, Any]:
        """Run on a worker: the portrait's name, and how long it is kept."""
        try:
            portrait = studio.model(self.model).prepare(
                self.source, seed=self.seed, progress=job.advance, cancel=job.cancelled, **self.options
            )
        except ThgZooError as error:
            raise nameless(error, self.folder) from error
        finally:
            studio.tidy()
        name, seconds = studio.keep(job.visitor, portrait)
        height, width = portrait.source.size
        return {"portrait": name, "model": self.model, "kept_seconds": seconds, "width": width, "height": height}


@dataclass(frozen=True)
class EditTask:
    """Edit `source` by options alone. The portrait is prepared once for all edits of `upload`."""

    model: str
    upload: Path
    source: Path
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, job: Job, studio: Studio) -> Path:
        """Run on a worker: the edited picture."""
        calls: dict[str, Any] = {"progress": job.advance, "cancel": job.cancelled}
        try:
            portrait = studio.prepared(
                job.visitor,
                f"{job.visitor} {self.model} {self.upload}",
                lambda: studio.model(self.model).prepare(self.source, **calls),
            )
            return portrait.animate(None, **calls, **self.options).save(self.folder / f"{self.source.stem}-edited.png")
        except ThgZooError as error:
            raise nameless(error, self.folder) from error
        finally:
            studio.tidy()


def nameless(error: ThgZooError, folder: Path) -> ThgZooError:
    """The error with files named as the visitor named them: paths of the server concern nobody."""
    return type(error)(without_folder(error.message, folder), without_folder(error.remedy, folder))


def shown_report(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A run report without the server's paths."""
    weights = [{key: value for key, value in weight.items() if key != "path"} for weight in report["weights"]]
    texts = {key: without_folder(report[key], folder) for key in ("source", "driver", "output")}
    return report | texts | {"weights": weights, "warnings": [without_folder(w, folder) for w in report["warnings"]]}


def without_folder(text: str, folder: Path) -> str:
    """A text with files named as the visitor named them, whichever of the visitors' runs they belong to."""
    return re.sub(rf"{re.escape(str(folder.parent.parent))}/[^/]+/[^/]+/(?:(?:source|driver)/)?", "", text)
