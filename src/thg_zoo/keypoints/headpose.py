"""Head pose of the face-vid2vid family: angles from bins, rotation, posed key points, free view."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

# The published networks were trained with this value, not with pi.
_PI = 3.14
_DEGREES_PER_BIN = 3

RotationOrder = Literal["pitch-yaw-roll", "roll-pitch-yaw"]


def degrees_from_bins(logits: Tensor, lowest: float = -99.0) -> Tensor:
    """Expected angle in degrees of 66 bins of 3 degrees: `[B, 66]` to `[B]`. lowest: the angle of the first bin."""
    bins = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    return torch.softmax(logits, dim=-1) @ bins * _DEGREES_PER_BIN + lowest


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor, order: RotationOrder = "pitch-yaw-roll") -> Tensor:
    """Rotation matrices `[B, 3, 3]` from angles `[B]` in degrees; they act on columns.

    "pitch-yaw-roll" is Rx(pitch) Ry(yaw) Rz(roll); the "beta" release of the face-vid2vid reproduction has
    "roll-pitch-yaw", Rx(roll) Ry(pitch) Rz(yaw).
    """
    angles = (pitch, yaw, roll) if order == "pitch-yaw-roll" else (roll, pitch, yaw)
    about_x, about_y, about_z = (about_axis(i, angle / 180 * _PI) for i, angle in enumerate(angles))
    return about_x @ about_y @ about_z


def about_axis(fixed: int, radians: Tensor) -> Tensor:
    """Rotation about axis `fixed` (0 x, 1 y, 2 z): `[B]` to `[B, 3, 3]`."""
    i, j = (fixed + 1) % 3, (fixed + 2) % 3
    matrix = radians.new_zeros(*radians.shape, 3, 3)
    matrix[..., fixed, fixed] = 1
    matrix[..., i, i] = matrix[..., j, j] = radians.cos()
    matrix[..., j, i] = radians.sin()
    matrix[..., i, j] = -radians.sin()
    return matrix


@dataclass(frozen=True)
class HeadPose:
    """Pose and expression of B frames: angles `[B]` in degrees, translation `[B, 3]`, expression `[B, K, 3]`."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    translation: Tensor
    expression: Tensor

    def turned(
        self,
        yaw: float | None = None,
        pitch: float | None = None,
        roll: float | None = None,
        translation: tuple[float, float, float] | None = None,
    ) -> HeadPose:
        """Free view: the same expressions; angles (degrees) and translation that are given replace the frames' own."""
        given = {"yaw": yaw, "pitch": pitch, "roll": roll}
        angles = {n: torch.full_like(self.yaw, angle) for n, angle in given.items() if angle is not None}
        moved = self.translation if translation is None else self.translation.new_tensor([translation])
        return replace(self, translation=moved.expand_as(self.translation), **angles)

    def pose(self, canonical: Tensor, order: RotationOrder = "pitch-yaw-roll") -> Tensor:
        """Key points `[B, K, 3]`: canonical ones `[1 or B, K, 3]` rotated, shifted, and with the expression added."""
        turned = canonical @ rotation(self.yaw, self.pitch, self.roll, order).transpose(1, 2)
        return turned + self.translation.unsqueeze(1) + self.expression
