"""A portrait edited without a driver: by options alone, or by keyframes over time."""

from __future__ import annotations

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.driver import STILL_FPS
from thg_zoo.adapters.liveportrait.editing import SLIDERS, sliders_of
from thg_zoo.adapters.liveportrait.mover import Mover, Person
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons
from thg_zoo.adapters.liveportrait.retargeting import known, ratios_of
from thg_zoo.adapters.liveportrait.source import Likeness
from thg_zoo.keypoints.keyframes import Keyframes
from thg_zoo.motion import MotionTable

# What keyframes may set.
EDITS = (*SLIDERS, "eyes_open_ratio", "lip_open_ratio")


def edit(
    likeness: Likeness, keyframes: Keyframes | None, options: LivePortraitOptions, networks: Perceptrons
) -> MotionTable:
    """One frame of a picture, or as many as the keyframes last; every frame of a video.

    Keyframes change the sliders and openings that they name; the others are as the options have them. Raises
    OptionError where an opening is wanted and the source's is not known.
    """
    person = likeness.person
    like = person.keypoints
    sliders: dict[str, Tensor] = sliders_of(options, like.device)
    eyes, lip = ratios_of(person.parameters, options)
    fps, n = likeness.fps or STILL_FPS, len(likeness.sights)
    if keyframes is not None:
        if person.still:
            fps, n = keyframes.fps, len(keyframes)

        def over_time(name: str, otherwise: float) -> Tensor:
            return torch.from_numpy(keyframes.over_time(name, otherwise, fps, n)).to(like)

        sliders |= {name: over_time(name, getattr(options, name)) for name in keyframes.names if name in SLIDERS}
        if "eyes_open_ratio" in keyframes.names:
            eyes = over_time("eyes_open_ratio", _otherwise(options.eyes_open_ratio, person, "eyes"))[:, None]
        if "lip_open_ratio" in keyframes.names:
            lip = over_time("lip_open_ratio", _otherwise(options.lip_open_ratio, person, "lip"))[:, None]
    driving = Mover(person, options, networks, sliders).posed(eyes, lip)
    frames = {"driving": driving.expand(n, -1, -1)}
    return MotionTable(frames if person.still else {**frames, "source": like}, fps, "cut")


def _otherwise(option: float | None, person: Person, name: str) -> float:
    """The opening in keyframes that do not set it: the option's, or the source's own."""
    return float(known(getattr(person, name), name).mean()) if option is None else option
