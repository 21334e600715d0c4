"""The part of a source picture that is animated: found by its face or given, cut out upright, and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.faces.choose import choose_face, rule_of
from thg_zoo.faces.detector import Face, FaceDetector
from thg_zoo.faces.face_crop import face_crop
from thg_zoo.faces.paste import feather_mask, paste
from thg_zoo.faces.person_crop import given_crop
from thg_zoo.faces.transforms import matrix_from_box
from thg_zoo.faces.upright import AnyTurn, quarter_turns
from thg_zoo.keypoints.driving_options import CropOptions
from thg_zoo.run import Run

Frame: TypeAlias = NDArray[np.uint8]
Crop: TypeAlias = tuple[int, int, int, int]

# Nearly all faces score more; what scores less is at times none (docs/faces.md).
_CERTAIN = 0.9
# Where the top of a head points (x, y) that quarter turns counter-clockwise bring upright.
_UP = ((0, -1), (1, 0), (0, 1), (-1, 0))


@dataclass(frozen=True)
class SourceCrop:
    """Box (x, y, width, height) and its pixels, turned counter-clockwise by `turns` quarters so that the face is
    upright.
    """

    box: Crop
    pixels: Frame
    turns: int = 0

    def paste(self, rendered: Tensor, photo: Tensor, feather: float) -> Tensor:
        """Rendered crops `[B, 3, S, S]` in the whole photo uint8 `[1, H, W, 3]`, with a soft border: `[B, H, W, 3]`."""
        size = rendered.shape[2], rendered.shape[3]
        rendered = torch.rot90(rendered, -self.turns, (2, 3))
        x, y, width, height = self.box
        matrix = matrix_from_box((x, y, x + width, y + height), size)
        return paste(rendered, photo, matrix, feather_mask(size, feather, rendered.device))


@dataclass(frozen=True)
class Framing:
    """What networks were trained to see about a face: a square with a margin of `increase` times the longer side of its
    box on either side, `raised` by so many of them.
    """

    increase: float = 0.1
    raised: float = 0.0


def crop_source(
    frame: Frame, options: CropOptions, detector: FaceDetector, what: str, run: Run, framing: Framing | None = None
) -> SourceCrop:
    """The crop that the options ask for, with a warning where its face may be none. Raises FaceError where no face is
    found, OptionError for a box outside.
    """
    size, turns = (frame.shape[0], frame.shape[1]), 0
    if options.crop_box is not None:
        box = given_crop(options.crop_box, size, what)
    elif options.crop == "auto":
        faces = AnyTurn(detector).detect([frame])[0]
        face = choose_face(faces, rule_of(options.face), what, "give crop_box or crop=none")
        if face.score < _CERTAIN:
            left, top, right, bottom = (round(float(edge)) for edge in face.box)
            run.warn(
                f"What is taken for a face in {what}, from ({left}, {top}) to ({right}, {bottom}), may be none (score "
                f"{face.score:.2f} of 1). If it is, give crop_box or another picture."
            )
        turns = quarter_turns(face)
        box = _framed(face, turns, size, framing or Framing())
    else:
        box = 0, 0, size[1], size[0]
    return SourceCrop(box, np.ascontiguousarray(np.rot90(cut(frame, box), turns)), turns)


def _framed(face: Face, turns: int, size: tuple[int, int], framing: Framing) -> Crop:
    x1, y1, x2, y2 = (float(v) for v in face.box)
    across, down = (v * framing.raised * max(x2 - x1, y2 - y1) for v in _UP[turns % 4])
    return face_crop((x1 + across, y1 + down, x2 + across, y2 + down), size, framing.increase)


def cut(frame: Frame, box: Crop) -> Frame:
    """The pixels of a box (x, y, width, height)."""
    x, y, width, height = box
    return np.ascontiguousarray(frame[y : y + height, x : x + width])
