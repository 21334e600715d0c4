"""Coefficients given as tables: this project's motion templates, plain .npz, and the .mat of reconstruction programs.

Deep3DFaceRecon gives 257 numbers a frame: 80 identity, 64 expression, 80 texture, 3 angles, 27 light, 3 translation.
Where the face lies in its crop follows: (scale, x, y), or (width, height, scale, x, y).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thg_zoo.adapters.pirender.networks import ROWS
from thg_zoo.errors import MediaError
from thg_zoo.face3d.reconstruction import FULL, driving_coefficients
from thg_zoo.keypoints.template import MotionTemplate, read_template
from thg_zoo.motion import part
from thg_zoo.timing import frame_rate

NAME = "coefficients"
# The rate of tables that do not name theirs: that of the published training videos.
_FPS = Fraction(25)
# Names of tables in known files: of the authors' program, and of SadTalker's.
_TOGETHER = ("coeff_3dmm", NAME)
_COEFFICIENTS, _PLACES = "coeff", "transform_params"
_PLACE = 3
_COLUMNS = (
    f"{ROWS} columns (expression 64, angles 3, translation 3, crop 3), {FULL + _PLACE} (257 and scale, x, y of the "
    f"crop) or {FULL + 2 + _PLACE} (257 and width, height, scale, x, y)"
)


def read_table(path: Path, model: str) -> MotionTemplate:
    """The coefficients `[T, 73]` in a .npz or .mat, the one parameter of a template whose reference is its first row.

    Raises MediaError if there are none, or in an order that is not known.
    """
    try:
        arrays = _arrays(path)
        if "format" not in arrays:
            motion = {NAME: rows_of(_table(arrays))}
            fps = frame_rate(np.asarray(arrays["fps"]).item()) if "fps" in arrays else _FPS
            return MotionTemplate(motion, part(motion, 0, 1), fps, model)
    except MediaError as error:
        raise MediaError(f"{str(path)!r}: {error.message}", error.remedy) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise MediaError(
            f"{str(path)!r} holds no table of coefficients, or is damaged: {error}.",
            f"Write one with `thg-zoo motion {model}`, or save an array of {_COLUMNS} as .npz.",
        ) from error
    template = read_template(path, model)
    if template.parameters.keys() != {NAME} or template.parameters[NAME].shape[1:] != (ROWS,):
        raise MediaError(f"{str(path)!r} holds no coefficients.", f"Write it again with `thg-zoo motion {model}`.")
    return template


def rows_of(table: ArrayLike) -> Tensor:
    """A table `[T, 73]`, `[T, 260]` or `[T, 262]` as `[T, 73]`. Raises MediaError for any other."""
    numbers = torch.from_numpy(np.asarray(table, np.float32))
    shape = tuple(numbers.shape)
    if len(shape) != 2 or shape[1] not in (ROWS, FULL + _PLACE, FULL + 2 + _PLACE):
        missing = " The place of the face in its crop is missing." if shape[1:] in ((70,), (FULL,)) else ""
        raise MediaError(f"A table of shape {shape} is none of this model's.{missing}", f"Give {_COLUMNS}.")
    if not shape[0] or not numbers.isfinite().all():
        raise MediaError("The table is empty, or holds what is no number.", "Read the driving video again.")
    return numbers if shape[1] == ROWS else driving_coefficients(numbers[:, :FULL], numbers[:, -_PLACE:])


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file by name. Neither format runs anything."""
    if path.suffix.lower() == ".mat":
        from scipy.io import loadmat

        return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _table(arrays: Mapping[str, Any]) -> ArrayLike:
    """The table by a known name; in two parts; or the only array with rows. Raises KeyError."""
    if _COEFFICIENTS in arrays and _PLACES in arrays:
        return np.concatenate([arrays[_COEFFICIENTS], np.asarray(arrays[_PLACES])], axis=1)
    found = [arrays[name] for name in _TOGETHER if name in arrays]
    found = found or [value for value in arrays.values() if np.ndim(value) == 2 and min(np.shape(value)) > 1]
    if len(found) != 1:
        raise KeyError(f"{len(found)} tables among {', '.join(sorted(arrays)) or 'nothing'}")
    table: ArrayLike = found[0]
    return table
