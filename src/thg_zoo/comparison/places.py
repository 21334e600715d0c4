"""Where a comparison is written: the grid under the name asked for, all the rest in a folder beside it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from thg_zoo.errors import OutputError
from thg_zoo.media.outputs import (
    OutputKind,
    check_output,
    failed_write,
    move_into_place,
    remove,
    replace_folder,
    temporary_beside,
)

MODELS, SHEET, REPORT, JSON, CSV = "models", "contact-sheet.png", "report.html", "results.json", "results.csv"


@dataclass(frozen=True)
class Places:
    """grid: the video; folder: the rest; work: where both are made until they are complete; around: the folder that was
    made for all of them, None if it was there."""

    grid: Path
    folder: Path
    work: Path
    overwrite: bool
    around: Path | None = None

    @property
    def models(self) -> Path:
        """Where the models' own videos are made."""
        return self.work / MODELS

    @property
    def working_grid(self) -> Path:
        """Where the grid is made."""
        return self.work / f"grid{self.grid.suffix}"

    def finish(self) -> None:
        """Put everything into its place. Raises OutputError."""
        _check_folder(self.folder, self.overwrite)
        move_into_place(self.working_grid, self.grid, self.overwrite)
        try:
            replace_folder(self.work, self.folder)
        except OSError as error:
            raise failed_write(self.folder, error) from error

    def discard(self) -> None:
        """Remove what is not finished. Harmless afterwards."""
        remove(self.work)
        if self.around is not None and not self.grid.exists():
            remove(self.around)


def claim(output: str | Path | None, overwrite: bool) -> Places:
    """The places of a new comparison, checked before any work. Raises OutputError."""
    around = None
    if output is None:
        around = Path(tempfile.mkdtemp(prefix="thg-zoo-"))
        output = around / "comparison.mp4"
    grid = Path(output)
    if check_output(grid, overwrite) is OutputKind.PNG_FOLDER:
        raise OutputError(f"{grid} has no suffix.", "A comparison is a video: name it, for instance, compare.mp4.")
    folder = grid.with_suffix("")
    _check_folder(folder, overwrite)
    work = temporary_beside(folder, "")
    try:
        (work / MODELS).mkdir(parents=True)
    except OSError as error:
        raise failed_write(work, error) from error
    return Places(grid, folder, work, overwrite, around)


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Only the folder of an earlier comparison is replaced, and only when that is asked for."""
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / JSON).is_file()):
        raise OutputError(f"{folder} is in the way of the results: it is something else.", "Choose another name.")
    if not overwrite:
        raise OutputError(
            f"The folder {folder} exists already.", "Choose another name, or allow overwriting (--overwrite)."
        )
