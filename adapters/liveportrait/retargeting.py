"""Openings of eyes and lips: measured by landmarks, and what the retargeting networks are to make of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.landmark_network import INSTALL
from thg_zoo.adapters.liveportrait.options import RetargetingOptions
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons
from thg_zoo.errors import OptionError
from thg_zoo.motion import Parameters

# Pairs of the 203 points: the height of an opening over its width.
_LEFT_EYE, _RIGHT_EYE, _LIPS = ((6, 18), (0, 12)), ((30, 42), (24, 36)), ((90, 102), (48, 66))
_NO_DIVISION_BY_ZERO = 1e-6
# Lips below this are closed already.
_LIPS_CLOSED = 0.03
# Eyes that are taken for open, and what others are opened to.
_EYES_OPEN, _EYES_WANTED = 0.18, 0.39
# What ratios are called in messages.
_PLURAL = {"eyes": "the eyes", "lip": "the lips"}


@dataclass(frozen=True)
class Openings:
    """Ratios of height to width: eyes `[N, 2]`, left and right in the picture, and lip `[N, 1]`."""

    eyes: Tensor
    lip: Tensor


def openings(points: Tensor) -> Openings:
    """Of faces by 203 points `[N, 203, 2]` in any unit."""

    def ratio(pairs: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
        height, width = ((points[:, a] - points[:, b]).norm(dim=1, keepdim=True) for a, b in pairs)
        return torch.div(height, width + _NO_DIVISION_BY_ZERO)

    return Openings(torch.cat([ratio(_LEFT_EYE), ratio(_RIGHT_EYE)], dim=1), ratio(_LIPS))


@dataclass(frozen=True)
class Retargeting:
    """The deltas `[B, 21, 3]` of key points that open or close a source's eyes and lips.

    keypoints `[S, 21, 3]` and eyes `[S, 2]`, lip `[S, 1]` (None where unknown) of the source.
    """

    networks: Perceptrons
    keypoints: Tensor
    eyes: Tensor | None
    lip: Tensor | None

    def to_eyes(self, wanted: Tensor) -> Tensor:
        """Eyes opened to ratios `[B, 1]`. Raises OptionError where the source's are not known."""
        return self.networks.eye_delta(self.keypoints, _beside(known(self.eyes, "eyes"), wanted))

    def to_lip(self, wanted: Tensor) -> Tensor:
        """Lips opened to ratios `[B, 1]`. Raises OptionError where the source's are not known."""
        return self.networks.lip_delta(self.keypoints, _beside(known(self.lip, "lip"), wanted))

    def corrections(self, options: RetargetingOptions, still: bool) -> Tensor | float:
        """What is added to the finished key points: lips that are closed first, eyes of a video that are kept open."""
        change: Tensor | float = 0.0
        if options.normalize_lip and options.transfer == "relative":
            lip = known(self.lip, "lip")
            change = change + self.to_lip(torch.zeros_like(lip)) * (lip >= _LIPS_CLOSED)[..., None]
        if options.source_video_eye_retargeting and not still:
            wanted = known(self.eyes, "eyes")[:1].mean(dim=1, keepdim=True)
            change = change + self.to_eyes(torch.where(wanted < _EYES_OPEN, _EYES_WANTED, wanted))
        return change


def ratios_of(driving: Parameters, options: RetargetingOptions) -> tuple[Tensor | None, Tensor | None]:
    """The openings `[1 or B, 1]` of eyes and lip that options or driver ask for; of its eyes the left, as published.

    Raises OptionError where the driver's are asked for and not known.
    """
    like = driving["scale"]
    eyes = None if options.eyes_open_ratio is None else like.new_tensor([[options.eyes_open_ratio]])
    lip = None if options.lip_open_ratio is None else like.new_tensor([[options.lip_open_ratio]])
    if options.eye_retargeting and eyes is None:
        eyes = _of_driver(driving, "c_eyes", "eyes")[:, :1]
    if options.lip_retargeting and lip is None:
        lip = _of_driver(driving, "c_lip", "lip")
    return eyes, lip


def _of_driver(driving: Parameters, key: str, name: str) -> Tensor:
    if key not in driving:
        raise OptionError(
            f"How far {_PLURAL[name]} of the driver are open is not known.",
            f"Give {name}_open_ratio, a template that holds it, or a video with 203 points ({INSTALL}).",
        )
    return driving[key]


def _beside(source: Tensor, wanted: Tensor) -> Tensor:
    n = max(len(source), len(wanted))
    return torch.cat([source.expand(n, -1), wanted.expand(n, -1)], dim=1)


def known(ratio: Tensor | None, name: str) -> Tensor:
    """The source's ratio of eyes or lip. Raises OptionError where there is none."""
    if ratio is None:
        raise OptionError(
            f"How far {_PLURAL[name]} of the source are open is not known.",
            f"Give source_{name}_ratio, or have 203 points found ({INSTALL}).",
        )
    return ratio
