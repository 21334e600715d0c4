"""Motion templates: this project's .npz, plain arrays under the published names, and the authors' own pickles.

All become a `MotionTemplate` of R, exp, scale, t and, where they are known, the ratios c_eyes and c_lip.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thg_zoo.errors import MediaError
from thg_zoo.keypoints.template import MotionTemplate, read_template
from thg_zoo.motion import Parameters, part
from thg_zoo.timing import frame_rate
from thg_zoo.weights.checkpoint import DAMAGE
from thg_zoo.weights.pickled_arrays import load_arrays
from thg_zoo.weights.unpickler import ForbiddenGlobal

# Every name of a model whose templates serve all variants.
MODEL = "liveportrait"
_SHAPES = {"R": (3, 3), "exp": (21, 3), "scale": (1,), "t": (3,)}
_RATIOS = {"c_eyes": (2,), "c_lip": (1,)}


def read_motion(path: Path) -> MotionTemplate:
    """The template in a .npz or .pkl. Raises MediaError if it is none, is damaged, or is another model's.

    A pickle is read without running anything in it. The reference is the first frame.
    """
    try:
        if path.suffix.lower() == ".pkl":
            with path.open("rb") as stream:
                return _template(_of_frames(load_arrays(stream)))
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if "format" not in arrays:
            return _template(arrays)
    except ForbiddenGlobal as error:
        raise MediaError(f"{str(path)!r} is no motion template: {error.message}", "Use one of the authors'.") from error
    except (OSError, zipfile.BadZipFile, *DAMAGE) as error:
        raise MediaError(
            f"{str(path)!r} is not a motion template of LivePortrait, or is damaged: {error}.",
            "Write one with `thg-zoo motion liveportrait`.",
        ) from error
    return _checked(read_template(path, MODEL), path)


def _checked(template: MotionTemplate, path: Path) -> MotionTemplate:
    try:
        _check_shapes(template.parameters, len(template))
    except ValueError as error:
        raise MediaError(f"{str(path)!r} is damaged: {error}.", "Write it again with `thg-zoo motion`.") from error
    return template


def _template(arrays: Mapping[str, Any]) -> MotionTemplate:
    """From arrays by name. Raises KeyError or ValueError where they are no motion."""
    names = [*_SHAPES, *(name for name in _RATIOS if name in arrays)]
    motion = {name: torch.from_numpy(np.ascontiguousarray(arrays[name], np.float32)) for name in names}
    _check_shapes(motion, len(motion["R"]))
    fps = frame_rate(float(arrays["output_fps"]))
    return MotionTemplate(motion, part(motion, 0, 1), fps, MODEL)


def _check_shapes(motion: Parameters, n: int) -> None:
    for name, shape in (_SHAPES | _RATIOS).items():
        if name in _SHAPES and name not in motion:
            raise ValueError(f"it has no {name}")
        if name in motion and tuple(motion[name].shape) != (n, *shape):
            raise ValueError(f"{name} has the shape {tuple(motion[name].shape)}")
        if name in motion and not motion[name].isfinite().all():
            raise ValueError(f"{name} is not finite")
    if not n:
        raise ValueError("it has no frames")


def _of_frames(tree: Any) -> dict[str, Any]:
    """The authors' layout, a list of frames with arrays of one entry, as arrays over time; old names included."""
    frames = tree["motion"]
    rotation = "R" if "R" in frames[0] else "R_d"
    arrays = {name: [frame[rotation if name == "R" else name] for frame in frames] for name in _SHAPES}
    for name in _RATIOS:
        found = tree.get(f"{name}_lst") or tree.get(name.replace("c_", "c_d_") + "_lst")
        if found:
            arrays[name] = found
    whole = {name: np.concatenate([np.asarray(value) for value in values]) for name, values in arrays.items()}
    return {**whole, "output_fps": tree["output_fps"]}
