"""Drivers read as motion: pictures by the motion extractor, saved motion, and the time of each output frame."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.crop import CROP_SIDE, Matrix, crop_matrix, cut, mean_box, squeezed
from thg_zoo.adapters.liveportrait.landmarks import FaceFinder
from thg_zoo.adapters.liveportrait.networks import LivePortraitNetworks
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.pose import FaceMotion
from thg_zoo.adapters.liveportrait.retargeting import openings
from thg_zoo.adapters.liveportrait.source import as_input
from thg_zoo.adapters.liveportrait.templates import read_motion
from thg_zoo.errors import MediaError
from thg_zoo.faces.choose import rule_of
from thg_zoo.faces.missing import no_face
from thg_zoo.inputs import Source
from thg_zoo.motion import Gathered, Parameters
from thg_zoo.recording import Tape
from thg_zoo.run import Run
from thg_zoo.timing import frames_to_cover, resample_index

# Rate of what a single driving picture makes, as published.
STILL_FPS = Fraction(25)
# What helps where no face is found.
_OTHERWISE = "give another driver or crop_driving=never"
# The five points are looked for in every so many frames: the crop is the same for all.
_LOOK_EVERY = 5


class PictureReader:
    """Reads the motion of driving frames.

    ratios: whether the openings of eyes and lips are read too; they need 203 points in every frame.
    """

    def __init__(
        self, networks: LivePortraitNetworks, finder: FaceFinder, options: LivePortraitOptions, ratios: bool
    ) -> None:
        self._networks = networks
        self._finder = finder
        self._options = options
        self._ratios = ratios and finder.measures

    def read(self, frames: Source, size: int, run: Run) -> Tape:
        """Pieces of `size` frames: R, exp, scale, t, and c_eyes and c_lip where they are read.

        Passes over the frames in advance where a crop or ratios are wanted; raises FaceError if none shows a face.
        """
        matrix, ratios = None, Parameters()
        if self._cropped(frames) or self._ratios:
            shown, points = self._find(frames, run)
            if not any(shown):
                raise no_face(frames.name, self._options.driving_face, _OTHERWISE, option="driving_face")
            matrix = self._crop(points) if self._cropped(frames) else None
            ratios = _ratios_over_time(shown, points) if self._ratios else ratios
        with contextlib.closing(self._pieces(frames, matrix, ratios, 1)) as pieces:
            first = next(pieces, None)
        if first is None:
            raise MediaError(f"{frames.name} holds no frames.", "Give another driver.")
        return Tape(lambda: self._pieces(frames, matrix, ratios, size), first, frames.fps or STILL_FPS, frames.n_frames)

    def _cropped(self, frames: Source) -> bool:
        height, width = frames.size
        wanted = self._options.crop_driving
        return wanted == "always" or (wanted == "auto" and height != width)

    def _find(self, frames: Source, run: Run) -> tuple[list[bool], Tensor]:
        """Which frames show the face, and the landmarks of these `[N, 5 or 203, 2]`."""
        shown: list[bool] = []
        found = Gathered()
        every = 1 if self._ratios else _LOOK_EVERY
        for _, points in self._finder.follow(frames, rule_of(self._options.driving_face), "pass", every, _OTHERWISE):
            run.advance("find face", len(shown), frames.n_frames)
            shown.append(points is not None)
            if points is not None:
                found.add({"points": torch.from_numpy(points[None])})
        return shown, found.whole().get("points", torch.empty(0))

    def _crop(self, points: Tensor) -> Matrix:
        """One upright square for the whole clip."""
        o = self._options
        box = mean_box(points.numpy(), o.scale_crop_driving, o.vx_ratio_crop_driving, o.vy_ratio_crop_driving)
        return crop_matrix((box[:2] + box[2:]) / 2, float(box[2] - box[0]), size=CROP_SIDE)

    def _pieces(self, frames: Source, matrix: Matrix | None, ratios: Parameters, size: int) -> Generator[Parameters]:
        start = 0
        with contextlib.closing(frames.frames()) as decoded:
            while batch := list(itertools.islice(decoded, size)):
                views = [squeezed(frame if matrix is None else cut(frame, matrix)) for frame in batch]
                seen = FaceMotion.of(self._networks.motion(as_input(views, self._networks.runtime.device)))
                known = {name: value[start : start + len(batch)].to(seen.t) for name, value in ratios.items()}
                yield {**seen.parameters(), **known}
                start += len(batch)


def _ratios_over_time(shown: list[bool], points: Tensor) -> Parameters:
    """c_eyes `[T, 2]` and c_lip `[T, 1]`; frames without a face have those of the one before, or of the first."""
    measured, rows = openings(points), np.maximum(np.cumsum(shown) - 1, 0)
    return {"c_eyes": measured.eyes[rows], "c_lip": measured.lip[rows]}


def read_saved(path: Path, size: int, device: torch.device) -> Tape:
    """A saved motion, in pieces of `size` frames. Raises MediaError."""
    template = read_motion(path)
    return Tape.of(template, template.reference, size, device)


def frames_for_video(driving: int, driving_fps: Fraction, source: int, source_fps: Fraction, sync: str) -> list[int]:
    """The driving frame for each frame of a source video, until either ends.

    sync: `time` takes the one at its time, `frame` (as published) that of its number, whatever the rates.
    """
    if sync == "frame":
        return list(range(min(driving, source)))
    shown = min(source, frames_to_cover(driving / driving_fps, source_fps))
    return [min(resample_index(i, source_fps, driving_fps), driving - 1) for i in range(shown)]
