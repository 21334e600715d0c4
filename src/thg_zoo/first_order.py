"""What the models of the first-order-motion family share: crops, driving key points, motion transfer, paste-back.

A source picture is moved like a driving video: key points of both are found by a network, the driver's movement is
applied to the source's points, and a generator renders the source at the points so moved. Siarohin et al., "First
Order Motion Model for Image Animation", NeurIPS 2019, and its descendants.
"""

from __future__ import annotations

import contextlib
import itertools
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.errors import OptionError
from thg_zoo.faces.choose import choose_face, rule_of
from thg_zoo.faces.detector import Face
from thg_zoo.faces.face_crop import face_crop
from thg_zoo.faces.moving_crop import MovingCrop
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.paste import feather_mask, paste
from thg_zoo.faces.person_crop import PersonCrop, given_crop
from thg_zoo.faces.track import track_faces
from thg_zoo.faces.transforms import matrix_from_box
from thg_zoo.faces.upright import AnyTurn, quarter_turns
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.keypoints.best_frame import best_frame
from thg_zoo.keypoints.driving_options import DrivingOptions, SizedDrivingOptions
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.template import read_template
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.motion import Motion, MotionStream, Parameters, part
from thg_zoo.nn.fast_forms import use_fast_forms
from thg_zoo.nn.fold import fold_batch_norm
from thg_zoo.nn.spectral import fold_spectral_norm
from thg_zoo.recording import RecordingAdapter, Tape
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch

Crop: TypeAlias = tuple[int, int, int, int]
Transfer: TypeAlias = Callable[[Parameters], Parameters]
DrivingT = TypeVar("DrivingT", bound=DrivingOptions)

# The side that the published networks were trained at.
_TRAINED_SIDE = 256
# Every so many frames the face of a driver is looked for: the crop is the same for all.
_LOOK_EVERY = 5
# Frames over which a moving crop's positions are averaged: half a second before, and as much of look-ahead.
_SMOOTHED = 25
# Frame rate of what a single driving picture makes.
_STILL_FPS = Fraction(25)


@dataclass(frozen=True)
class Likeness:
    """The source: crop (x, y, width, height) and its pixels, turned counter-clockwise by `turns` quarters so that the
    face is upright, picture `[1, 3, S, S]` in 0..1 as the networks see it, and its key points by name, with one entry
    each.
    """

    name: str
    crop: Crop
    pixels: Frame
    picture: Tensor
    points: Parameters
    turns: int = 0


@dataclass(frozen=True)
class View:
    """How driving frames are looked at: the crop of all of them, or one that moves, and the reference of relative
    movement.
    """

    crop: Crop | MovingCrop
    reference: int

    def cut(self, frame: Frame, index: int) -> Frame:
        """What is looked at of frame `index`."""
        return self.crop.cut(frame, index) if isinstance(self.crop, MovingCrop) else _cut(frame, self.crop)


class FirstOrderAdapter(RecordingAdapter[DrivingT, Likeness]):
    """The contract, fulfilled for all models of the family. They add their networks, and what is in the hooks below."""

    # Wide feature maps at full size: more frames at once leave the caches.
    batch_sizes = {"cpu": 4, "cuda": 16, "mps": 8}  # noqa: RUF012 (declared by the contract)

    @abstractmethod
    def observe(self, pictures: Tensor) -> Parameters:
        """What the model reads from driving pictures `[B, 3, S, S]` in 0..1; the contents of a motion template."""

    def recognise(self, picture: Tensor) -> Parameters:
        """The key points of the source picture `[1, 3, S, S]`."""
        return self.observe(picture)

    def transfer(self, likeness: Likeness, reference: Parameters | None, options: DrivingT) -> Transfer:
        """From what was observed to the key points that the generator takes.

        reference: what was observed in the frame from which relative movement begins, None for absolute motion.
        """
        if reference is None:
            return lambda seen: seen
        source, initial = KeyPoints(**likeness.points), KeyPoints(**reference)
        make = RelativeMotion.adapted if options.adapt_scale else RelativeMotion
        return _as_parameters(make(source, initial))

    # The contract.

    def finish_loading(self) -> None:
        """Norms folded; on a CPU in float32, wide convolutions with fewer multiplications. The same functions."""
        self._detector = Mtcnn(self.runtime.device)
        for network in self.networks.values():
            fold_spectral_norm(network)
            fold_batch_norm(network)
            if self.runtime.device.type == "cpu" and self.runtime.precision == "float32":
                use_fast_forms(network)

    def read_source(self, source: Source, options: DrivingT, run: Run) -> Likeness:  # noqa: ARG002 (the contract's)
        """The crop and its key points. Raises FaceError where no face is found, OptionError for a box outside."""
        frame = source.first()
        size, turns = (frame.shape[0], frame.shape[1]), 0
        if options.crop_box is not None:
            crop = given_crop(options.crop_box, size, source.name)
        elif options.crop == "auto":
            face = choose_face(AnyTurn(self._detector).detect([frame])[0], rule_of(options.face), source.name)
            crop, turns = face_crop(_box(face), size), quarter_turns(face)
        else:
            crop = 0, 0, size[1], size[0]
        pixels = np.ascontiguousarray(np.rot90(_cut(frame, crop), turns))
        picture = self._picture(pixels, options)
        return Likeness(source.name, crop, pixels, picture, self.recognise(picture), turns)

    def read_driver(self, driver: Driver, identity: Likeness, options: DrivingT, run: Run) -> Motion:
        """Key points while they are read; only the crop and the reference frame are found in advance."""
        tape = self._template(driver, options) if driver.motion else self._tape(driver, identity, options, run)
        moves = driver.kind != "image"
        if options.relative and not moves:
            run.warn(f"{driver.name} is one picture, without movement: its positions are taken (relative=false).")
        transfer = self.transfer(identity, tape.reference if options.relative and moves else None, options)
        return MotionStream(lambda: map(transfer, tape.pieces()), tape.fps, tape.n_frames)

    def compose(self, rendered: Tensor, identity: Likeness, source: SourceBatch, options: DrivingT) -> Tensor:
        """The crop as it is rendered, or within the whole picture."""
        if not options.paste_back:
            return super().compose(rendered, identity, source, options)
        size = rendered.shape[2], rendered.shape[3]
        rendered = torch.rot90(rendered, -identity.turns, (2, 3))
        x, y, width, height = identity.crop
        matrix = matrix_from_box((x, y, x + width, y + height), size)
        return paste(rendered, source.frames, matrix, feather_mask(size, options.feather, rendered.device))

    # Templates.

    def record(self, driver: Driver, options: DrivingT, run: Run) -> Tape:
        """Everything but a comparison with the source."""
        return self._tape(driver, None, options, run)

    def _template(self, driver: Driver, options: DrivingT) -> Tape:
        """A saved driver. Raises MediaError if it is not one of this model's, OptionError for its reference."""
        assert driver.motion is not None
        template = read_template(driver.motion, self.model.name)
        if options.best_frame == "find":
            raise OptionError("best_frame=find needs the driving video.", "Give it, or a frame's number.")
        reference = template.reference
        if options.best_frame != "first":
            index = int(options.best_frame)
            if index >= len(template):
                raise _no_such_frame(index, driver.name, len(template))
            reference = part(template.parameters, index, index + 1)
        return Tape.of(template, reference, self.batch_size, self.runtime.device)

    # Driving pictures.

    def _tape(self, driver: Driver, likeness: Likeness | None, options: DrivingT, run: Run) -> Tape:
        frames = driver.frames
        view = self._view(driver, likeness, options, run)
        with contextlib.closing(frames.frames(view.reference, view.reference + 1)) as one:
            reference = next(one, None)
        if reference is None:
            raise _no_such_frame(view.reference, driver.name, frames.n_frames)
        seen = self.observe(self._picture(view.cut(reference, view.reference), options))
        fps = frames.fps or _STILL_FPS
        return Tape(lambda: self._observed(frames, view, options), seen, fps, frames.n_frames)

    def _observed(self, frames: Source, view: View, options: DrivingT) -> Iterator[Parameters]:
        """Batch by batch; the reader decodes ahead in a thread."""
        with contextlib.closing(frames.frames()) as decoded:
            numbered = enumerate(decoded)
            while batch := list(itertools.islice(numbered, self.batch_size)):
                yield self.observe(torch.cat([self._picture(view.cut(frame, i), options) for i, frame in batch]))

    def _view(self, driver: Driver, likeness: Likeness | None, options: DrivingT, run: Run) -> View:
        """Passes over the driver to find the face, unless a box is given and the reference is known."""
        size = driver.frames.size
        searched = options.driver_crop != "none" and options.driver_crop_box is None
        moving = searched and options.driver_crop == "smooth"
        person: PersonCrop | MovingCrop = MovingCrop() if moving else PersonCrop()
        best = 0
        if options.best_frame == "find":
            best = best_frame(self._landmarks(likeness), self._followed(driver, person, 1, options, run))
        elif searched:
            deque(self._followed(driver, person, _LOOK_EVERY, options, run), maxlen=0)
        crop: Crop | MovingCrop = (0, 0, size[1], size[0])
        if options.driver_crop_box is not None:
            crop = given_crop(options.driver_crop_box, size, driver.name)
        elif searched:
            crop = _settled(person, size, driver.name)
            _warn_of(person, driver.name, run)
        if options.best_frame == "first":
            best = person.first or 0
        return View(crop, int(options.best_frame) if options.best_frame.isdecimal() else best)

    def _followed(
        self, driver: Driver, person: PersonCrop | MovingCrop, every: int, options: DrivingT, run: Run
    ) -> Iterator[NDArray[np.floating[Any]] | None]:
        """Landmarks `[5, 2]` of the driving face in every frame, None where there is none; the crop grows with them."""
        source = driver.frames
        rule = rule_of(options.driver_face)
        window = _SMOOTHED if isinstance(person, MovingCrop) else 1
        with contextlib.closing(source.frames()) as frames:
            tracked = track_faces(frames, self._detector, rule, "pass", what=driver.name, window=window, every=every)
            for i, (_, face) in enumerate(tracked):
                run.advance("find face", i, source.n_frames)
                person.add(face)
                yield None if face is None else face.points

    def _landmarks(self, likeness: Likeness | None) -> NDArray[np.floating[Any]]:
        """Landmarks `[5, 2]` of the source's face. Raises FaceError if it has none."""
        if likeness is None:
            raise OptionError("best_frame=find compares with a source; a template has none.", "Give a frame's number.")
        points = choose_face(self._detector.detect([likeness.pixels])[0], "largest", likeness.name).points
        assert points is not None
        return points

    def _picture(self, pixels: Frame, options: DrivingT) -> Tensor:
        """`[1, 3, S, S]` in 0..1 of a crop `[h, w, 3]`, squeezed to a square as published."""
        side = int(options.size) if isinstance(options, SizedDrivingOptions) else _TRAINED_SIDE
        planes = torch.from_numpy(pixels).to(self.runtime.device).permute(2, 0, 1).unsqueeze(0)
        return resize_antialiased(planes.float() / 255, (side, side)).contiguous()


def _as_parameters(transfer: Callable[[KeyPoints], KeyPoints]) -> Transfer:
    """Motion transfer on parameters by name."""

    def apply(seen: Parameters) -> Parameters:
        moved = transfer(KeyPoints(**seen))
        named = {"value": moved.value, "jacobian": moved.jacobian}
        return {name: value for name, value in named.items() if value is not None}

    return apply


def _cut(frame: Frame, crop: Crop) -> Frame:
    x, y, width, height = crop
    return np.ascontiguousarray(frame[y : y + height, x : x + width])


def _box(face: Face) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(v) for v in face.box)
    return x1, y1, x2, y2


def _settled(person: PersonCrop | MovingCrop, size: tuple[int, int], what: str) -> Crop | MovingCrop:
    """The crop when all frames are seen. Raises FaceError if none showed a face."""
    if isinstance(person, PersonCrop):
        return person.crop(size, what)
    person.check(what)
    return person


def _warn_of(person: PersonCrop | MovingCrop, what: str, run: Run) -> None:
    if person.first:
        run.warn(f"{what} shows no face before frame {person.first}, which is taken as the reference.")
    if isinstance(person, PersonCrop) and person.strayed:
        run.warn(
            f"In {person.strayed} of {person.seen} frames of {what} the face is far from where it began (a cut, "
            "another person, or a long way): it is outside the crop. Cut the video, or give driver_crop=smooth."
        )


def _no_such_frame(index: int, what: str, n: int) -> OptionError:
    return OptionError(f"best_frame = {index}, but {what} has {n} frames.", "Count from 0.")
