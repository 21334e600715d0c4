"""From coefficients of a 3-D face model to key points of the renderer (SadTalker, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from thg_zoo.face3d.mapping import REACH, SequenceEncoder, sections
from thg_zoo.keypoints.headpose import HeadPose, degrees_from_bins
from thg_zoo.motion import Parameters

_WIDTH = 1024
_HEADS = {"roll": 66, "pitch": 66, "yaw": 66, "t": 3, "exp": 45}
# Frames mapped at once: their number must not depend on what a person chooses as batch size.
_PIECE = 512


class MappingNet(SequenceEncoder):
    """rows: 70 coefficients (expression, pose), or 73 with the place of the face in the picture."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows, _WIDTH)
        for name, width in _HEADS.items():
            self.add_module(f"fc_{name}", nn.Linear(_WIDTH, width))

    def heads(self, coefficients: Tensor) -> dict[str, Tensor]:
        """`[B, rows, T + 26]` to the raw heads of T frames `[B, T, n]`: yaw, pitch and roll 66, t 3, exp 45."""
        frames = self(coefficients).transpose(1, 2)
        return {name: self.get_submodule(f"fc_{name}")(frames) for name in _HEADS}


def head_pose(heads: Mapping[str, Tensor]) -> HeadPose:
    """Raw heads of T frames, `[T, ...]`, as a pose. As published, only the vertical part of the translation counts."""
    yaw, pitch, roll = (degrees_from_bins(heads[name]) for name in ("yaw", "pitch", "roll"))
    vertical = heads["t"] * heads["t"].new_tensor((0, 1, 0))
    return HeadPose(yaw, pitch, roll, vertical, heads["exp"].view(-1, heads["exp"].shape[1] // 3, 3))


def source_pose(mapping: MappingNet, coefficients: Tensor) -> HeadPose:
    """The pose of a picture with the coefficients `[1, rows]`: a video in which nothing moves."""
    (still,) = sections([coefficients])
    return _poses(mapping, still)


def driving_points(
    mapping: MappingNet, canonical: Tensor, coefficients: Tensor, degrees: Mapping[str, Tensor]
) -> Iterator[Parameters]:
    """Key points `points` `[k, 15, 3]` of all frames, piece by piece.

    canonical `[1, 15, 3]`; coefficients `[T, rows]`; degrees: yaw, pitch or roll `[T]` that replace the network's.
    """
    start = 0
    for section in sections(torch.split(coefficients, _PIECE)):
        stop = start + len(section) - 2 * REACH
        given = {name: angles[start:stop] for name, angles in degrees.items()}
        yield {"points": replace(_poses(mapping, section), **given).pose(canonical)}
        start = stop


def _poses(mapping: MappingNet, section: Tensor) -> HeadPose:
    """The poses of n frames, of coefficients `[n + 26, rows]`."""
    return head_pose({name: head.squeeze(0) for name, head in mapping.heads(section.T.unsqueeze(0)).items()})
