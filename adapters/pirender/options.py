"""The options of PIRenderer: the crops, the published normalisation, and the intuitive control of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import DriverCropOptions
from thg_zoo.options import option

_GIVEN = "in every frame, instead of the driver's or the picture's."


@dataclass(frozen=True)
class EditingOptions(DriverCropOptions):
    """Intuitive control: what keyframes can set too."""

    pitch: float | None = option(None, f"Nod of the head {_GIVEN}", low=-90, high=90, unit="degrees")
    yaw: float | None = option(None, f"Turn of the head {_GIVEN}", low=-90, high=90, unit="degrees")
    roll: float | None = option(None, f"Tilt of the head {_GIVEN}", low=-90, high=90, unit="degrees")
    move_x: float | None = option(
        None, f"Place of the head across, in the face model's units, {_GIVEN}", low=-2, high=2
    )
    move_y: float | None = option(None, f"Place of the head upwards, in these units, {_GIVEN}", low=-2, high=2)
    move_z: float | None = option(None, f"Nearness of the head, 0.45 in the middle, {_GIVEN}", low=-2, high=2)
    expression_scale: float = option(
        1.0, "Strength of the expression; 0 is the face model's neutral face.", low=0.0, high=3.0
    )


@dataclass(frozen=True)
class PIRenderOptions(EditingOptions):
    """With the defaults the published program's frames are made."""

    norm_crop_param: bool = option(
        True,
        "Scale the driver's face to the size that the source's has, by the driving frame most like the source. For a "
        "driver that shows the source's own person, false.",
    )
    track: str = option(
        "none",
        "Without a driver: rotation turns the head as the published demonstration does, 120 frames about the middle.",
        choices=("none", "rotation"),
    )
    smooth: float = option(
        0.0,
        "Average the driver's coefficients over time, against trembling: deviation of the Gaussian; 0 is none.",
        low=0.0,
        high=10.0,
        unit="frames",
    )
    landmarks: str = option(
        "auto",
        "What finds the points by which faces are aligned: published (98 points and a detector of their own), or mtcnn "
        "(five points, faster). auto is published where its weights are loaded.",
        choices=("auto", "published", "mtcnn"),
        stage="source",
    )
