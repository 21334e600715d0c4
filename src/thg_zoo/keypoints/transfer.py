"""Motion transfer: the driver's key points seen relative to its first frame, applied to the source.

Source: `normalize_kp` of the first-order-motion reference implementation and its descendants. Only the
initial key points and one number, the movement scale, are global; the rest is per frame, so that a driver can stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thg_zoo.errors import InputError
from thg_zoo.keypoints.points import KeyPoints


def hull_size(points: Tensor) -> float:
    """Area of the convex hull of points `[K, 2]`, or volume of that of points `[K, 3]`.

    Raises InputError when the points lie on one line or plane, so that they have no hull.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(points.detach().cpu().double().numpy()).volume)
    except QhullError as error:
        raise InputError(
            "The key points of the source or of the first driving frame span no area: no face was recognised.",
            "Use a picture and a video in which a face fills the crop, or switch the adaptation of the scale off.",
        ) from error


def movement_scale(source: Tensor, initial: Tensor) -> float:
    """How much larger the source's movements are to be: sqrt of the ratio of the hulls of `[K, 2 or 3]`.

    In three dimensions it is still the square root, of volumes: so the published code has it.
    """
    return float((hull_size(source) / hull_size(initial)) ** 0.5)


def inverse_2x2(matrix: Tensor) -> Tensor:
    """Inverse of matrices `[..., 2, 2]` in closed form."""
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).view_as(matrix)
    return adjugate / (a * d - b * c)[..., None, None]


@dataclass(frozen=True)
class RelativeMotion:
    """Applies a driver's movement since its first frame to the key points of a source.

    value = source + scale (driving - initial); jacobian = J_driving J_initial^-1 J_source, where there are any.
    source has one or B entries, initial one.
    """

    source: KeyPoints
    initial: KeyPoints
    scale: float = 1.0

    @classmethod
    def adapted(cls, source: KeyPoints, initial: KeyPoints) -> RelativeMotion:
        """With movements scaled by `movement_scale` of the first entries."""
        return cls(source, initial, movement_scale(source.value[0], initial.value[0]))

    def __call__(self, driving: KeyPoints) -> KeyPoints:
        """Key points of B driving frames, as the generator takes them."""
        value = (driving.value - self.initial.value) * self.scale + self.source.value
        return KeyPoints(value, self._jacobian(driving.jacobian))

    def _jacobian(self, driving: Tensor | None) -> Tensor | None:
        if driving is None or self.initial.jacobian is None or self.source.jacobian is None:
            return driving
        return driving @ inverse_2x2(self.initial.jacobian) @ self.source.jacobian
