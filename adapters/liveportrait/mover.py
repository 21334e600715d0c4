"""From the motion of a driver to the key points that the networks render: transfer, editing, retargeting, stitching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.editing import Sliders, edited
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons
from thg_zoo.adapters.liveportrait.pose import FaceMotion
from thg_zoo.adapters.liveportrait.retargeting import Retargeting, ratios_of
from thg_zoo.adapters.liveportrait.transfer import Moves, Transfer
from thg_zoo.keypoints.transfer import movement_scale
from thg_zoo.motion import Parameters, part

Move: TypeAlias = Callable[[Parameters], Tensor]


@dataclass(frozen=True)
class Person:
    """The source's own motion: parameters of S frames (1 for a picture) as `MotionExtractor` gives them, and eyes
    `[S, 2]` and lip `[S, 1]` ratios, where they are known.
    """

    parameters: Parameters
    eyes: Tensor | None = None
    lip: Tensor | None = None
    still: bool = True

    @property
    def motion(self) -> FaceMotion:
        """Pose and expression."""
        return FaceMotion.of(self.parameters)

    @property
    def canonical(self) -> Tensor:
        """Key points without pose and expression, `[S, 21, 3]`."""
        return self.parameters["kp"]

    @property
    def keypoints(self) -> Tensor:
        """Key points as the frames show them, `[S, 21, 3]`."""
        return self.motion.flat().keypoints(self.canonical)

    def until(self, stop: int) -> Person:
        """The first `stop` frames."""
        eyes, lip = (None if ratio is None else ratio[:stop] for ratio in (self.eyes, self.lip))
        return Person(part(self.parameters, 0, stop), eyes, lip, self.still)


class Mover:
    """Moves one person, by a driver or by the sliders alone, to driving key points `[B, 21, 3]`.

    A driver moves a picture in batches, one after the other; a video all at once, frame by frame, for smoothing needs
    the whole.
    """

    def __init__(self, person: Person, options: LivePortraitOptions, networks: Perceptrons, sliders: Sliders) -> None:
        self._person = person
        self._options = options
        self._networks = networks
        self._sliders = sliders
        self._source = person.keypoints
        self._retargeting = Retargeting(networks, self._source, person.eyes, person.lip)

    def driven(self, first: Parameters, moves: Moves) -> Move:
        """By a driver, whose movement is counted from the frame `first`.

        Raises InputError where the key points of source or driver have no volume, so that they cannot be compared;
        what it returns raises OptionError where a ratio that an option needs is not known.
        """
        person, options = self._person, self._options
        transfer = Transfer(options, person.still, moves, FaceMotion.of(first))
        displaced = self._displacement(transfer)

        def move(driving: Parameters) -> Tensor:
            moved = transfer(person.motion, FaceMotion.of(driving)).flat()
            points = edited(moved, person.parameters, self._sliders).keypoints(person.canonical)
            wanted = ratios_of(driving, options)
            onto_source = options.retarget_onto == "source" and options.transfer != "absolute"
            return self._finished(displaced(points), *wanted, onto_source=onto_source)

        return move

    def posed(self, eyes: Tensor | None, lip: Tensor | None) -> Tensor:
        """By the sliders alone; eyes and lip `[1 or B, 1]`: the openings wanted, if any. The depth of the translation
        stays, as published."""
        moved = edited(self._person.motion, self._person.parameters, self._sliders)
        return self._finished(moved.keypoints(self._person.canonical), eyes, lip, onto_source=False)

    def _displacement(self, transfer: Transfer) -> Callable[[Tensor], Tensor]:
        """What makes of driven key points the source's, displaced as they are since the first frame."""
        options, source = self._options, self._source
        scaled = options.driving_option == "expression-friendly"
        relative = options.transfer == "relative" and self._person.still and scaled
        if transfer.moves == "picture" or not (relative or options.transfer == "displacement"):
            return lambda points: points
        origin = transfer(self._person.motion, transfer.first).flat().keypoints(self._person.canonical)
        strength = movement_scale(source[0], origin[0]) if scaled else 1.0
        return lambda points: source + strength * (points - origin)

    def _finished(self, driving: Tensor, eyes: Tensor | None, lip: Tensor | None, *, onto_source: bool) -> Tensor:
        """Retargeting and stitching, in the published order: where an opening is wanted, stitching comes after it;
        corrections of the source come after stitching."""
        source, options = self._source, self._options
        frames = max(len(source), len(driving))
        deltas = [] if eyes is None else [self._retargeting.to_eyes(eyes)]
        deltas += [] if lip is None else [self._retargeting.to_lip(lip)]
        if deltas:
            driving = sum(deltas, (source if onto_source else driving).expand(frames, -1, -1))
        if options.stitching:
            driving = self._networks.stitch(source, driving.expand(frames, -1, -1))
        if not deltas:
            driving = driving + self._retargeting.corrections(options, self._person.still)
        return torch.lerp(source, driving, options.driving_multiplier)
