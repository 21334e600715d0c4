"""What IP_LAP does before and after its networks, as the published program does it, number for number.

Frames are RGB uint8 [H, W, 3]. Points are in pixels of the frame, landmarks in parts of the face crop, x before y.
Boxes are int64 [4]: top, bottom, left, right, the first inside and the second outside of the box.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.iplap.points import LOWER_LIP, UPPER_LIP
from thg_zoo.adapters.iplap.sketch import SIDE
from thg_zoo.inputs import Frame

Box: TypeAlias = NDArray[np.int64]
Points: TypeAlias = NDArray[np.float32]

# Pixels around the points, whatever the size of the face.
_MARGIN = 25
# The paste's soft edge: side and standard deviation of a Gaussian.
_BLUR, _SIGMA = 21, 11


def face_box(points: Points, size: tuple[int, int]) -> Box:
    """Around the points `[131, 2]`, with a margin, inside a frame of (height, width) `size`. May be empty."""
    limit = np.array(size[::-1])
    left, top = np.clip(points.min(axis=0) - _MARGIN, 0, limit).astype(int)
    right, bottom = np.clip(points.max(axis=0) + _MARGIN, 0, limit).astype(int)
    return np.array([top, bottom, left, right], dtype=np.int64)


def to_crop(points: Points, box: Box) -> Points:
    """Points `[131, 2]` as landmarks `[2, 131]` of the crop."""
    corner, size = box[[2, 0]], box[[3, 1]] - box[[2, 0]]
    landmarks: Points = ((points - corner) / size).T.astype(np.float32)
    return landmarks


def from_crop(landmarks: Points, box: Box) -> NDArray[np.float64]:
    """Landmarks `[2, n]` of the crop as points `[n, 2]` of the frame."""
    points: NDArray[np.float64] = landmarks.T * (box[[3, 1]] - box[[2, 0]]) + box[[2, 0]]
    return points


def lip_opening(points: Points, size: tuple[int, int]) -> float:
    """How far the lips' outer middles are apart, in parts of the frame's height and width."""
    apart = (points[UPPER_LIP] - points[LOWER_LIP]) / np.array(size[::-1])
    return float(np.hypot(*apart))


def reference_ranks(n: int, count: int) -> NDArray[np.int64]:
    """`count` places out of n, evenly from the first to the last; in single precision, as published."""
    return torch.linspace(0, n - 1, count).to(torch.int64).numpy()


def cut_face(frame: Frame, box: Box) -> Frame:
    """The box as 128 x 128 pixels, its proportions ignored."""
    top, bottom, left, right = box
    return np.asarray(cv2.resize(frame[top:bottom, left:right], (SIDE, SIDE)), dtype=np.uint8)


def network_faces(faces: NDArray[np.uint8], device: torch.device) -> Tensor:
    """RGB uint8 [B, 128, 128, 3] to BGR `[B, 3, 128, 128]` in 0..1."""
    return torch.from_numpy(faces).to(device).flip(-1).permute(0, 3, 1, 2).float() / 255


def levels(faces: Tensor) -> Tensor:
    """BGR `[B, 3, 128, 128]` in 0..1 to RGB uint8 [B, 128, 128, 3]. As published, fractions are cut off."""
    return (faces.float() * 255).to(torch.uint8).permute(0, 2, 3, 1).flip(-1)


def paste_face(frame: Frame, face: Frame, box: Box, outline: NDArray[np.float64]) -> None:
    """Writes the network's face [128, 128, 3], enlarged to its box, into the frame, in place.

    It is shown within the convex outline `[n, 2]`, with a soft edge; beyond the box the frame stays.
    """
    top, bottom, left, right = (int(side) for side in box)
    generated = frame.copy()
    generated[top:bottom, left:right] = cv2.resize(face, (right - left, bottom - top))
    blend(frame, generated, outline)


def blend(frame: Frame, generated: Frame, outline: NDArray[np.float64]) -> None:
    """What `generated` shows within the outline into `frame`, in place; both [H, W, 3]. Fractions are cut off."""
    reach = 2 * _BLUR
    corners = outline.astype(int)
    low = np.maximum(corners.min(axis=0) - reach, 0)
    high = np.minimum(corners.max(axis=0) + reach, frame.shape[1::-1])
    if (low >= high).any():
        return
    window = slice(low[1], high[1]), slice(low[0], high[0])
    weight = soften(fill_outline(corners - low, (high - low)[::-1]))[..., None] / 255
    frame[window] = (generated[window] * weight + frame[window] * (1 - weight)).astype(np.uint8)


def fill_outline(corners: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """255 within the corners `[n, 2]`, 0 outside: [height, width]."""
    mask = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(mask, corners.astype(np.int32), (255,))
    return mask


def soften(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask with a soft edge."""
    return np.asarray(cv2.GaussianBlur(mask, (_BLUR, _BLUR), _SIGMA), dtype=np.uint8)
