"""The options of Wav2Lip: those of the published program under their names, then what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.faces.dubbing_options import face_option, missing_face_option
from thg_zoo.options import option
from thg_zoo.timing import EXTENSION_RULES

NO_BOX = (-1, -1, -1, -1)


@dataclass(frozen=True)
class Wav2LipOptions:
    """With the defaults the published program's frames are made. Sides are top, bottom, left, right."""

    pads: tuple[int, int, int, int] = option(
        (0, 10, 0, 0),
        "Added to the face box on each side (top, bottom, left, right); more below includes a long chin.",
        stage="source",
        unit="pixels",
    )
    box: tuple[int, int, int, int] = option(
        NO_BOX,
        "Where the face is (top, bottom, left, right), in every frame, instead of looking for it.",
        stage="source",
        unit="pixels",
    )
    static: bool = option(False, "Use the first frame of a video only.", stage="source")
    nosmooth: bool = option(
        False,
        "Do not average boxes over five frames: against a shifted mouth when the head moves fast.",
        stage="source",
    )
    resize_factor: int = option(1, "Reduce a video's frames by this whole factor.", low=1, high=64, stage="source")
    rotate: bool = option(False, "Turn a video's frames clockwise by 90 degrees, after resizing.", stage="source")
    crop: tuple[int, int, int, int] = option(
        (0, -1, 0, -1),
        "Part of a video's frames (top, bottom, left, right; -1 is the edge), after rotating.",
        stage="source",
        unit="pixels",
    )
    fps: float = option(25.0, "Frames per second for a picture; a video keeps its own.", low=1, high=240)

    detector: str = option(
        "s3fd", "s3fd is the published one, mtcnn is many times faster.", choices=("s3fd", "mtcnn"), stage="source"
    )
    detect_size: int | None = option(
        None,
        "Longest side to which frames are reduced for the detector.",
        low=64,
        high=16384,
        stage="source",
        unit="pixels",
    )
    detect_every: int = option(
        1, "Look for the face in every n-th frame, interpolate in between.", low=1, high=250, stage="source"
    )
    cache_boxes: bool = option(True, "Remember where the faces of a video file are, for later runs.", stage="source")
    face: str = face_option()
    missing_face: str = missing_face_option()
    mask: str = option(
        "box", "Replace the whole face box, or only the mouth and jaw with soft edges.", choices=("box", "mouth")
    )
    silence: str = option(
        "draw",
        "Where nobody speaks: draw what the network makes of the noise, close the mouth, or keep the frames.",
        choices=("draw", "close", "keep"),
    )
    silence_level: float = option(
        -35.0, "What is this much quieter than the loudest speech is silence.", low=-90, high=-5, unit="dB"
    )
    extend: str = option("loop", "How a video goes on when the audio is longer.", choices=EXTENSION_RULES)
    rest: str = option(
        "cut",
        "What becomes of a video's frames after the audio: left out, their mouth closed, or kept as they are.",
        choices=("cut", "close", "keep"),
    )

    @property
    def follows(self) -> bool:
        """Whether one person is followed through the video; as published, every frame stands for itself."""
        return self.face != "best" or self.detect_every > 1
