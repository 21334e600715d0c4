"""Editing a portrait: the sliders of the published page, as changes of pose and expression.

Every slider moves some components of the expression in proportion to its value; coefficients as published
(github.com/KwaiVGI/LivePortrait, the page's "retargeting image"). Axes are x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.options import EditingOptions
from thg_zoo.adapters.liveportrait.pose import FaceMotion, rotation

Sliders = Mapping[str, Tensor]
"""Values `[n]` by name: 1 or as many as there are frames."""

_X, _Y, _Z = 0, 1, 2
# What a slider adds per unit: {(point, axis): amount}; a sign in the name means values of that sign alone.
_EFFECTS: dict[str, dict[tuple[int, int], float]] = {
    "smile": {
        (20, _Y): -0.01, (14, _Y): -0.02, (17, _Y): 0.0065, (17, _Z): 0.003,
        (13, _Y): -0.00275, (16, _Y): -0.00275, (3, _Y): -0.0035, (7, _Y): -0.0035,
    },
    "wink": {(11, _Y): 1e-3, (13, _Y): -3e-4, (17, _X): 3e-4, (17, _Y): 3e-4, (3, _Y): -3e-4},
    "eyebrow+": {(1, _Y): 1e-3, (2, _Y): -1e-3},
    "eyebrow-": {(1, _X): -1e-3, (2, _X): 1e-3, (1, _Y): 3e-4, (2, _Y): -3e-4},
    "gaze_x+": {(11, _X): 7e-4, (15, _X): 1e-3},
    "gaze_x-": {(11, _X): 1e-3, (15, _X): 7e-4},
    "gaze_y": {(11, _Y): -5e-4, (15, _Y): -5e-4, (13, _Y): -1.5e-4, (16, _Y): -1.5e-4},
    "pouting": {(19, _X): 1.0},
    "pursing": {(14, _Y): 1e-3, (3, _Y): -5e-4, (7, _Y): -5e-4, (17, _Z): -5e-4},
    "grin": {(20, _Z): -1e-3, (20, _Y): -1e-3, (14, _Y): -1e-3},
    "lip_open": {(19, _Y): 1e-3, (19, _Z): 1e-4, (17, _Y): -1e-4},
    "mov_x": {(5, _X): -1.0},
    "mov_y": {(5, _Y): 1.0},
}  # fmt: skip
_ANGLES = ("pitch", "yaw", "roll")
SLIDERS = (*_ANGLES, "mov_z", *dict.fromkeys(name.rstrip("+-") for name in _EFFECTS))
# What leaves the portrait as it is.
NEUTRAL = {name: 1.0 if name == "mov_z" else 0.0 for name in SLIDERS}


def sliders_of(options: EditingOptions, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The sliders as options set them, one value each."""
    return {name: torch.tensor([float(getattr(options, name))], device=device) for name in SLIDERS}


def expression_change(sliders: Sliders) -> Tensor:
    """`[n, 21, 3]`: what the sliders add to an expression."""
    values = []
    for name in _EFFECTS:
        value = sliders[name.rstrip("+-")]
        values.append(value.clamp(min=0) if name[-1] == "+" else value.clamp(max=0) if name[-1] == "-" else value)
    n = max(map(len, values))
    effects = values[0].new_zeros(len(_EFFECTS), 21, 3)
    for row, changes in zip(effects, _EFFECTS.values(), strict=True):
        for place, amount in changes.items():
            row[place] = amount
    return torch.einsum("en,ekc->nkc", torch.stack([value.expand(n) for value in values]), effects)


def edited(moved: FaceMotion, angles: Sliders, sliders: Sliders) -> FaceMotion:
    """Motion of B frames with the sliders' changes.

    angles: pitch, yaw and roll `[1 or B]` of the source in degrees, to which the sliders add. moved may be turned
    away from them by a driver: then the whole head turns as the source's would.
    """
    before = rotation(*(angles[name] for name in _ANGLES))
    after = rotation(*(angles[name] + sliders[name] for name in _ANGLES))
    return replace(
        moved,
        R=moved.R @ before.transpose(1, 2) @ after,
        exp=moved.exp + expression_change(sliders),
        scale=moved.scale * sliders["mov_z"][:, None],
    )
