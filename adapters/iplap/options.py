"""The options of IP_LAP: what the published program takes or has as constants, then what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.faces.dubbing_options import face_option, missing_face_option
from thg_zoo.options import option
from thg_zoo.timing import EXTENSION_RULES


@dataclass(frozen=True)
class IpLapOptions:
    """With the defaults faces are drawn as the published program draws them."""

    static: bool = option(False, "Use the first frame of a video only.", stage="source")
    references: int = option(
        25,
        "Frames from which the face is drawn, chosen evenly by how far the mouth is open; fewer are faster.",
        low=1,
        high=100,
        stage="source",
    )
    landmark_references: int = option(
        15, "Frames from whose landmarks the shape of the mouth is learned.", low=1, high=100, stage="source"
    )
    smooth: int = option(
        1, "Frames over which landmarks are averaged, against trembling; 1 is none.", low=1, high=25, stage="source"
    )
    landmarks: str = option(
        "auto",
        "How 131 points are found: mediapipe (as published), template (a mean face laid on five points), or auto.",
        choices=("auto", "mediapipe", "template"),
        stage="source",
    )
    landmark_model: str | None = option(
        None, "MediaPipe's face_landmarker.task, should it not be fetched.", stage="source"
    )
    face: str = face_option()
    missing_face: str = missing_face_option()
    extend: str = option("mirror", "How a video goes on when the audio is longer.", choices=EXTENSION_RULES)
    show_sketch: bool = option(False, "Show the drawn landmarks beside every frame, as published.")
