"""The options of face-vid2vid: those of the family, and the free view."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import SizedDrivingOptions
from thg_zoo.options import option

_GIVEN = "in every frame, instead of the driver's; with relative it counts from the pose of the reference frame."


@dataclass(frozen=True)
class FaceVid2VidOptions(SizedDrivingOptions):
    """The published program's README sets relative, adapt_scale and best_frame=find."""

    yaw: float | None = option(None, f"Turn of the head {_GIVEN} Best within 45.", low=-90, high=90, unit="degrees")
    pitch: float | None = option(None, f"Nod {_GIVEN} Best within 20.", low=-90, high=90, unit="degrees")
    roll: float | None = option(None, f"Tilt {_GIVEN} Best within 20.", low=-90, high=90, unit="degrees")
    translation: tuple[float, float, float] | None = option(
        None, f"Place of the head (x, y, z; a picture is 2 wide) {_GIVEN}", low=-2, high=2
    )
