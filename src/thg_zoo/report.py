"""The report of a run: what was made, from what, with what, and how long it took. Written as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from thg_zoo.errors import OutputError
from thg_zoo.media.outputs import remove, temporary_beside
from thg_zoo.version import __version__

_REPORTED_PACKAGES = ("torch", "numpy", "opencv-python-headless", "imageio-ffmpeg", "librosa", "huggingface-hub")


@dataclass(frozen=True)
class RunReport:
    """Everything needed to understand, or repeat, a run. Times are in seconds."""

    model: str
    variant: str
    source: str
    driver: str
    output: str
    device: str
    precision: str
    batch_size: int
    seed: int
    options: dict[str, Any]
    weights: list[dict[str, Any]]
    fps: str
    frames: int
    size: tuple[int, int]
    seconds: float
    timings: dict[str, float]
    warnings: list[str]
    synthetic_media: dict[str, str]
    versions: dict[str, str] = field(default_factory=lambda: versions())
    created: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False, default=str) + "\n"

    def write(self, path: str | Path) -> None:
        """Write the report, whole or not at all. Raises OutputError."""
        target = Path(path)
        partial = temporary_beside(target, ".json")
        try:
            # Names of files that are no UTF-8 are written as JSON escapes.
            partial.write_text(self.to_json(), encoding="utf-8", errors="backslashreplace")
            partial.replace(target)
        except OSError as error:
            raise OutputError(
                f"The report {str(path)!r} cannot be written: {error.strerror}.", "Choose another place."
            ) from error
        finally:
            remove(partial)


def check_report_path(path: str | Path) -> None:
    """Raises OutputError, before any work is done, if a report could not be written to `path`."""
    target = Path(path)
    try:
        usable = not target.is_dir() and target.parent.is_dir() and os.access(target.parent, os.W_OK)
    except OSError:  # a name that is too long
        usable = False
    if not usable:
        raise OutputError(f"The report cannot be written to {str(path)!r}.", "Name a file in an existing folder.")


def versions() -> dict[str, str]:
    """Versions of this package, of Python, and of what most influences the result."""
    found = {"thg-zoo": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in _REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
