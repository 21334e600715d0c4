"""Each option of LivePortrait changes what it says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from liveportrait_fakes import (  # noqa: F401 (fixtures)
    D1,
    Picture,
    different,
    fake,
    keypoints,
    landmark_model,
    wide,
)
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.errors import OptionError
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.options import describe_options


class Made:
    """Everything that an option could change, of a picture and a video driven in every way."""

    def __init__(self, face: Picture, face_clip: Clip, wide: Clip, options: dict[str, Any]) -> None:
        adapter = fake()
        portrait = adapter.prepare(np.kron(face[:, :201], np.ones((3, 3, 1), np.uint8)), **options)
        self.size = portrait.source.size
        self.crop = adapter._networks.seen[-1].clone()  # type: ignore[attr-defined]
        self.driven = keypoints(portrait, D1)
        self.by_picture = keypoints(portrait, face)
        self.edited = self._edited(portrait)
        adapter._networks.seen.clear()  # type: ignore[attr-defined]
        animation = portrait.animate(wide)
        self.driver_crop = adapter._networks.seen[0].clone()  # type: ignore[attr-defined]
        self.frame = torch.from_numpy(next(animation.batches())[1])
        moving = fake().prepare(Clip(face_clip.frames[:4], Fraction(12)), **options)
        self.video = keypoints(moving, D1)
        sounds = (Audio(np.full(8, level, np.float32), 16000) for level in (0.1, 0.2))
        driver, source = (type("Sounding", (), {"audio": sound})() for sound in sounds)
        heard = adapter.choose_audio(driver, source, adapter.model.resolve(options))
        self.sound = None if heard is None else float(heard.samples[0])

    @staticmethod
    def _edited(portrait: Any) -> Tensor | None:
        """None where an option asks for a driver."""
        try:
            return keypoints(portrait, None)
        except OptionError:
            return None

    def differs(self, other: Made) -> set[str]:
        return {name for name, value in vars(self).items() if different(value, vars(other)[name])}


CROP = {"crop", "frame"}
DRIVER_CROP = {"driver_crop"}
DRIVEN = {"driven", "frame", "video"}
ALL = {*DRIVEN, "by_picture", "edited"}
# What each option changes: a value, what has to stand beside it to count, and everything that then differs.
EFFECTS: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "do_crop": (False, {}, CROP),
    "crop_box": ((60, 30, 250, 240), {}, CROP),
    "scale": (1.8, {}, CROP),
    "vx_ratio": (0.1, {}, CROP),
    "vy_ratio": (0.0, {}, CROP),
    "do_rot": (False, {}, CROP),
    "source_max_dim": (400, {}, {*CROP, "size"}),
    "source_division": (64, {}, {*CROP, "size"}),
    "crop_driving": ("never", {}, DRIVER_CROP),
    "scale_crop_driving": (1.8, {}, DRIVER_CROP),
    "vx_ratio_crop_driving": (0.1, {}, DRIVER_CROP),
    "vy_ratio_crop_driving": (0.1, {}, DRIVER_CROP),
    "transfer": ("absolute", {}, DRIVEN | {"by_picture"}),
    "animation_region": ("lip", {}, DRIVEN | {"by_picture"}),
    "driving_option": ("pose-friendly", {"transfer": "displacement"}, DRIVEN),
    "driving_multiplier": (1.5, {}, ALL),
    "stitching": (False, {}, ALL),
    "driving_smooth_observation_variance": (1e-4, {}, {"video"}),
    "sync": ("frame", {}, {"video"}),
    "normalize_lip": (True, {}, ALL),
    "eye_retargeting": (True, {}, ALL),
    "lip_retargeting": (True, {}, ALL),
    "eyes_open_ratio": (0.5, {}, ALL),
    "lip_open_ratio": (0.4, {}, ALL),
    "retarget_onto": ("source", {"lip_open_ratio": 0.4}, DRIVEN | {"by_picture"}),
    "source_video_eye_retargeting": (True, {}, {"video"}),
    "source_eyes_ratio": (0.4, {"eyes_open_ratio": 0.5}, ALL),
    "source_lip_ratio": (0.1, {"lip_open_ratio": 0.5}, ALL),
    **{name: (5.0, {}, ALL) for name in ("pitch", "yaw", "roll", "wink", "eyebrow", "gaze_x", "gaze_y")},
    **{name: (3.0, {}, ALL) for name in ("pursing", "grin", "lip_open")},
    **{name: (0.05, {}, ALL) for name in ("mov_x", "mov_y", "smile", "pouting")},
    "mov_z": (1.1, {}, ALL),
    "pasteback": (False, {}, {"frame"}),
    "mask": ("soft", {}, {"frame"}),
    "feather": (0.3, {"mask": "soft"}, {"frame"}),
    "audio": ("source", {}, {"sound"}),
}
ELSEWHERE = {"compile", "face", "driving_face", "landmarks", "landmark_model", "missing_face"}


def test_every_option_is_tested() -> None:
    assert {info.name for info in describe_options(LivePortraitOptions)} == set(EFFECTS) | ELSEWHERE


@pytest.fixture(scope="module")
def made(face: Picture, face_clip: Clip, wide: Clip, landmark_model: Path) -> Callable[..., Made]:
    """What is made with some options, once for each choice of them."""
    known: dict[str, Made] = {}

    def make(**options: Any) -> Made:
        if repr(options) not in known:
            known[repr(options)] = Made(face, face_clip, wide, {"landmark_model": str(landmark_model), **options})
        return known[repr(options)]

    return make


@pytest.mark.parametrize("name", EFFECTS)
def test_an_option_changes_what_it_says_and_nothing_else(name: str, made: Callable[..., Made]) -> None:
    value, beside, effects = EFFECTS[name]
    assert made(**beside).differs(made(**beside, **{name: value})) == effects
