"""Head pose and expression, and the key points that they make of canonical ones (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from thg_zoo.keypoints.headpose import about_axis
from thg_zoo.motion import Parameters


def rotation(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """Rotation matrices `[B, 3, 3]` from angles `[B]` in degrees, for points as rows: (Rz Ry Rx) transposed."""
    x, y, z = (about_axis(i, torch.deg2rad(angle)) for i, angle in enumerate((pitch, yaw, roll)))
    return (z @ y @ x).transpose(1, 2)


@dataclass(frozen=True)
class FaceMotion:
    """Pose and expression of B frames: R `[B, 3, 3]`, exp `[B, 21, 3]`, scale `[B, 1]`, t `[B, 3]`."""

    R: Tensor
    exp: Tensor
    scale: Tensor
    t: Tensor

    @classmethod
    def of(cls, parameters: Parameters) -> FaceMotion:
        """From what a motion template holds, or what the motion extractor says (angles in degrees instead of R)."""
        matrices = parameters.get("R")
        if matrices is None:
            matrices = rotation(*(parameters[name] for name in ("pitch", "yaw", "roll")))
        return cls(matrices, parameters["exp"], parameters["scale"], parameters["t"])

    def __len__(self) -> int:
        return len(self.R)

    def __getitem__(self, frames: slice) -> FaceMotion:
        return FaceMotion(**{name: value[frames] for name, value in self.parameters().items()})

    def parameters(self) -> Parameters:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def flat(self) -> FaceMotion:
        """Without the translation's depth, which the published program ignores nearly everywhere."""
        return replace(self, t=self.t * self.t.new_tensor([1, 1, 0]))

    def keypoints(self, canonical: Tensor) -> Tensor:
        """Key points `[B, 21, 3]` of canonical ones `[1 or B, 21, 3]`."""
        return self.scale[:, None] * (canonical @ self.R + self.exp) + self.t[:, None]
