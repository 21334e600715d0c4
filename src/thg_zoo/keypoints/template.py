"""Motion templates: what a model read from a driving video, saved to be applied to any source later."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thg_zoo.errors import MediaError, OutputError

FORMAT = 1


@dataclass(frozen=True)
class MotionTemplate:
    """parameters: tensors whose first dimension is the frame; reference: the same of the one frame from which relative
    movement begins; fps: the exact rate; model: the name of the model and weights that read them, for no other
    understands them.
    """

    parameters: dict[str, Tensor]
    reference: dict[str, Tensor]
    fps: Fraction
    model: str

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))


def check_template_path(path: str | Path, overwrite: bool = False) -> Path:
    """`path`, if a template can be written there. Raises OutputError otherwise, before any work."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise OutputError(f"A motion template cannot be written to {str(path)!r}.", "Name a file that ends in .npz.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {str(path.parent)!r} does not exist.", "Create it first.")
    if path.exists() and not overwrite:
        raise OutputError(f"{str(path)!r} exists already.", "Choose another name, or allow overwriting.")
    return path


def write_template(template: MotionTemplate, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a template as .npz, whole or not at all. Raises OutputError."""
    target = check_template_path(path, overwrite)
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "model": np.array(template.model),
        "fps": np.array([template.fps.numerator, template.fps.denominator]),
    }
    for group, tensors in (("motion", template.parameters), ("reference", template.reference)):
        arrays |= {f"{group}/{name}": value.cpu().numpy() for name, value in tensors.items()}
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}.", "Choose another place.") from error
    return target


def read_template(path: str | Path, model: str) -> MotionTemplate:
    """The template in a .npz file. Raises MediaError if it is none, is damaged, or was made by another model."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        template = _parsed(arrays)
    except (OSError, ValueError, KeyError, EOFError, ZeroDivisionError, zipfile.BadZipFile) as error:
        raise MediaError(
            f"{str(path)!r} is not a motion template, or is damaged.", "Write one with `thg-zoo motion`."
        ) from error
    if template.model != model:
        raise MediaError(
            f"{str(path)!r} holds the motion that {template.model!r} read; {model!r} cannot use it.",
            f"Read the driving video again: thg-zoo motion {model} VIDEO -o motion.npz.",
        )
    return template


def _parsed(arrays: dict[str, Any]) -> MotionTemplate:
    """Raises ValueError or KeyError for anything that `write_template` would not write."""
    if int(arrays["format"]) != FORMAT:
        raise ValueError("another version of the format")
    motion, reference = _tensors(arrays, "motion"), _tensors(arrays, "reference")
    n = len(next(iter(motion.values()), ()))
    shapes = {name: (n, *value.shape[1:]) for name, value in reference.items()}
    if not n or shapes != {name: tuple(value.shape) for name, value in motion.items()}:
        raise ValueError("tables that do not belong together, or none")
    fps = Fraction(*(int(v) for v in arrays["fps"]))
    if fps <= 0:
        raise ValueError("no frame rate")
    return MotionTemplate(motion, reference, fps, str(arrays["model"]))


def _tensors(arrays: dict[str, Any], group: str) -> dict[str, Tensor]:
    chosen = {name.removeprefix(f"{group}/"): a for name, a in arrays.items() if name.startswith(f"{group}/")}
    if not all(a.ndim and a.dtype == np.float32 and np.isfinite(a).all() for a in chosen.values()):
        raise ValueError("entries that are no numbers")
    return {name: torch.from_numpy(a) for name, a in chosen.items()}
