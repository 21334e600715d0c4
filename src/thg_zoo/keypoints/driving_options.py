"""The options that models driven by a face share, under the names of the published programs."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.options import option


@dataclass(frozen=True)
class CropOptions:
    """Which part of the source picture is animated, and whether it is put back."""

    crop: str = option(
        "auto",
        "Cut the source picture to a square about its face, as the networks were trained; none takes it whole.",
        choices=("auto", "none"),
        stage="source",
    )
    crop_box: tuple[int, int, int, int] | None = option(
        None,
        "The part of the source picture to animate (left, top, right, bottom), instead of looking for the face.",
        stage="source",
        unit="pixels",
    )
    face: str = option(
        "largest",
        "Which face of the source: the largest, or its number counted from the left.",
        choices=("largest",),
        or_index=True,
        stage="source",
    )
    paste_back: bool = option(False, "Put the animated crop back into the whole source picture.")
    feather: float = option(
        0.1, "Width of the soft border of the crop that is put back, as a part of its side.", low=0.0, high=0.5
    )


@dataclass(frozen=True)
class DriverCropOptions(CropOptions):
    """The crop of the driver as well."""

    driver_crop: str = option(
        "auto",
        "Cut all driving frames to one square that holds the face throughout; smooth follows the face with a square of "
        "one size; none takes them whole.",
        choices=("auto", "smooth", "none"),
    )
    driver_crop_box: tuple[int, int, int, int] | None = option(
        None, "The part of the driving frames to follow (left, top, right, bottom).", unit="pixels"
    )
    driver_face: str = option(
        "largest",
        "Which face of the driver: the largest, or its number counted from the left.",
        choices=("largest",),
        or_index=True,
    )


@dataclass(frozen=True)
class TransferOptions(DriverCropOptions):
    """The crops, and what of the driver's movement is applied to the source."""

    relative: bool = option(
        True,
        "Apply the driver's movement since the reference frame, not its positions. A single picture has no movement: "
        "its positions are always taken.",
    )
    best_frame: str = option(
        "first",
        "The reference of relative movement: first (with a face), find (the one most like the source), or its number.",
        choices=("first", "find"),
        or_index=True,
    )


@dataclass(frozen=True)
class DrivingOptions(TransferOptions):
    """For models whose motion is key points."""

    adapt_scale: bool = option(True, "Scale relative movement by the sizes of the two faces' key points.")


@dataclass(frozen=True)
class SizedDrivingOptions(DrivingOptions):
    """For networks that take other sizes than the one they were trained at."""

    size: str = option(
        "256",
        "Side of the square the networks work on. They were trained at 256; other sides work, but less well.",
        choices=("128", "256", "384", "512"),
        stage="source",
        unit="pixels",
    )
