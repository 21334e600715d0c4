"""The part of a picture that a head can move, prepared once: texture, coarse grid, and where mouth and eyes are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thg_zoo.adapters.warp.anatomy import Anatomy
from thg_zoo.adapters.warp.field import HEAD_CENTRE, HEAD_RADII, HEAD_SEAM, Lines, brow_basis, head_basis, smoothstep
from thg_zoo.adapters.warp.texture import Texture, make_texture

# Coarse nodes per face unit: displacement is smooth at this scale, and is interpolated in between.
_NODES_PER_UNIT = 20
# Face units within which displacement fades out towards the border of the picture, where nothing could be seen.
_BORDER = 0.6


class Box(NamedTuple):
    """Rows y0..y1 and columns x0..x1 of pixels, the ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.y1 <= self.y0 or self.x1 <= self.x0

    def within(self, outer: Box) -> Box:
        """The part inside another box."""
        return Box(max(self.y0, outer.y0), min(self.y1, outer.y1), max(self.x0, outer.x0), min(self.x1, outer.x1))

    def strips(self, pixels: int) -> Iterator[Box]:
        """The box cut into strips of rows that hold at most so many pixels each, or one row; none if it is empty."""
        if self.empty:
            return
        step = max(1, pixels // (self.x1 - self.x0))
        for start in range(self.y0, self.y1, step):
            yield Box(start, min(start + step, self.y1), self.x0, self.x1)

    def moved(self, x: int, y: int) -> Box:
        """The box so many pixels further right and down."""
        return Box(self.y0 + y, self.y1 + y, self.x0 + x, self.x1 + x)


@dataclass(frozen=True)
class Canvas:
    """What painting needs of a source, on the device.

    box: the head in the picture; texture: its pixels; to_face [2, 3], to_pixels [2, 2]: between pixels of the
    picture and face units; points: face coordinates of the coarse nodes [2, n, m]; head: what poses are made of
    there [4, n, m]; brow: [n, m]; patches: mouth, left and right eye at rest, in pixels of the box; anchors: the
    head basis at their centres [4, 3]; lines: the lips; lids: the closed lids' colours [2, 6, n].
    """

    anatomy: Anatomy
    box: Box
    texture: Texture
    to_face: Tensor
    to_pixels: Tensor
    points: Tensor
    head: Tensor
    brow: Tensor
    patches: tuple[Box, Box, Box]
    anchors: Tensor
    lines: Lines
    lids: Tensor

    @property
    def frame(self) -> Box:
        """The box in its own pixels."""
        return Box(0, self.box.y1 - self.box.y0, 0, self.box.x1 - self.box.x0)

    def face_points(self, patch: Box) -> tuple[Tensor, Tensor]:
        """Face coordinates x and y of the pixels of a patch of the box, [h, w] each."""
        device = self.to_face.device
        rows = torch.arange(patch.y0, patch.y1, device=device) + self.box.y0
        columns = torch.arange(patch.x0, patch.x1, device=device) + self.box.x0
        return _face_coordinates(self.to_face, columns, rows)

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """Colours of the source at face points [h, w]: [h, w, 3] in 0..255."""
        a, origin = self.to_pixels, self.to_face[:, 2]
        x, y = x - origin[0], y - origin[1]
        columns = a[0, 0] * x + a[0, 1] * y - self.box.x0
        rows = a[1, 0] * x + a[1, 1] * y - self.box.y0
        return self.texture.at(columns, rows)


def make_canvas(picture: Tensor, anatomy: Anatomy) -> Canvas:
    """The canvas of a face in a picture uint8 [H, W, 3], on the picture's device."""
    device = picture.device
    height, width = picture.shape[:2]
    reach_x, reach_y = (r * (0.87 + HEAD_SEAM) for r in HEAD_RADII)
    frame = Box(0, height, 0, width)
    box = box_of(anatomy, (-reach_x, HEAD_CENTRE[1] - reach_y, reach_x, 2.85)).within(frame)
    to_face = torch.from_numpy(anatomy.matrix).float().to(device)
    rows, columns = (_nodes(a, b, anatomy.unit, device) for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
    x, y = _face_coordinates(to_face, columns, rows)
    fade = _border_fade(columns, rows, (height, width), anatomy.unit)
    areas, centres = _areas(anatomy)
    centre_x, centre_y = torch.tensor(centres, device=device).T
    patches = [box_of(anatomy, area).moved(-box.x0, -box.y0) for area in areas]
    return Canvas(
        anatomy=anatomy,
        box=box,
        texture=make_texture(picture[box.slices]),
        to_face=to_face,
        to_pixels=torch.linalg.inv(to_face[:, :2]),
        points=torch.stack([x, y]),
        head=head_basis(x, y) * fade,
        brow=brow_basis(x, y, anatomy) * fade,
        patches=(patches[0], patches[1], patches[2]),
        anchors=head_basis(centre_x[None], centre_y[None])[:, 0],
        lines=Lines.of(anatomy, device),
        lids=torch.from_numpy(anatomy.lids).to(device).transpose(1, 2).contiguous() * 255,
    )


def _areas(anatomy: Anatomy) -> tuple[list[tuple[float, float, float, float]], list[tuple[float, float]]]:
    """Around mouth and eyes, where layers are painted: x0, y0, x1, y1 in face units, and their centres."""
    left, right = anatomy.corners
    top, bottom = float(anatomy.upper_line.min()), float(anatomy.lower_line.max())
    areas = [(left - 0.12, top - 0.16, right + 0.12, bottom + 0.42)]
    areas += [(e.cx - 0.42, e.cy - e.upper - 0.26, e.cx + 0.42, e.cy + e.lower + 0.16) for e in anatomy.eyes]
    return areas, [((left + right) / 2, bottom), *((e.cx, e.cy) for e in anatomy.eyes)]


def _nodes(start: int, stop: int, unit: float, device: torch.device) -> Tensor:
    """Centres of equal cells that fill the pixels start..stop."""
    n = max(2, math.ceil((stop - start) / unit * _NODES_PER_UNIT))
    return start - 0.5 + (torch.arange(n, device=device) + 0.5) * ((stop - start) / n)


def _face_coordinates(to_face: Tensor, columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    a = to_face
    x = a[0, 0] * columns[None, :] + a[0, 1] * rows[:, None] + a[0, 2]
    y = a[1, 0] * columns[None, :] + a[1, 1] * rows[:, None] + a[1, 2]
    return x, y


def box_of(anatomy: Anatomy, face: tuple[float, float, float, float]) -> Box:
    """The pixels of the picture that a rectangle (x0, y0, x1, y1) in face units covers."""
    x0, y0, x1, y1 = face
    corners = np.array([(x0, y0), (x1, y0), (x0, y1), (x1, y1)]) - anatomy.matrix[:, 2]
    pixels = corners @ np.linalg.inv(anatomy.matrix[:, :2]).T
    low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
    return Box(int(low[1]), int(high[1]), int(low[0]), int(high[0]))


def _border_fade(columns: Tensor, rows: Tensor, size: tuple[int, int], unit: float) -> Tensor:
    """1 inside, falling to 0 at the border of the picture: [n, m]."""
    down, across = (
        smoothstep(torch.minimum(at, length - 1 - at) / (unit * _BORDER))
        for at, length in ((rows, size[0]), (columns, size[1]))
    )
    return down[:, None] * across[None, :]
