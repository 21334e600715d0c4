"""The options of Audio2Head. The published program has none but its files."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import CropOptions
from thg_zoo.options import option


@dataclass(frozen=True)
class Audio2HeadOptions(CropOptions):
    """With crop=none the published program's frames are made."""

    pose_scale: float = option(
        1.0, "How far the head moves from its first pose; 0 keeps it still, above 1 exaggerates.", low=0.0, high=2.0
    )
    poses: str | None = option(
        None,
        "A file of head poses instead of the network's, one per frame at 25 a second, the last one held: .csv with six "
        "columns, or .npz with an array poses [T, 6]; rotation vector (radians) and translation.",
    )
