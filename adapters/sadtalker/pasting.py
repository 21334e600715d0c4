"""From rendered squares to the frames of the video: the aspect of the cut, or the photo with the face pasted back."""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
import torch
from torch import Tensor

from thg_zoo.adapters.sadtalker.crop import Cut
from thg_zoo.faces.paste import feather_mask, paste
from thg_zoo.faces.poisson import PoissonClone
from thg_zoo.faces.transforms import matrix_from_box

Blend: TypeAlias = Literal["poisson", "feather"]


class PasteBack:
    """Puts rendered squares where the photo was cut.

    The published program pastes frames of a video file that it wrote before, lossy and of another size; here the
    rendered frames are pasted.

    photo: uint8 [H, W, 3] on the device of the frames. blend: `poisson` as published (the colours of the face are
    shifted so that its border meets the photo), `feather` (the colours stay, the border fades).
    """

    def __init__(self, photo: Tensor, cut: Cut, blend: Blend) -> None:
        self._photo = photo
        self._place = cut.place
        self._clone = PoissonClone(photo, cut.place) if blend == "poisson" else None

    def __call__(self, frames: Tensor) -> Tensor:
        """Frames [B, 3, s, s] in 0..1 to photos uint8 [B, H, W, 3]."""
        if self._clone is None:
            size = frames.shape[2], frames.shape[3]
            matrix = matrix_from_box(self._place, size)
            return paste(frames.float(), self._photo[None], matrix, feather_mask(size, device=frames.device))
        x1, y1, x2, y2 = self._place
        patches = _resized_levels(frames, (y2 - y1, x2 - x1)).to(self._photo.device)
        return self._clone(patches.permute(0, 3, 1, 2))


def with_aspect(frames: Tensor, cut: Cut) -> Tensor:
    """Frames [B, 3, s, s] in 0..1 as the published video shows them: uint8 [B, s h / w, s, 3]."""
    return _resized_levels(frames, cut.video_size(frames.shape[3]))


def _resized_levels(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Frames [B, 3, s, s] in 0..1 as uint8 [B, h, w, 3] of `size` (h, w).

    Resized on the host: the published pixels come from OpenCV's arithmetic, which floating point does not reproduce.
    """
    levels = (frames.float() * 255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    if levels.shape[1:3] == size:
        return levels
    height, width = size
    resized = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in levels.cpu().numpy()]
    return torch.from_numpy(np.stack(resized))
