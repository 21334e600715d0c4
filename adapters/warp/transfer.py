"""Motion taken from a driving video, relative to its first frame.

The head's motion comes from the tracked points. What the face itself does is measured in a crop that moves with
the head: dense optical flow (DIS, Kroeger et al. 2016) back to the first frame gives brows and cheeks as a
small displacement map; mouth and lids, which open onto what no flow can find in a still picture, become the
same parameters that speech gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.warp.anatomy import TEMPLATE
from thg_zoo.adapters.warp.field import FLOW_WINDOW, JAW_DROP
from thg_zoo.faces.detector import Face
from thg_zoo.faces.transforms import apply, compose, invert, similarity_from_points, warp_crop
from thg_zoo.inputs import Frame

Matrix = NDArray[np.float64]
Map = NDArray[np.float32]

# Samples per face unit in the crop that flow is computed on, and nodes per face unit of what is kept of it.
_DENSITY, _NODES = 48, 16
# Eyes and nose say how the head moves; the corners of the mouth also speak.
_WEIGHTS = (3, 3, 3, 1, 1)
# Face units by which the outline of the head (some of its points x, y, 1) may move: farther, and its surroundings
# would fold.
_MOST_SHIFT = 0.3
_HEAD = np.array([(-1.1, 0.0, 1.0), (1.1, 0.0, 1.0), (0.0, -1.3, 1.0), (0.0, 1.5, 1.0)])
# Face units that the flow approaches at most.
_MOST_FLOW = 0.12
# Regions x0, y0, x1, y1 in face units.
_CHIN, _NOSE, _MOUTH = (-0.25, 1.4, 0.25, 1.75), (-0.15, 0.45, 0.15, 0.7), (-0.3, 0.98, 0.3, 1.4)
_CORNERS = ((-0.5, 1.0, -0.3, 1.25), (0.3, 1.0, 0.5, 1.25))
_EYES = ((-0.68, -0.09, -0.36, 0.09), (0.36, -0.09, 0.68, 0.09))
_CHEEKS = ((-0.55, 0.45, -0.3, 0.7), (0.3, 0.45, 0.55, 0.7))


class _Look(NamedTuple):
    """Measures of one frame: its crop in grey, how much of the mouth's inside shows, the contrast of the eyes."""

    grey: NDArray[np.uint8]
    mouth: float
    eyes: float


def follow(
    frames: Iterable[tuple[Frame, Face | None]], mouth: float, head_motion: float
) -> Iterator[dict[str, Tensor]]:
    """Motion of each tracked frame as `painting.paint` takes it, with a first dimension of 1.

    mouth, head_motion: strengths (see the options). A frame without a face repeats the motion before it.
    """
    follower: _Follower | None = None
    motion = _rest()
    for frame, face in frames:
        if face is not None and face.points is not None:
            follower = follower or _Follower(frame, face.points)
            motion = follower.motion(frame, face.points, mouth, head_motion)
        yield motion


class _Follower:
    """Compares frames with the first one. frame: uint8 [H, W, 3]; points: the face's five [5, 2]."""

    def __init__(self, frame: Frame, points: NDArray[np.float32]) -> None:
        self._neutral = similarity_from_points(
            np.repeat(points, _WEIGHTS, axis=0), np.repeat(TEMPLATE, _WEIGHTS, axis=0)
        )
        # The person's own proportions, so that they do not pass for motion.
        self._own = np.repeat(apply(self._neutral, points), _WEIGHTS, axis=0)
        self._first = self._look(frame, self._neutral)
        self._open_eyes = self._first.eyes
        # Any: OpenCV's stubs do not know that a first guess is optional.
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._kept = _kept()

    def motion(self, frame: Frame, points: NDArray[np.float32], mouth: float, head_motion: float) -> dict[str, Tensor]:
        """One frame's parameters."""
        matrix = similarity_from_points(np.repeat(points, _WEIGHTS, axis=0), self._own)
        look = self._look(frame, matrix)
        flow = self._flow.calc(look.grey, self._first.grey, None) / np.float32(_DENSITY)
        flow = cv2.GaussianBlur(flow, (0, 0), 2.5)
        fall = _median(flow, _NOSE)[1] - _median(flow, _CHIN)[1]
        opened = (look.mouth - self._first.mouth) * 1.6
        jaw = float(np.clip(0.85 * (fall / (0.7 * JAW_DROP) + opened) - 0.05, 0, 1))
        spread = (_median(flow, _CORNERS[0])[0] - _median(flow, _CORNERS[1])[0]) / 0.16
        # Eyes that were shut at first open later: the widest seen counts as open.
        self._open_eyes = max(self._open_eyes, look.eyes)
        shut = (0.75 - look.eyes / max(self._open_eyes, 1e-3)) / 0.35
        # Where the head turns far, flow goes astray: what no brow or cheek can do is held back.
        held = flow * (_MOST_FLOW / (_MOST_FLOW + np.linalg.norm(flow, axis=-1, keepdims=True)))
        small = cv2.resize(held * self._kept, _size(_NODES), interpolation=cv2.INTER_AREA)
        turned = compose(invert(self._neutral), matrix) - np.eye(2, 3)
        return {
            "pose": torch.from_numpy(_pose(turned, head_motion))[None],
            "mouth": torch.tensor([[jaw * mouth, float(np.clip(spread, -1, 1)) * mouth, 0.0]]),
            "eyes": torch.tensor([[float(np.clip(shut, 0, 1)), 0.0]]),
            "flow": torch.from_numpy(small.transpose(2, 0, 1).copy())[None] * min(head_motion, 1.0),
        }

    @staticmethod
    def _look(frame: Frame, matrix: Matrix) -> _Look:
        to_crop = matrix * _DENSITY
        to_crop[:, 2] -= np.array(FLOW_WINDOW[:2]) * _DENSITY
        width, height = _size(_DENSITY)
        crop = warp_crop(frame, to_crop, (height, width))
        grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
        skin = float(np.median(np.concatenate([_region(grey, cheek).ravel() for cheek in _CHEEKS])))
        # From left to right an eye has two edges between white and iris, a closed one has none.
        eyes = np.concatenate([np.diff(_region(grey, eye).astype(np.float32), axis=1) for eye in _EYES])
        # Parted lips show the dark, or teeth brighter than skin.
        lips = _region(grey, _MOUTH).astype(np.float32)
        parted = np.clip((0.5 * skin - lips) / (0.1 * skin + 1) + 0.5, 0, 1) + np.clip(
            (lips - 1.12 * skin) / (0.1 * skin + 1), 0, 1
        )
        return _Look(grey, float(parted.mean()), float(np.abs(eyes).mean()))


def _size(density: int) -> tuple[int, int]:
    """Width and height of the window at so many samples per face unit."""
    x0, y0, x1, y1 = FLOW_WINDOW
    return round((x1 - x0) * density), round((y1 - y0) * density)


def _region(values: NDArray[Any], region: tuple[float, float, float, float]) -> NDArray[Any]:
    x0, y0, x1, y1 = (round(v * _DENSITY) for v in region)
    left, top = round(FLOW_WINDOW[0] * _DENSITY), round(FLOW_WINDOW[1] * _DENSITY)
    return values[y0 - top : y1 - top, x0 - left : x1 - left]


def _median(flow: Map, region: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """The usual displacement (x, y) within a region."""
    inside: NDArray[np.float32] = np.median(_region(flow, region).reshape(-1, 2), axis=0)
    return inside


def _kept() -> Map:
    """How much of the flow is passed on, [h, w, 1]: the upper face, without the eyes, fading at the window's ends."""
    width, height = _size(_DENSITY)
    x = (np.arange(width) + 0.5) / _DENSITY + FLOW_WINDOW[0]
    y = ((np.arange(height) + 0.5) / _DENSITY + FLOW_WINDOW[1])[:, None]
    across, above, below = (
        np.clip((1 - np.abs(x)) / 0.3, 0, 1),
        np.clip((y + 0.7) / 0.3, 0, 1),
        np.clip((1.05 - y) / 0.35, 0, 1),
    )
    kept = across * above * below
    for eye in (-0.52, 0.52):
        kept = kept * (1 - np.exp(-(((x - eye) / 0.24) ** 4) - ((y / 0.13) ** 4)))
    return np.asarray(cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 2), np.float32)[..., None]


def _pose(turned: Matrix, strength: float) -> NDArray[np.float32]:
    """A change of the plane [2, 3] as a pose (see `field.POSE`), softly limited."""
    farthest = strength * float(np.linalg.norm(_HEAD @ turned.T, axis=1).max())
    held = strength * _MOST_SHIFT * np.tanh(farthest / _MOST_SHIFT) / max(farthest, 1e-6)
    return np.concatenate([[0.0, 0.0], (turned * held).ravel()]).astype(np.float32)


def _rest() -> dict[str, Tensor]:
    width, height = _size(_NODES)
    return {
        "pose": torch.zeros(1, 8),
        "mouth": torch.zeros(1, 3),
        "eyes": torch.zeros(1, 2),
        "flow": torch.zeros(1, 2, height, width),
    }
