"""Files that visitors hand over: only what they really uploaded, under its own name, in the folder of the run."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from thg_zoo.errors import MediaError, UsageError

_NAME_LENGTH = 80


def received(value: Any, root: Path) -> Path:
    """The uploaded file that a component's value names.

    Addresses are never fetched, and no file outside of the uploads is taken, whatever the request says. Raises
    UsageError, or MediaError where the file is no longer there.
    """
    if isinstance(value, dict) and isinstance(value.get("video"), dict):
        value = value["video"]  # what gradio 5 sends for a video
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        raise UsageError("A file was not given as an upload.", "Upload it first: see docs/api.md.")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", value["path"]):
        raise UsageError("Addresses are not fetched.", "Download the file and upload it.")
    path = Path(os.path.realpath(value["path"]))
    if not path.is_relative_to(os.path.realpath(root)):
        raise UsageError("A file was not given as an upload.", "Upload it first: see docs/api.md.")
    if not path.is_file():
        raise MediaError(f"{path.name} is no longer on the server.", "Upload it again.")
    return path


def place(upload: Path, folder: Path, role: str) -> Path:
    """The upload in the folder of a run, by a second link to the same bytes; `role` keeps equal names apart."""
    name = re.sub(r"[^\w.-]+", "_", upload.name)[-_NAME_LENGTH:].lstrip(".-") or "file"
    target = folder / role / name
    target.parent.mkdir()
    try:
        os.link(upload, target)
    except OSError:
        shutil.copyfile(upload, target)
    return target
