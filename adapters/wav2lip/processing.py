"""What Wav2Lip does before and after its network, as the published program does it, number for number.

Frames are RGB uint8 [H, W, 3]. Boxes are int64 [4]: top, bottom, left, right in pixels, the first inside and the
second outside of the box: the order in which the program's options name sides, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.wav2lip.networks import FACE_SIZE
from thg_zoo.errors import OptionError
from thg_zoo.faces.smoothing import forward_means

Frame: TypeAlias = NDArray[np.uint8]
Box: TypeAlias = NDArray[np.int64]
Sides: TypeAlias = tuple[int, int, int, int]

_SMOOTHED_ROWS = 5


# Frames.


def transform_frame(frame: Frame, resize_factor: int, rotate: bool, crop: Sides) -> Frame:
    """A frame of a video made smaller by a whole factor, turned by 90 degrees clockwise, and cropped, in this order.

    crop: top, bottom, left, right; -1 for bottom or right is the edge. Raises OptionError if nothing is left.
    """
    if resize_factor > 1:
        size = frame.shape[1] // resize_factor, frame.shape[0] // resize_factor
        if min(size) < 1:
            raise OptionError(f"resize_factor={resize_factor} leaves nothing of the frame.", "Take a smaller one.")
        frame = _resize(frame, size)
    if rotate:
        frame = np.rot90(frame, -1)
    top, bottom, left, right = crop
    cropped = frame[top : frame.shape[0] if bottom == -1 else bottom, left : frame.shape[1] if right == -1 else right]
    if not cropped.size:
        raise OptionError(f"crop={crop} leaves nothing of the frame.", "The order is top, bottom, left, right.")
    return np.ascontiguousarray(cropped)


# Boxes.


def padded_box(corners: NDArray[np.float32], pads: Sides, size: tuple[int, int]) -> Box:
    """The box of a detected face, grown by `pads` (top, bottom, left, right; they may be negative).

    corners: x1, y1, x2, y2 as the detector gives them; size: height and width of the frame, to which the box is
    clamped. May be empty.
    """
    x1, y1, x2, y2 = (int(c) for c in np.maximum(corners, 0))
    top, bottom, left, right = pads
    height, width = size
    sides = max(0, y1 - top), min(height, y2 + bottom), max(0, x1 - left), min(width, x2 + right)
    return np.array(sides, dtype=np.int64)


def fixed_box(box: Sides, size: tuple[int, int]) -> Box:
    """The box of option `box`. Raises OptionError if it is empty or not inside a frame of (height, width) `size`."""
    top, bottom, left, right = box
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        raise OptionError(
            f"box={box} is not inside the frame of {size[1]} x {size[0]} pixels.",
            "The order is top, bottom, left, right, in pixels of the frame after resizing, rotating and cropping.",
        )
    return np.array(box, dtype=np.int64)


def smooth_boxes(boxes: Iterable[Box]) -> Iterator[Box]:
    """Each box replaced by the mean of itself and the four that follow, cut to whole pixels; see `forward_means`."""
    return forward_means(boxes, _SMOOTHED_ROWS, _mean_box)


def _mean_box(rows: list[Box]) -> Box:
    mean: Box = np.trunc(np.mean(rows, axis=0)).astype(np.int64)
    return mean


# Into the network and out of it.


def cut_face(frame: Frame, box: Box) -> Frame:
    """The box as 96 x 96 pixels, its proportions ignored."""
    top, bottom, left, right = box
    return _resize(frame[top:bottom, left:right], (FACE_SIZE, FACE_SIZE))


def network_input(faces: Tensor) -> Tensor:
    """RGB uint8 [B, 96, 96, 3] -> float32 [B, 6, 96, 96]: BGR with the lower half blacked out, then BGR."""
    whole = faces.flip(-1).permute(0, 3, 1, 2).float() / 255
    masked = whole.clone()
    masked[:, :, FACE_SIZE // 2 :] = 0
    return torch.cat((masked, whole), dim=1)


def network_output(prediction: Tensor) -> Tensor:
    """BGR [B, 3, 96, 96] in 0..1 -> RGB uint8 [B, 96, 96, 3]. Fractions are cut off, not rounded, as published."""
    return (prediction.float() * 255).to(torch.uint8).permute(0, 2, 3, 1).flip(-1)


def paste_face(frame: Frame, face: Frame, box: Box) -> None:
    """Writes the network's face [96, 96, 3] over the whole box of the frame, with hard edges, in place."""
    top, bottom, left, right = box
    frame[top:bottom, left:right] = _resize(face, (int(right - left), int(bottom - top)))


def _resize(picture: Frame, size: tuple[int, int]) -> Frame:
    """Bilinear in OpenCV's 8-bit arithmetic, which floating point does not reproduce; size is (width, height)."""
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
