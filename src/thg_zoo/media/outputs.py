"""Where an output may be written: kinds, early refusals, temporary names, and what a failed write means."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from enum import Enum
from pathlib import Path

from thg_zoo.errors import OutputError

_FRAME_OR_SOUND = re.compile(r"\d{6,}\.png|audio\.wav")
DISK_FULL = os.strerror(errno.ENOSPC)


class OutputKind(Enum):
    """What can be written; the value is the suffix, empty for a folder of numbered PNG files.

    A single picture (`.png`) holds one frame and no sound.
    """

    MP4 = ".mp4"
    WEBM = ".webm"
    GIF = ".gif"
    PNG = ".png"
    PNG_FOLDER = ""


_OVERWRITE = "Choose another name, or allow overwriting (overwrite=True, --overwrite)."


def check_output(path: str | Path, overwrite: bool = False) -> OutputKind:
    """The kind of output that `path` asks for by its suffix, after every check that can be made before any work.

    Raises OutputError: unknown suffix, missing or unwritable folder, something there already (without `overwrite`),
    a folder with other files in it (always).
    """
    path = Path(path)
    kind = _kind(path)
    ensure_parent(path)
    try:
        there = path.exists() or path.is_symlink()
    except OSError as error:  # a name that is too long
        raise failed_write(path, error) from error
    if not there:
        return kind
    if kind is OutputKind.PNG_FOLDER:
        _check_folder(path, overwrite)
    elif path.is_dir():
        raise OutputError(f"{path} is a folder.", "Name a file, or remove the suffix to write a folder of PNG files.")
    elif not overwrite:
        raise OutputError(f"{path} exists already.", _OVERWRITE)
    return kind


def ensure_parent(path: Path) -> None:
    """Raise OutputError unless the folder that is to hold `path` exists and can be written to."""
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} for {path.name} does not exist.", "Create it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} cannot be written to.", "Change its permissions or choose another.")


def temporary_beside(path: Path, suffix: str) -> Path:
    """A new hidden name in the folder of `path`: on the same file system, so that renaming it is atomic."""
    return path.parent / f".thg-zoo-{secrets.token_hex(6)}{suffix}"


def remove(path: Path) -> None:
    """Remove a temporary file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def move_into_place(temporary: Path, path: Path, overwrite: bool) -> None:
    """Rename the finished `temporary` to `path` in one step.

    Raises OutputError if something has appeared there since `check_output`.
    """
    check_output(path, overwrite)
    try:
        if not temporary.is_dir():
            temporary.replace(path)
            return
        replace_folder(temporary, path)
    except OSError as error:
        raise failed_write(path, error) from error


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`. The folder that lies there goes when that is done. Raises OSError."""
    # A folder cannot replace a folder that has files: the old one is moved aside first.
    aside = temporary_beside(path, "")
    if path.is_dir():
        path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        if aside.is_dir():
            aside.rename(path)
        raise
    remove(aside)


def failed_write(path: Path, reason: OSError | str) -> OutputError:
    """The error for a write that failed: it says so if the disk is full."""
    text = reason if isinstance(reason, str) else (reason.strerror or str(reason))
    if DISK_FULL in text or "No space left" in text:
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            return OutputError(
                f"{path} cannot be written: the disk is full ({free / 1e6:.1f} MB free in {path.parent}).",
                "Free some space or choose another folder.",
            )
    return OutputError(f"{path} cannot be written: {text}.", "Check the folder, its permissions and the disk.")


def _kind(path: Path) -> OutputKind:
    if not path.name or path.name in (".", ".."):
        raise OutputError(f"{str(path)!r} is no name for an output.", "Give it a name such as out.mp4.")
    suffix = path.suffix.lower()
    if path.name.lower() in {kind.value for kind in OutputKind}:
        raise OutputError(f"{path} has a suffix but no name.", f"Name it, for instance, out{path.name}.")
    for kind in OutputKind:
        if suffix == kind.value:
            return kind
    known = ", ".join(kind.value for kind in OutputKind if kind.value)
    raise OutputError(
        f"{path}: outputs of the kind {suffix} cannot be written.", f"Use {known}, or no suffix for a folder of PNGs."
    )


def _check_folder(path: Path, overwrite: bool) -> None:
    if not path.is_dir():
        raise OutputError(f"{path} is a file, not a folder.", "Choose another name, or a suffix such as .mp4.")
    names = [entry.name for entry in path.iterdir()]
    if not names:
        return
    if not overwrite:
        raise OutputError(f"The folder {path} is not empty.", _OVERWRITE)
    strangers = [name for name in names if not _FRAME_OR_SOUND.fullmatch(name)]
    if strangers:
        raise OutputError(
            f"The folder {path} holds other files ({strangers[0]}), so it is not replaced.", "Choose another name."
        )
