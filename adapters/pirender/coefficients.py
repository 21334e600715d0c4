"""The coefficients that move a face, and the published rules about them.

Rows of frames, `[T, 73]`: expression 64, angles (pitch, yaw, roll, in radians) 3, translation 3, then scale and place
(x, y) of the face in its crop 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

EXPRESSION = slice(0, 64)
ANGLES = slice(64, 67)
TRANSLATION = slice(67, 70)
SCALE = 70
# What a difference of expression and of angles counts when frames are compared.
_EXPRESSION_COUNTS, _ANGLES_COUNT = 0.3, 0.7


def crop_ratio(source: Tensor, driving: Tensor) -> Tensor:
    """By what the driver's scales `[T, 73]` are multiplied so that its face is as large as the source's `[1, 73]`.

    That of the sizes in the source and in the driving frame that is most like it.
    """
    expression = (driving[:, EXPRESSION] - source[:, EXPRESSION]).abs().mean(1)
    angles = (driving[:, ANGLES] - source[:, ANGLES]).abs().mean(1)
    best = (_EXPRESSION_COUNTS * expression + _ANGLES_COUNT * angles).argmin()
    return source[0, SCALE] / driving[best, SCALE]


def rescaled(rows: Tensor, ratio: Tensor) -> Tensor:
    """The rows with their scales multiplied."""
    return torch.cat((rows[:, :SCALE], rows[:, SCALE : SCALE + 1] * ratio, rows[:, SCALE + 1 :]), dim=1)
