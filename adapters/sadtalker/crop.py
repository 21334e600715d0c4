"""Which part of the photo the networks see: the five preprocess modes of the published program.

The rule is that of the FFHQ alignment (Karras et al., CVPR 2019) without its rotation: an upright box about the eyes
and the mouth. Its quirks are kept where they shape the picture: the lower edge is limited by the width, and the modes
extcrop and extfull take the aspect of the smaller box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import FaceError
from thg_zoo.face3d.points import Points, eyes_and_mouth
from thg_zoo.faces.detector import Picture

Preprocess: TypeAlias = Literal["crop", "extcrop", "resize", "full", "extfull"]
Edges: TypeAlias = tuple[int, int, int, int]

# Faces that fill more than this are measured in a photo shrunk by a whole number.
_LARGEST = 512
# How much longer the half side of the box is than the distance of the eyes, or from the eyes to the mouth.
_PER_EYES, _PER_FACE = 2.0, 1.8
# How far below the eyes the centre lies, and the margin around the box, as fractions.
_CENTRE, _MARGIN = 0.1, 0.1


@dataclass(frozen=True)
class Cut:
    """Where a photo is cut. Edges are x1, y1, x2, y2 in pixels: `photo[y1:y2, x1:x2]`.

    photo: (width, height) of the photo. shrunk: the same after shrinking, which everything else refers to. outer:
    the box with its margin. inner: the box itself, relative to `outer`, not rounded; both are None where nothing
    is cut. extended: whether the margin is shown.
    """

    photo: tuple[int, int]
    shrunk: tuple[int, int]
    outer: Edges | None = None
    inner: tuple[float, float, float, float] | None = None
    extended: bool = False

    @property
    def box(self) -> Edges:
        """What is cut from the shrunk photo."""
        if self.outer is None:
            return 0, 0, *self.shrunk
        return self.outer if self.extended else self._inner_edges()

    @property
    def shown(self) -> tuple[int, int]:
        """(width, height) whose aspect the published program gives the video: of the inner box, margin or not."""
        if self.outer is None:
            return self.photo
        x1, y1, x2, y2 = self._inner_edges()
        return x2 - x1, y2 - y1

    @property
    def place(self) -> Edges:
        """What is cut, in pixels of the photo itself: where the animated part goes back to.

        The published program pastes with the numbers of the shrunk photo, into the wrong place.
        """
        if self.shrunk == self.photo:
            return self.box
        x1, y1, x2, y2 = self.box
        across, down = (full / small for full, small in zip(self.photo, self.shrunk, strict=True))
        return round(x1 * across), round(y1 * down), round(x2 * across), round(y2 * down)

    def video_size(self, size: int) -> tuple[int, int]:
        """(height, width) of the published video of crops animated at `size` x `size`, at least one pixel high."""
        width, height = self.shown
        return max(1, int(size * height / width)), size

    def _inner_edges(self) -> Edges:
        """Within the margin. The published program forgets that limit when it counts, and then cannot paste."""
        assert self.outer is not None
        assert self.inner is not None
        left, top, right, bottom = self.outer
        x1, y1, x2, y2 = (int(v) for v in self.inner)
        return left + x1, top + y1, min(left + x2, right), min(top + y2, bottom)


def plan_cut(points: Points | None, photo: tuple[int, int], mode: Preprocess, what: str = "the picture") -> Cut:
    """Where a photo of (width, height) is cut so that the face with `points` is placed as in training.

    points: float [68, 2] or the five points [5, 2], x and y in pixels of the photo; needed by all modes but resize.
    Raises FaceError if the face lies outside the photo. what: the photo's name, for messages.
    """
    if mode == "resize":
        return Cut(photo, photo)
    assert points is not None
    corners, side = _corners(points)
    shrink = math.floor(side / _LARGEST * 0.5)
    shrunk = photo
    if shrink > 1:
        shrunk = int(np.rint(photo[0] / shrink)), int(np.rint(photo[1] / shrink))
        corners, side = corners / shrink, side / shrink
    outer = _with_margin(corners, side, shrunk)
    if outer[2] - outer[0] < shrunk[0] or outer[3] - outer[1] < shrunk[1]:
        corners = corners - outer[:2]
    cut = Cut(photo, shrunk, outer, _edges(corners, shrunk), extended=mode in ("extcrop", "extfull"))
    if min(cut.shown) < 1 or cut.box[2] <= cut.box[0] or cut.box[3] <= cut.box[1]:
        raise FaceError(f"The face lies outside {what}.", "Give a picture that shows more around the face.")
    return cut


def cut_picture(photo: Picture, cut: Cut, size: int) -> Picture:
    """What the networks see: RGB uint8 [size, size, 3], bilinear, its aspect not kept."""
    if cut.shrunk != cut.photo:
        photo = _resized(photo, cut.shrunk)
    x1, y1, x2, y2 = cut.box
    return _resized(photo[y1:y2, x1:x2], (size, size))


def moved_points(points: Points, cut: Cut, size: int) -> Points:
    """Points of the photo as points of the cut picture of `size` x `size`: float32, as many."""
    x1, y1, x2, y2 = cut.box
    shrink = np.array(cut.shrunk) / np.array(cut.photo)
    moved: Points = ((points * shrink - (x1, y1)) * size / (x2 - x1, y2 - y1)).astype(np.float32)
    return moved


def _corners(points: Points) -> tuple[NDArray[np.float64], float]:
    """The four corners [4, 2] of the turned square about a face, and its side."""
    left_eye, right_eye, left_mouth, right_mouth = eyes_and_mouth(points)
    eyes, mouth = (left_eye + right_eye) * np.float32(0.5), (left_mouth + right_mouth) * np.float32(0.5)
    between, down = right_eye - left_eye, mouth - eyes
    turned = np.array([-1, 1])
    x = between - np.flipud(down) * turned
    length = math.hypot(*x)
    if not np.isfinite(points).all() or length < 1:
        raise FaceError("The points of the face coincide or are not finite.", "Use a clearer or larger face.")
    x = x / length * max(math.hypot(*between) * _PER_EYES, math.hypot(*down) * _PER_FACE)
    y = np.flipud(x) * turned
    centre = eyes + down * _CENTRE
    corners = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return corners.astype(np.float64), 2 * math.hypot(*x)


def _with_margin(corners: NDArray[np.float64], side: float, picture: tuple[int, int]) -> Edges:
    margin = max(int(np.rint(side * _MARGIN)), 3)
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    return (
        max(int(low[0]) - margin, 0),
        max(int(low[1]) - margin, 0),
        min(int(high[0]) + margin, picture[0]),
        min(int(high[1]) + margin, picture[1]),
    )


def _edges(corners: NDArray[np.float64], picture: tuple[int, int]) -> tuple[float, float, float, float]:
    first, second, third, fourth = (corners + 0.5).tolist()
    return (
        max(min(first[0], second[0]), 0.0),
        max(min(first[1], fourth[1]), 0.0),
        float(min(max(third[0], fourth[0]), picture[0])),
        # The width limits the height as well, as published.
        float(min(max(second[1], third[1]), picture[0])),
    )


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
