"""The options of MCNet."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import DrivingOptions
from thg_zoo.options import option


@dataclass(frozen=True)
class McnetOptions(DrivingOptions):
    """Those of the family, and the noise. The networks take 256 x 256 pixels alone."""

    noise: str = option(
        "fixed",
        "The noise in the memory's style layer: fixed is the same for all frames, none is off. The published program "
        "draws it anew for each frame, so that its frames flicker a little.",
        choices=("fixed", "none"),
    )
