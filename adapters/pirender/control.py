"""Intuitive control: angles, place and strength of expression as options or keyframes give them (section 3.3)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thg_zoo.adapters.pirender.coefficients import ANGLES, EXPRESSION, TRANSLATION
from thg_zoo.adapters.pirender.options import PIRenderOptions
from thg_zoo.keypoints.keyframes import Keyframes
from thg_zoo.video_driven import STILL_FPS

# The column of each control, and what one of its units is there.
_COLUMNS = {
    **dict(zip(("pitch", "yaw", "roll"), range(ANGLES.start, ANGLES.stop), strict=True)),
    **dict(zip(("move_x", "move_y", "move_z"), range(TRANSLATION.start, TRANSLATION.stop), strict=True)),
}
_UNITS = {name: math.pi / 180 if column < ANGLES.stop else 1.0 for name, column in _COLUMNS.items()}
_STRENGTH = "expression_scale"
CONTROLS = (*_COLUMNS, _STRENGTH)

# The published demonstration: the head in the middle, and where it goes from there, in degrees.
_MIDDLE = {**dict.fromkeys(_COLUMNS, 0.0), "move_z": 0.45}
_TURNS = (("roll", 18.0), ("roll", -18.0), ("pitch", 18.0), ("pitch", -18.0), ("yaw", 22.5), ("yaw", -22.5))
_LEG = 10


def rotation_track() -> Keyframes:
    """The published track: to each side and back in ten frames, both ends among them, so that ends show twice."""
    times, values, before = [], [], _MIDDLE
    legs = [goal for name, degrees in _TURNS for goal in (_MIDDLE | {name: degrees}, _MIDDLE)]
    for i, goal in enumerate(legs):
        times += [float(frame / STILL_FPS) for frame in (_LEG * i, _LEG * i + _LEG - 1)]
        values += [before, goal]
        before = goal
    return Keyframes(tuple(times), tuple(values), STILL_FPS, "linear")


def posed(rows: Tensor, options: PIRenderOptions) -> Tensor:
    """Coefficients `[T, 73]` with what the options give in place of their own."""
    return _with(rows, {name: getattr(options, name) for name in CONTROLS if getattr(options, name) is not None})


def edited(own: Tensor, keyframes: Keyframes | None, options: PIRenderOptions) -> Tensor:
    """The picture's coefficients `[1, 73]` changed by the options, and over time by keyframes: `[T, 73]`.

    Keyframes change the controls that they name; one that does not set a control means the option's value, or the
    picture's own.
    """
    base = posed(own, options)
    if keyframes is None:
        return base
    otherwise = {name: float(base[0, column]) / _UNITS[name] for name, column in _COLUMNS.items()}
    otherwise[_STRENGTH] = options.expression_scale
    # Strength is a factor of the picture's own expression: what the options did to it is not applied twice.
    start = torch.cat((own[:, EXPRESSION], base[:, EXPRESSION.stop :]), dim=1)
    n = len(keyframes)
    named = {name: keyframes.over_time(name, otherwise[name], keyframes.fps, n) for name in keyframes.names}
    return _with(start.expand(n, -1), {_STRENGTH: options.expression_scale, **named})


def _with(rows: Tensor, given: dict[str, Any]) -> Tensor:
    """Rows `[T, 73]` with controls given: a number each, or one for every row."""
    changed = rows.clone()
    for name, value in given.items():
        values = torch.as_tensor(value, dtype=rows.dtype, device=rows.device)
        if name == _STRENGTH:
            changed[:, EXPRESSION] *= values.reshape(-1, 1)
        else:
            changed[:, _COLUMNS[name]] = values * _UNITS[name]
    return changed
