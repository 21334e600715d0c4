"""The options of LivePortrait, in the order of the work: the source's crop, the driver's, motion, retargeting, editing.

Names and ranges are those of the published program without its `flag_`, where it has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.options import option

REGIONS = ("all", "exp", "pose", "lip", "eyes")
TRANSFERS = ("relative", "absolute", "displacement")


@dataclass(frozen=True)
class CropOptions:
    """How source and driver are looked at."""

    do_crop: bool = option(
        True, "Cut the source to a square about its face; false takes it whole, squeezed to a square.", stage="source"
    )
    crop_box: tuple[int, int, int, int] | None = option(
        None,
        "The part of the source to animate (left, top, right, bottom), instead of looking for the face; completed to a "
        "square. For animals, which the detector does not find.",
        stage="source",
        unit="pixels",
    )
    scale: float = option(
        2.3,
        "Side of the source's crop, in sizes of the face. Smaller is closer.",
        low=1.0,
        high=5.0,
        stage="source",
    )
    vx_ratio: float = option(
        0.0, "Shift of the source's crop to the face's side, in its own sides.", low=-0.5, high=0.5, stage="source"
    )
    vy_ratio: float = option(
        -0.125,
        "Shift of the source's crop along the face, in its own sides; negative is up.",
        low=-0.5,
        high=0.5,
        stage="source",
    )
    do_rot: bool = option(True, "Turn the source's crop so that the face is upright in it.", stage="source")
    landmarks: str = option(
        "auto",
        "Where crops come from: 203 points (needs onnxruntime), which also measure eyes and lips, or the detector's "
        "five. auto takes 203 where onnxruntime is installed and the weights are the published ones.",
        choices=("auto", "203", "5"),
        stage="source",
    )
    landmark_model: str | None = option(
        None, "Path of the published landmark.onnx, instead of the one from the hub.", stage="source"
    )
    face: str = option(
        "largest",
        "Which face of the source: the largest, or its number counted from the left.",
        choices=("largest",),
        or_index=True,
        stage="source",
    )
    missing_face: str = option(
        "error",
        "What to do with frames of a source video that show no face: stop, hold the last crop, or pass (unchanged).",
        choices=("error", "hold", "pass"),
        stage="source",
    )
    source_max_dim: int = option(
        1280,
        "Longest side of the source; larger ones are reduced. 0 is no limit.",
        low=0,
        stage="source",
        unit="pixels",
    )
    source_division: int = option(
        2, "Height and width of the source are cut to multiples of it.", low=1, high=64, stage="source", unit="pixels"
    )
    crop_driving: str = option(
        "auto",
        "Cut all driving frames to one square about the face: auto does so where they are not square.",
        choices=("auto", "always", "never"),
    )
    scale_crop_driving: float = option(2.2, "Side of the driver's crop, in sizes of the face.", low=1.0, high=5.0)
    vx_ratio_crop_driving: float = option(
        0.0, "Shift of the driver's crop to the side, in its own sides.", low=-0.5, high=0.5
    )
    vy_ratio_crop_driving: float = option(
        -0.1, "Shift of the driver's crop, in its own sides; negative is up.", low=-0.5, high=0.5
    )
    driving_face: str = option(
        "largest",
        "Which face of the driver: the largest, or its number counted from the left.",
        choices=("largest",),
        or_index=True,
    )

    @property
    def cropped(self) -> bool:
        """Whether the networks see a part of the source."""
        return self.do_crop or self.crop_box is not None


@dataclass(frozen=True)
class TransferOptions(CropOptions):
    """How the driver's motion becomes the source's."""

    transfer: str = option(
        "relative",
        "relative: the driver's movement since its first frame. absolute: its pose and expression as they are. "
        "displacement: absolute motion seen since its first frame (as published for animals).",
        choices=TRANSFERS,
    )
    animation_region: str = option(
        "all",
        "What follows the driver: everything, exp(ression), pose, or the expression of lip or eyes alone.",
        choices=REGIONS,
    )
    driving_option: str = option(
        "expression-friendly",
        "expression-friendly scales movement by the size of the source's key points over that of the first driven "
        "ones; pose-friendly does not. For displacement: under relative transfer these are the same, as published.",
        choices=("expression-friendly", "pose-friendly"),
    )
    driving_multiplier: float = option(1.0, "Strength of the whole movement.", low=0.0, high=2.0)
    stitching: bool = option(True, "Correct the key points so that shoulders and background stay in place.")
    driving_smooth_observation_variance: float = option(
        3e-7,
        "Smoothing of the movement of source videos: the larger, the smoother (1e-4 is much).",
        low=1e-11,
        high=1e-2,
    )
    sync: str = option(
        "time",
        "Which driving frame goes with a frame of a source video: that of its time, or (as published) of its number.",
        choices=("time", "frame"),
    )
    normalize_lip: bool = option(
        False, "Close the lips of the source first, if they are open (relative transfer). Needs lip ratios."
    )


@dataclass(frozen=True)
class RetargetingOptions(TransferOptions):
    """Eyes and lips by their opening. A ratio is height over width: eyes are closed at 0 and open at about 0.35, lips
    are closed at 0."""

    eye_retargeting: bool = option(False, "Open and close the eyes as far as the driver's.")
    lip_retargeting: bool = option(False, "Open and close the lips as far as the driver's.")
    eyes_open_ratio: float | None = option(None, "Opening of the eyes in every frame.", low=0.0, high=0.8)
    lip_open_ratio: float | None = option(None, "Opening of the lips in every frame.", low=0.0, high=0.8)
    retarget_onto: str = option(
        "driven",
        "What retargeting is added to: the driven key points, or (as published for relative transfer) the source's, so "
        "that nothing else moves.",
        choices=("driven", "source"),
    )
    source_video_eye_retargeting: bool = option(
        False, "Keep the eyes of a source video as open as in its first frame, at least 0.39."
    )
    source_eyes_ratio: float | None = option(
        None, "Opening of the source's eyes, where it is not measured by 203 points.", low=0.0, high=1.0, stage="source"
    )
    source_lip_ratio: float | None = option(
        None, "Opening of the source's lips, where it is not measured by 203 points.", low=0.0, high=1.0, stage="source"
    )


@dataclass(frozen=True)
class EditingOptions(RetargetingOptions):
    """The sliders of the published page: they change the portrait itself, with or without a driver."""

    pitch: float = option(0.0, "Nod of the head. Best within 15.", low=-60, high=60, unit="degrees")
    yaw: float = option(0.0, "Turn of the head. Best within 25.", low=-60, high=60, unit="degrees")
    roll: float = option(0.0, "Tilt of the head. Best within 15.", low=-60, high=60, unit="degrees")
    mov_x: float = option(0.0, "Shift of the head to the side.", low=-0.19, high=0.19)
    mov_y: float = option(0.0, "Shift of the head up or down.", low=-0.19, high=0.19)
    mov_z: float = option(1.0, "Size of the head.", low=0.9, high=1.2)
    smile: float = option(0.0, "Smile; negative is a frown.", low=-0.3, high=1.3)
    wink: float = option(0.0, "Wink with one eye.", low=0, high=39)
    eyebrow: float = option(0.0, "Eyebrows up; negative is down.", low=-30, high=30)
    gaze_x: float = option(0.0, "Look to the side.", low=-30, high=30)
    gaze_y: float = option(0.0, "Look up or down.", low=-63, high=63)
    pouting: float = option(0.0, "Lips pushed to one side.", low=-0.09, high=0.09)
    pursing: float = option(0.0, "Lips pressed together; negative is parted.", low=-20, high=15)
    grin: float = option(0.0, "Grin.", low=0, high=15)
    lip_open: float = option(0.0, "Lips open by the expression alone; negative is closed.", low=-90, high=120)


@dataclass(frozen=True)
class LivePortraitOptions(EditingOptions):
    """What is made of the rendered crop, after everything above."""

    pasteback: bool = option(
        True, "Put the crop back into the whole source, if there is a crop, and stitching; else the crop is the result."
    )
    mask: str = option(
        "published",
        "Border of the crop that is put back: 16 pixels as published, or soft.",
        choices=("published", "soft"),
    )
    feather: float = option(0.1, "Width of the soft border, as a part of the crop's side.", low=0.0, high=0.5)
    audio: str = option(
        "driver",
        "Whose sound is kept: the driver's or the source's (the other's where it has none), or none.",
        choices=("driver", "source", "none"),
    )
    compile: bool = option(
        False,
        "Translate the networks with torch.compile: the first frames take minutes longer. Meant for GPUs.",
    )
