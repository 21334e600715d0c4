"""From coefficients of a 3-D face model to key points of the renderer (SadTalker, section 3.4).

The published program cuts a window of 27 frames for every frame and runs the network on each. Here it runs once,
convolutionally, over the padded sequence: the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.keypoints.headpose import HeadPose, degrees_from_bins
from thg_zoo.motion import Parameters

# Frames on either side of a frame that its key points depend on.
REACH = 13
_WIDTH = 1024
_LAYERS = 3
_SLOPE = 0.1
_HEADS = {"roll": 66, "pitch": 66, "yaw": 66, "t": 3, "exp": 45}
# Frames mapped at once: their number must not depend on what a person chooses as batch size.
_PIECE = 512


class MappingNet(nn.Module):
    """rows: 70 coefficients (expression, pose), or 73 with the place of the face in the picture."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(rows, _WIDTH, 7))
        for i in range(_LAYERS):
            layer = nn.Sequential(nn.LeakyReLU(_SLOPE), nn.Conv1d(_WIDTH, _WIDTH, 3, dilation=3))
            self.add_module(f"encoder{i}", layer)
        for name, width in _HEADS.items():
            self.add_module(f"fc_{name}", nn.Linear(_WIDTH, width))

    def forward(self, coefficients: Tensor) -> dict[str, Tensor]:
        """`[B, rows, T + 26]` to the raw heads of T frames `[B, T, n]`: yaw, pitch and roll 66, t 3, exp 45."""
        x: Tensor = self.first(coefficients)
        for i in range(_LAYERS):
            x = self.get_submodule(f"encoder{i}")(x) + x[:, :, 3:-3]
        frames = F.avg_pool1d(x, 3, 1).transpose(1, 2)
        return {name: self.get_submodule(f"fc_{name}")(frames) for name in _HEADS}


def head_pose(heads: Mapping[str, Tensor]) -> HeadPose:
    """Raw heads of T frames, `[T, ...]`, as a pose. As published, only the vertical part of the translation counts."""
    yaw, pitch, roll = (degrees_from_bins(heads[name]) for name in ("yaw", "pitch", "roll"))
    vertical = heads["t"] * heads["t"].new_tensor((0, 1, 0))
    return HeadPose(yaw, pitch, roll, vertical, heads["exp"].view(-1, heads["exp"].shape[1] // 3, 3))


def source_pose(mapping: MappingNet, coefficients: Tensor) -> HeadPose:
    """The pose of a picture with the coefficients `[1, rows]`: a video in which nothing moves."""
    return _poses(mapping, coefficients, slice(0, 1))


def driving_points(
    mapping: MappingNet, canonical: Tensor, coefficients: Tensor, degrees: Mapping[str, Tensor]
) -> Iterator[Parameters]:
    """Key points `points` `[k, 15, 3]` of all frames, piece by piece.

    canonical `[1, 15, 3]`; coefficients `[T, rows]`; degrees: yaw, pitch or roll `[T]` that replace the network's.
    """
    for start in range(0, len(coefficients), _PIECE):
        rows = slice(start, min(start + _PIECE, len(coefficients)))
        given = {name: angles[rows] for name, angles in degrees.items()}
        yield {"points": replace(_poses(mapping, coefficients, rows), **given).pose(canonical)}


def _poses(mapping: MappingNet, coefficients: Tensor, rows: slice) -> HeadPose:
    """The poses of frames `rows`. Beyond its ends the sequence stands still."""
    reached = torch.arange(rows.start - REACH, rows.stop + REACH, device=coefficients.device)
    columns = coefficients[reached.clamp(0, len(coefficients) - 1)].T.unsqueeze(0)
    return head_pose({name: head.squeeze(0) for name, head in mapping(columns).items()})
