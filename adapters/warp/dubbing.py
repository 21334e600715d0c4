"""New speech for a talking video: the mouth of its calmest frame speaks, set into every frame.

What the mouth in a frame is doing cannot be undone by warping it, so the lower face is replaced by an animated
one from the same video, placed by the tracked points and blended at a soft border (the idea of Video Rewrite,
Bregler, Covell and Slaney 1997, with one mouth that is animated instead of many that are searched).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.warp.anatomy import points_of, unrest
from thg_zoo.adapters.warp.canvas import Box, Canvas, box_of
from thg_zoo.adapters.warp.field import smoothstep
from thg_zoo.faces.choose import FaceRule, choose_face
from thg_zoo.faces.detector import Face, FaceDetector
from thg_zoo.faces.paste import paste
from thg_zoo.faces.transforms import apply, compose, invert, similarity_from_points
from thg_zoo.inputs import Frame, Source
from thg_zoo.run import Run

Matrix = NDArray[np.float64]

# The calmest frame is looked for among every _STEP-th of the first _STEP * _LOOKS frames.
_STEP, _LOOKS = 8, 30
# The replaced region in face units: centre and radii of an ellipse, and the share of them over which it fades.
_CENTRE, _RADII, _FADE = (0.0, 1.32), (0.72, 0.72), 0.4
# Eyes and nose place the face: the corners of the mouth move with the old speech.
_WEIGHTS = (3, 3, 3, 1, 1)


@dataclass(frozen=True)
class Setting:
    """How the lower face is set into frames.

    own: the reference frame's points in face units, weighted by repetition; to_face: from its pixels to face units;
    region: the part of the canvas that is set in; mask: its weights [h, w].
    """

    own: Matrix
    to_face: Matrix
    region: Box
    mask: Tensor


def calmest_frame(source: Source, detector: FaceDetector, rule: FaceRule, run: Run) -> tuple[Frame, Face]:
    """The most frontal, closed-mouthed face near the beginning, with its frame. Raises FaceError if there is none."""
    best: tuple[float, Frame, Face] | None = None
    for i, frame in enumerate(itertools.islice(source.frames(), 0, _STEP * _LOOKS, _STEP)):
        run.advance("find a calm frame", i, None)
        faces = detector.detect([frame])[0]
        if not faces:
            continue
        face = choose_face(faces, rule, source.name)
        score = unrest(frame, points_of(face))
        if best is None or score < best[0]:
            best = score, frame, face
    if best is None:
        first = source.first()
        return first, choose_face([], rule, source.name)
    return best[1], best[2]


def make_setting(canvas: Canvas, points: NDArray[np.float32]) -> Setting:
    """The setting for the canvas of the reference frame, whose face has these five points."""
    x, y = zip(*((c - r, c + r) for c, r in zip(_CENTRE, _RADII, strict=True)), strict=True)
    area = (x[0], x[1], y[0], y[1])
    region = box_of(canvas.anatomy, area).moved(-canvas.box.x0, -canvas.box.y0).within(canvas.frame)
    px, py = canvas.face_points(region)
    radius = torch.sqrt(((px - _CENTRE[0]) / _RADII[0]) ** 2 + ((py - _CENTRE[1]) / _RADII[1]) ** 2)
    own = np.repeat(apply(canvas.anatomy.matrix, points), _WEIGHTS, axis=0)
    return Setting(own, canvas.anatomy.matrix, region, smoothstep((1 - radius) / _FADE))


def place(setting: Setting, face: Face) -> Matrix:
    """From the pixels of a frame to those of the reference frame, [2, 3]."""
    to_face = similarity_from_points(np.repeat(points_of(face), _WEIGHTS, axis=0), setting.own)
    return compose(to_face, invert(setting.to_face))


def set_in(painted: Tensor, frames: Tensor, places: Sequence[Matrix], canvas: Canvas, setting: Setting) -> Tensor:
    """Frames uint8 [B, H, W, 3] with the painted lower faces; painted: head boxes, uint8 [B, 3, h, w]."""
    rows, columns = setting.region.slices
    matrices = np.stack(places)
    matrices[:, :, 2] -= (canvas.box.x0 + setting.region.x0, canvas.box.y0 + setting.region.y0)
    return paste(painted[:, :, rows, columns].float() / 255, frames, matrices, setting.mask)
