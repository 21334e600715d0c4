"""Motion transfer: the driver's pose and expression brought onto a source, in every published way.

The published program (github.com/KwaiVGI/LivePortrait) has a case for each combination of source and driver; here
each of the four quantities (rotation, expression, scale, translation) has its rule. Every rule works on whole batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.neutral import neutral_expression
from thg_zoo.adapters.liveportrait.options import TransferOptions
from thg_zoo.adapters.liveportrait.pose import FaceMotion
from thg_zoo.adapters.liveportrait.smoothing import smooth

LIP_POINTS = (6, 12, 14, 17, 19, 20)
EYE_POINTS = (11, 13, 15, 16, 18)
# The components of an expression that a driver may set; the others (z, mostly) shift the whole head.
_FREE_POINTS = (1, 2, 6, *range(11, 21))
_FREE_COMPONENTS = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))

Moves = Literal["picture", "sequence"]


@dataclass(frozen=True)
class Transfer:
    """From the motion of driving frames to that of output frames.

    still: the source is a picture (else there is one source frame to each driving frame); moves: what the driver is;
    first: the frame from which its movement is counted.
    """

    options: TransferOptions
    still: bool
    moves: Moves
    first: FaceMotion

    def __call__(self, source: FaceMotion, driving: FaceMotion) -> FaceMotion:
        """Of B output frames. source has 1 or B entries; driving has B, or 1 where it is a picture."""
        absolute = self.options.transfer != "relative"
        moved = self._absolute(source, driving) if absolute else self._relative(source, driving)
        if not self.still and self.moves == "sequence":
            moved = replace(moved, R=self._smooth(moved.R), exp=self._smooth(moved.exp))
        posed = self.options.animation_region in ("all", "pose")
        frames = max(len(source), len(driving))
        return FaceMotion(
            R=(moved.R if posed else source.R).expand(frames, -1, -1),
            exp=torch.where(self._followed(moved.exp.device), moved.exp, source.exp),
            scale=(moved.scale if self.options.animation_region == "all" else source.scale).expand(frames, -1),
            t=(moved.t if posed else source.t).expand(frames, -1),
        )

    def _relative(self, source: FaceMotion, driving: FaceMotion) -> FaceMotion:
        first = self.first
        if self.moves == "picture":
            return replace(source, exp=source.exp + driving.exp - self._neutral(driving.exp))
        turned = driving.R @ first.R.transpose(1, 2) @ source.R
        expression = source.exp + driving.exp - first.exp
        if not self.still:
            return replace(source, R=turned, exp=expression)
        scale = source.scale * driving.scale / first.scale
        return FaceMotion(turned, expression, scale, source.t + driving.t - first.t)

    def _absolute(self, source: FaceMotion, driving: FaceMotion) -> FaceMotion:
        return replace(driving, scale=source.scale)

    def _neutral(self, like: Tensor) -> Tensor:
        """What a single driving picture's expression is compared with; of eyes nothing, as published."""
        if self.options.animation_region == "eyes":
            return torch.zeros_like(like[:1])
        return neutral_expression(like)

    def _smooth(self, values: Tensor) -> Tensor:
        return smooth(values, self.options.driving_smooth_observation_variance)

    def _followed(self, device: torch.device) -> Tensor:
        """Which components `[21, 3]` of the expression follow the driver."""
        region = self.options.animation_region
        mask = torch.zeros(21, 3, dtype=torch.bool, device=device)
        if region in ("lip", "eyes"):
            mask[list(LIP_POINTS if region == "lip" else EYE_POINTS)] = True
        elif region in ("all", "exp"):
            whole = (self.still and self.options.transfer == "relative") or self.options.transfer == "displacement"
            mask[slice(None) if whole else list(_FREE_POINTS)] = True
            for point, component in _FREE_COMPONENTS:
                mask[point, component] = True
        return mask
