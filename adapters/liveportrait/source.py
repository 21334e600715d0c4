"""The source read once: where its face is in every frame, and its motion. Frames are not kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.liveportrait.crop import Matrix, Points, crop_matrix, cut, face_square, reduced, squeezed
from thg_zoo.adapters.liveportrait.landmarks import FaceFinder
from thg_zoo.adapters.liveportrait.mover import Person
from thg_zoo.adapters.liveportrait.networks import LivePortraitNetworks
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.retargeting import openings
from thg_zoo.faces.choose import rule_of
from thg_zoo.faces.missing import no_face
from thg_zoo.faces.person_crop import given_crop
from thg_zoo.faces.track import MissingFace
from thg_zoo.inputs import Frame, Source
from thg_zoo.media.planes import to_planes
from thg_zoo.motion import Gathered
from thg_zoo.run import Run

# Frames of which the motion is found at once.
_BATCH = 8
# What helps where no face is found.
_OTHERWISE = "give crop_box or do_crop=false"


@dataclass(frozen=True)
class Sight:
    """What is seen of a source frame: the crop's matrix, None where the frame is taken whole."""

    matrix: Matrix | None


@dataclass(frozen=True)
class Likeness:
    """The source.

    fps: its rate, None for a picture; sights: of every frame, None for frames without a face, which pass unchanged;
    person: the motion of every frame (of those without a face, that of the one before); finder: for its drivers.
    """

    name: str
    fps: Fraction | None
    sights: list[Sight | None]
    person: Person
    finder: FaceFinder

    @property
    def complete(self) -> bool:
        """Whether every frame shows the face."""
        return None not in self.sights


@dataclass
class _Seen:
    """shown: which frames show the face; of these their motion, and where they were looked at: matrix, and points
    where there are 203."""

    shown: list[bool] = field(default_factory=list)
    motion: Gathered = field(default_factory=Gathered)
    places: Gathered = field(default_factory=Gathered)

    @property
    def rows(self) -> NDArray[np.intp]:
        """For every frame the one among those shown: the one before, or, before the first, that."""
        rows: NDArray[np.intp] = np.maximum(np.cumsum(self.shown) - 1, 0)
        return rows

    def note(self, matrix: Matrix | None, points: Points | None) -> None:
        """Where the next frame was looked at."""
        known = {"matrix": matrix, "points": points}
        self.places.add({name: torch.from_numpy(value[None]) for name, value in known.items() if value is not None})


def as_input(pictures: list[Frame], device: torch.device) -> Tensor:
    """What the networks take, `[B, 3, 256, 256]` in 0..1."""
    return to_planes(pictures, device).contiguous()


def look(frame: Frame, sight: Sight) -> Frame:
    """The networks' view of a source frame, `[256, 256, 3]`."""
    return squeezed(frame) if sight.matrix is None else reduced(cut(frame, sight.matrix))


def read_likeness(
    source: Source, finder: FaceFinder, networks: LivePortraitNetworks, options: LivePortraitOptions, run: Run
) -> Likeness:
    """Pass over the source once. Raises FaceError where a face is missing and may not be."""
    seen = _Seen()
    frames = _sighted(source, finder, options, seen)
    while batch := list(itertools.islice(frames, _BATCH)):
        pictures = as_input([look(frame, sight) for frame, sight in batch], networks.runtime.device)
        seen.motion.add(networks.motion(pictures))
        run.advance("read source", len(seen.shown), source.n_frames)
    if not any(seen.shown):
        raise no_face(source.name, options.face, _OTHERWISE)
    rows, places = seen.rows, seen.places.whole()
    motion = {name: value[rows] for name, value in seen.motion.whole(networks.runtime.device).items()}
    eyes, lip = _ratios(places.get("points"), rows, options, motion["t"])
    matrices = places["matrix"].numpy() if options.cropped else [None] * len(rows)
    sights = [Sight(matrices[row]) if shown else None for row, shown in zip(rows, seen.shown, strict=True)]
    return Likeness(source.name, source.fps, sights, Person(motion, eyes, lip, source.still), finder)


def _sighted(
    source: Source, finder: FaceFinder, options: LivePortraitOptions, seen: _Seen
) -> Iterator[tuple[Frame, Sight]]:
    """Frames with a face; what is found of all frames is noted."""
    if not options.do_crop or options.crop_box is not None:
        matrix = None if options.crop_box is None else _given(options.crop_box, source)
        for frame in source.frames():
            seen.shown.append(True)
            seen.note(matrix, finder.uncropped(frame if matrix is None else cut(frame, matrix)))
            yield frame, Sight(matrix)
        return
    missing = cast("MissingFace", options.missing_face)
    for frame, points in finder.follow(source, rule_of(options.face), missing, otherwise=_OTHERWISE):
        seen.shown.append(points is not None)
        if points is not None:
            matrix = _matrix(points, options)
            seen.note(matrix, points if finder.measures else None)
            yield frame, Sight(matrix)


def _given(box: tuple[int, int, int, int], source: Source) -> Matrix:
    """Of a box that a person gave. Raises OptionError unless it lies within the frames."""
    x, y, width, height = given_crop(box, source.size, source.name)
    return crop_matrix(np.array([x + (width - 1) / 2, y + (height - 1) / 2]), max(width, height))


def _matrix(points: Points, options: LivePortraitOptions) -> Matrix:
    centre, side, angle = face_square(points, options.scale, options.vx_ratio, options.vy_ratio)
    return crop_matrix(centre, side, angle if options.do_rot else None)


def _ratios(
    points: Tensor | None, rows: NDArray[np.intp], options: LivePortraitOptions, like: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Eyes and lip, as given, else as measured where there are 203 points."""
    n = len(rows)
    measured = None if points is None else openings(points.to(like))
    eyes, lip = (None, None) if measured is None else (measured.eyes[rows], measured.lip[rows])
    if options.source_eyes_ratio is not None:
        eyes = like.new_full((n, 2), options.source_eyes_ratio)
    if options.source_lip_ratio is not None:
        lip = like.new_full((n, 1), options.source_lip_ratio)
    return eyes, lip
