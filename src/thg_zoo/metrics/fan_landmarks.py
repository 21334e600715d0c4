"""The 68 landmarks of metrics: FAN's 98 points (`thg_zoo.faces.fan`) in the boxes of the bundled detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face
from thg_zoo.metrics.meter import Frames, Points, Skip
from thg_zoo.spec import Variant, WeightFile
from thg_zoo.zoo import describe

if TYPE_CHECKING:
    import torch

    from thg_zoo.faces.fan import Fan

_RANDOM = "random"
_CARD, _PART = "sadtalker", "fan"


class FanLandmarks:
    """Finds landmarks where a face was found: see `Landmarks68`."""

    def __init__(self, fan: Fan) -> None:
        self._fan = fan

    def __call__(self, frames: Frames, faces: Sequence[Face | None]) -> list[Points | None]:
        """Frames uint8 [B, H, W, 3] and the face in each, to landmarks [68, 2] in pixels, None without a face."""
        from thg_zoo.faces.fan import to_68

        seen = [k for k, face in enumerate(faces) if face is not None and _has_pixels(face.box)]
        found: list[Points | None] = [None] * len(frames)
        if seen:
            boxes = np.stack([face.box for face in faces if face is not None and _has_pixels(face.box)])
            for k, points in zip(seen, to_68(self._fan.points(frames[seen], boxes)), strict=True):
                found[k] = points
        return found


def landmark_file() -> WeightFile:
    """FAN's weights, as SadTalker's card has them."""
    return next(file for file in describe(_CARD).variant.files if _PART in file.parts)


def load_fan_landmarks(
    weights: str | Path | None, device: torch.device, *, fetch: bool, accept_licence: bool = False, seed: int = 0
) -> FanLandmarks:
    """The finder, filled.

    weights: as for `thg_zoo.load`; a single file is SyncNet's, and says nothing about these. fetch: whether the
    published ones are downloaded if they are not here. Raises Skip without that, WeightsError.
    """
    from thg_zoo.faces.fan import Fan, FanNetwork
    from thg_zoo.weights import empty_networks, fill_networks, installed

    file = landmark_file()
    if weights is not None and weights != _RANDOM and not Path(weights).is_dir():
        weights = None
    if weights is None and not fetch and installed(file) is None:
        raise Skip(
            f"needs FAN's weights ({file.name}, {(file.size or 0) / 1e6:.0f} MB), which are not here; metrics that are "
            "asked for by name fetch them, or give a finder of 68 landmarks"
        )
    with empty_networks():
        network = FanNetwork()
    variant = Variant(name=_PART, title="FAN, the face landmarks of metrics", files=(file,))
    fill_networks({_PART: network}, variant, weights, base=seed, accept_licence=accept_licence, device=device)
    return FanLandmarks(Fan(network, device))


def _has_pixels(box: NDArray[np.float32]) -> bool:
    x1, y1, x2, y2 = box.astype(np.int64)
    return bool(x2 > x1 and y2 > y1)
