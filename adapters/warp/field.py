"""Where each point of a moved face comes from: displacement fields in face units.

All maps go backwards, from a point of the finished frame to the point of the source that is seen there.
They are sums of a few smooth bumps whose slopes stay below one, so nothing folds; the one cut is the line
between the lips, where the upper and the lower map part (`mouth_maps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from thg_zoo.adapters.warp.anatomy import LINE_RANGE, LINE_SAMPLES, Anatomy

# Face units by which the lower lip falls when the jaw is fully open, and how much of that the chin follows.
JAW_DROP = 0.26
_CHIN_SHARE = 0.65
# The part of a mouth's width by which it widens or narrows, and of an open jaw's drop by which the upper lip rises.
_WIDENING = 0.2
_LIP_LIFT = 0.14
_BROW_LIFT = 0.06
# Where the head ends and the body holds still: ellipse in face units (centre, radii), and the width of the seam.
HEAD_CENTRE, HEAD_RADII, HEAD_SEAM = (0.0, 0.3), (1.25, 1.65), 0.75
# The part of the face, x0, y0, x1, y1, whose displacement a driving video gives.
FLOW_WINDOW = (-1.0, -0.7, 1.0, 1.8)
# A pose: two turns out of the picture's plane in radians, and what an affine map of the plane, x' = x + xx * x +
# xy * y + x1 and so on for y', adds to a point of the finished frame on its way back to the source.
POSE = ("yaw", "pitch", "xx", "xy", "x1", "yx", "yy", "y1")

# `_chin(0)`: the share of the jaw's fall at the parting of the lips.
_CHIN_RISE = 1 / 0.65
_CHIN_AT_LINE = (0.27 * _CHIN_RISE) ** 2 * (3 - 2 * 0.27 * _CHIN_RISE)


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, with level ends in between."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def bell(squared: Tensor) -> Tensor:
    """exp(-t * t) for squared = t * t, within 0.04, and exactly 0 from t = 2 on.

    A polynomial: PyTorch splits exp among threads at any size, and waiting for them costs more than it gains.
    """
    base = (1 - squared * 0.25).clamp(min=0)
    base = base * base
    return base * base


def head_weight(x: Tensor, y: Tensor) -> Tensor:
    """1 on the head, 0 on body and background, and a wide slope between that neck and hair absorb."""
    radius = torch.sqrt(((x - HEAD_CENTRE[0]) / HEAD_RADII[0]) ** 2 + ((y - HEAD_CENTRE[1]) / HEAD_RADII[1]) ** 2)
    # Downwards the neck begins earlier and gives way over a longer stretch.
    below = smoothstep((y - 1.5) / 1.3)
    return (1 - smoothstep((radius - 0.85) / HEAD_SEAM)) * (1 - below)


def head_basis(x: Tensor, y: Tensor) -> Tensor:
    """What poses are made of, [4, h, w]: depth, x, y and 1, each within the head only.

    Small turns are linear in the angle: a point at depth z in front of the neck's axis moves by angle * z. The
    depth is that of an ellipsoid with a nose.
    """
    depth = 1.5 * bell(x * x + ((y - 0.45) / 1.5) ** 2)
    depth = depth + 0.28 * bell((x / 0.2) ** 2 + ((y - 0.5) / 0.28) ** 2)
    return torch.stack([depth, x, y, torch.ones_like(x)]) * head_weight(x, y)


def head_displacement(pose: Sequence[float], basis: Tensor) -> tuple[Tensor, Tensor]:
    """What a pose (see `POSE`) adds to x and to y on the way back to the source; basis: from `head_basis`."""
    yaw, pitch, xx, xy, x1, yx, yy, y1 = pose
    depth, x, y, one = basis
    return xx * x + xy * y + x1 * one - yaw * depth, yx * x + yy * y + y1 * one - pitch * depth


def expression(flow: Tensor, points: Tensor) -> Tensor:
    """A driving face's own displacement [2, k, l], given over `FLOW_WINDOW`, at points [2, h, w]: [2, h, w]."""
    x0, y0, x1, y1 = FLOW_WINDOW
    grid = torch.stack([(points[0] - x0) / (x1 - x0), (points[1] - y0) / (y1 - y0)], -1) * 2 - 1
    return F.grid_sample(flow[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True)[0]


def brow_basis(x: Tensor, y: Tensor, anatomy: Anatomy) -> Tensor:
    """How far raised brows lift a point, [h, w], in face units."""
    total = torch.zeros_like(x)
    for eye in anatomy.eyes:
        height = (y - (eye.cy - 0.27)) / 0.2
        total = total + bell(((x - eye.cx) / 0.38) ** 2 + height**2)
    return total.clamp(max=1) * _BROW_LIFT


def look_up(table: Tensor, span: tuple[float, float], at: Tensor) -> Tensor:
    """A table [c, n] of values at equal steps over a span, linear in between, at [h, w]: [c, h, w]."""
    place = (at - span[0]) * (2 / (span[1] - span[0])) - 1
    grid = torch.stack([place, torch.zeros_like(place)], -1)[None]
    return F.grid_sample(table[None, :, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]


class Lines(NamedTuple):
    """The lips at rest: inner edges, upper and lower, as a table [2, n]; the mouth's middle, half width and height;
    the height of the teeth's upper end."""

    table: Tensor
    centre: float
    half: float
    height: float
    arc: float

    @classmethod
    def of(cls, anatomy: Anatomy, device: torch.device) -> Lines:
        """The lines of an anatomy on a device."""
        left, right = anatomy.corners
        middle = (left + right) / 2
        near = np.abs(np.linspace(*LINE_RANGE, LINE_SAMPLES) - middle) < 0.2
        return cls(
            table=torch.from_numpy(np.stack([anatomy.upper_line, anatomy.lower_line])).to(device),
            centre=middle,
            half=(right - left) / 2,
            height=float(anatomy.lower_line[LINE_SAMPLES // 2]),
            arc=float(np.median(anatomy.upper_line[near])),
        )


class MouthMaps(NamedTuple):
    """What the mouth does to points (x, y): see `mouth_maps`."""

    from_upper: Tensor
    from_lower: Tensor
    upper_edge: Tensor
    lower_edge: Tensor
    rest_upper: Tensor
    rest_lower: Tensor
    across: Tensor


def widen(x: Tensor, y: Tensor, lines: Lines, width: float, jaw: float) -> Tensor:
    """The x from which a point comes when the mouth is spread (width > 0) or rounded (< 0)."""
    u = (x - lines.centre) / (lines.half * 1.35)
    v = (y - lines.height - 0.05) / 0.42
    # An opening jaw draws the corners in.
    return x - (width - 0.35 * jaw) * _WIDENING * (x - lines.centre) * bell(u * u + v * v)


def mouth_maps(x: Tensor, y: Tensor, lines: Lines, jaw: float, closure: float) -> MouthMaps:
    """The vertical maps above and below the parting of the lips.

    x, y: [h, w] in face units, x as `widen` gives it; jaw and closure: 0..1.
    Gives the y from which a point comes as part of the upper and of the lower face, where the lips' edges are
    now and at rest, and how far a point is from the middle of the mouth (0) to a corner (1 and beyond).
    """
    across = (x - lines.centre) / lines.half
    square = across * across
    # A lens with a flat middle; zero from the corners on, where both maps are one.
    lens = ((1 - square) * (1 + 0.5 * square)).clamp(min=0)
    rest_upper, rest_lower = look_up(lines.table, LINE_RANGE, x)
    drop = jaw * JAW_DROP
    gap = rest_lower - rest_upper
    jawline = drop * _CHIN_SHARE * bell(((x - lines.centre) * (1 / 0.62)) ** 2)
    lip = (drop * (1 - _CHIN_SHARE * _CHIN_AT_LINE) - closure * gap * 0.75) * lens
    lower_edge = rest_lower + jawline * _CHIN_AT_LINE + lip
    lift = (closure * gap * 0.25 - drop * _LIP_LIFT) * lens
    upper_edge = rest_upper + jawline * _CHIN_AT_LINE * (1 - lens) + lift
    below, above = y - lower_edge, y - upper_edge
    from_lower = y - jawline * _chin(below) - lip * bell((below * (1 / 0.3)) ** 2)
    hold = bell((above * 5) ** 2)
    from_upper = y - jawline * _chin(above) * (1 - lens * hold) - lift * hold
    return MouthMaps(from_upper, from_lower, upper_edge, lower_edge, rest_upper, rest_lower, across)


def _chin(v: Tensor) -> Tensor:
    """How much of the jaw's fall a point v below the mouth takes part in: the chin wholly, the neck less and less."""
    return smoothstep((v + 0.27) * _CHIN_RISE) * (1 - smoothstep((v - 0.68) / 0.75))
