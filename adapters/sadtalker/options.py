"""The options of SadTalker: those of the published program under their names, then what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.options import option

_REFERENCE = "A reference video is read at 25 frames per second, from its start again where it is shorter."
_SPREAD = "given in every frame instead of the network's: one value, or several that are gone through at one speed."


@dataclass(frozen=True)
class SadTalkerOptions:
    """With the defaults the published program's frames are made."""

    preprocess: str = option(
        "crop",
        "What is animated: the face (crop), with a margin (extcrop), the whole picture squeezed to a square (resize), "
        "or the face, pasted back into the photo (full, extfull; best with still).",
        choices=("crop", "extcrop", "resize", "full", "extfull"),
        stage="source",
    )
    size: str = option(
        "256",
        "Side of the square the networks render. Weights belong to one size; others work, but less well.",
        choices=("128", "256", "384", "512"),
        stage="source",
        unit="pixels",
    )
    still: bool = option(False, "Keep the head's pose of the picture: less motion, and no seam with preprocess=full.")
    pose_style: int = option(0, "The manner in which the head moves.", low=0, high=45)
    expression_scale: float = option(1.0, "Strength of the expression; above 1 the lips move more.", low=0.0, high=3.0)
    ref_eyeblink: str | None = option(None, f"Video whose eyes and brows are followed. {_REFERENCE}")
    ref_pose: str | None = option(None, f"Video whose head movement is added to the one made. {_REFERENCE}")
    input_yaw: tuple[int, ...] | None = option(None, f"Turn of the head, {_SPREAD}", low=-90, high=90, unit="degrees")
    input_pitch: tuple[int, ...] | None = option(None, f"Nod of the head, {_SPREAD}", low=-90, high=90, unit="degrees")
    input_roll: tuple[int, ...] | None = option(None, f"Tilt of the head, {_SPREAD}", low=-90, high=90, unit="degrees")
    use_blink: bool = option(True, "Blink at random; false keeps the eyes open.")
    idle: bool = option(False, "Do not speak: move as if nothing were heard, as long as the sound lasts.")

    landmarks: str = option(
        "auto",
        "What finds the face: published (RetinaFace and 98 points), or mtcnn (five points, faster). auto is the "
        "published where its weights are loaded.",
        choices=("auto", "published", "mtcnn"),
        stage="source",
    )
    face: str = option(
        "best",
        "Which face: best (the likeliest), largest, or its number counted from the left.",
        choices=("best", "largest"),
        or_index=True,
        stage="source",
    )
    blend: str = option(
        "poisson",
        "How preprocess full and extfull paste: poisson (as published, colours of the photo), or feather (a soft "
        "border, colours of the animated face; faster).",
        choices=("poisson", "feather"),
        stage="source",
    )
