"""What a driver becomes: coefficients of the 3-D face model for every frame, and how options change them.

Rows are frames, `[T, 70]`: expression 64, pose 6; where the place of the face counts, `[T, 73]`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thg_zoo.adapters.sadtalker.expression import EXPRESSION
from thg_zoo.face3d.reconstruction import PLACE_COLUMNS, POSE_COLUMNS


def repeated(clip: Tensor, n_frames: int) -> Tensor:
    """A reference clip `[k, ...]` from its start again until there are `n_frames`."""
    return clip[torch.arange(n_frames, device=clip.device) % len(clip)]


def add_pose(coefficients: Tensor, clip: Tensor) -> Tensor:
    """With the movement of a reference clip `[k, 73]` since its first frame added to the pose."""
    moved = repeated(clip[:, POSE_COLUMNS] - clip[:1, POSE_COLUMNS], len(coefficients))
    return torch.cat((coefficients[:, :EXPRESSION], coefficients[:, POSE_COLUMNS] + moved), dim=1)


def driving_rows(coefficients: Tensor, source: Tensor, *, scale: float, still: bool, placed: bool) -> Tensor:
    """What the mapping network takes: `[T, 70]`, or if `placed` `[T, 73]`.

    source `[1, 73]`: the picture's own coefficients; scale: factor of the expression; still: the pose (and place)
    of the picture in all frames.
    """
    pose = coefficients[:, POSE_COLUMNS]
    if still:
        pose = source[:, POSE_COLUMNS].expand_as(pose)
    parts = [coefficients[:, :EXPRESSION] * scale, pose]
    if placed:
        parts.append(source[:, PLACE_COLUMNS].expand(len(coefficients), -1))
    return torch.cat(parts, dim=1)


def spread_degrees(degrees: Sequence[float], n_frames: int) -> Tensor:
    """Angles from one given value to the next over the whole video, at one speed: `[T]`.

    As published the last value itself is usually not reached. Values that repeat take no time (the published
    program fails), and one frame has the first.
    """
    distance = float(np.abs(np.diff(degrees)).sum())
    if n_frames == 1 or not distance:
        return torch.full((n_frames,), float(degrees[0]))
    step = distance / (n_frames - 1)
    legs = [np.arange(a, b, np.copysign(step, b - a)) for a, b in itertools.pairwise(degrees) if a != b]
    path = np.concatenate(legs)[:n_frames]
    return torch.from_numpy(np.pad(path, (0, n_frames - len(path)), mode="edge").astype(np.float32))
