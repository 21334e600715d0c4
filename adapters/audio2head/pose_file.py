"""Head poses that a user gives, as a table in a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapters.audio2head.pose_network import POSE
from thg_zoo.errors import MediaError

_FORMAT = "Give a .csv of six numbers a line, or an .npz with an array `poses` of shape [T, 6]."
# The box reaches so far from its centre; nearer to the camera it would lie behind it.
_NEAREST = 175.0


def read_poses(path: str) -> NDArray[np.float64]:
    """Poses `[T, 6]` in radians and units of the box. Raises MediaError for a file that holds none."""
    try:
        table = _read_npz(path) if Path(path).suffix.lower() == ".npz" else _read_csv(path)
    except FileNotFoundError as error:
        raise MediaError(f"There is no file {path!r}.", "Check the path of option poses.") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MediaError(f"{path!r} cannot be read as head poses.", _FORMAT) from error
    if table.ndim != 2 or table.shape[1] != POSE or not len(table) or not np.isfinite(table).all():
        raise MediaError(f"{path!r} holds a table of shape {list(table.shape)}, or what is no number.", _FORMAT)
    if table[:, 5].min() < _NEAREST:
        raise MediaError(
            f"{path!r} moves the head into the camera: its sixth column goes down to {table[:, 5].min():g}.",
            f"Keep it above {_NEAREST:g}; the network knows 185 to 377.",
        )
    return table


def _read_npz(path: str) -> NDArray[np.float64]:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file["poses"], np.float64)


def _read_csv(path: str) -> NDArray[np.float64]:
    """A line of names above the numbers is passed over."""
    lines = [line for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    names = bool(lines) and any(letter.isalpha() and letter not in "eE" for letter in lines[0])
    return np.array([[float(value) for value in line.split(",")] for line in lines[names:]])
