"""What models share that move a picture like a driving video: crops, driving pictures, templates, paste-back.

A source picture is moved like a driving video: a network reads a few numbers per picture (key points, pose, a latent
motion), the driver's are applied to the source, and a generator renders the source at the result.
"""

from __future__ import annotations

import contextlib
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from thg_zoo.errors import OptionError
from thg_zoo.faces.driving_view import View, find_view
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.source_crop import SourceCrop, crop_source
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.keypoints.driving_options import TransferOptions
from thg_zoo.keypoints.template import read_template
from thg_zoo.motion import Motion, MotionStream, Parameters, part
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.recording import RecordingAdapter, Tape
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch

Transfer: TypeAlias = Callable[[Parameters], Parameters]
TransferT = TypeVar("TransferT", bound=TransferOptions)

# Frame rate of what a single driving picture, or an edit, makes.
STILL_FPS = Fraction(25)


@dataclass(frozen=True)
class Likeness:
    """The source: its crop, picture `[1, 3, S, S]` in 0..1 as the networks see it, and what they read from it (key
    points, say) by name, with one entry each.
    """

    name: str
    crop: SourceCrop
    picture: Tensor
    points: Parameters


class VideoDrivenAdapter(RecordingAdapter[TransferT, Likeness]):
    """The contract, fulfilled for such models. They add their networks, and what is in the hooks below."""

    # Wide feature maps at full size: more frames at once leave the caches.
    batch_sizes = {"cpu": 4, "cuda": 16, "mps": 8}  # noqa: RUF012 (declared by the contract)
    encodes_every_frame = True

    @abstractmethod
    def observe(self, pictures: Tensor) -> Parameters:
        """What the model reads from driving pictures `[B, 3, S, S]` in 0..1; the contents of a motion template."""

    def recognise(self, picture: Tensor) -> Parameters:
        """What it reads from the source picture `[1, 3, S, S]`."""
        return self.observe(picture)

    @abstractmethod
    def transfer(self, likeness: Likeness, reference: Parameters | None, options: TransferT) -> Transfer:
        """From what was observed to what the generator takes.

        reference: what was observed in the frame from which relative movement begins, None for absolute motion.
        """

    @abstractmethod
    def squeeze(self, pixels: Frame, options: TransferT) -> Tensor:
        """`[1, 3, S, S]` in 0..1 of a crop `[h, w, 3]`, squeezed to a square as published."""

    # The contract.

    def finish_loading(self) -> None:
        """Norms folded, on a CPU in float32 fast forms; the detector that crops start from."""
        self._detector = Mtcnn(self.runtime.device)
        finish_networks(self.networks.values(), self.runtime)

    def read_source(self, source: Source, options: TransferT, run: Run) -> Likeness:
        """The crop and what is read from it. Raises FaceError where no face is found, OptionError for a box outside."""
        crop = crop_source(source.first(), options, self._detector, source.name, run)
        picture = self.squeeze(crop.pixels, options)
        return Likeness(source.name, crop, picture, self.recognise(picture))

    def read_driver(self, driver: Driver, identity: Likeness, options: TransferT, run: Run) -> Motion:
        """Motion while it is read; only the crop and the reference frame are found in advance."""
        tape = self._template(driver, options) if driver.motion else self._tape(driver, identity, options, run)
        moves = tape.n_frames > 1
        if options.relative and not moves:
            run.warn(f"{driver.name} is one picture, without movement: its positions are taken (relative=false).")
        transfer = self.transfer(identity, tape.reference if options.relative and moves else None, options)
        return MotionStream(lambda: map(transfer, tape.pieces()), tape.fps, tape.n_frames)

    def compose(self, rendered: Tensor, identity: Likeness, source: SourceBatch, options: TransferT) -> Tensor:
        """The crop as it is rendered, or within the whole picture."""
        if not options.paste_back:
            return super().compose(rendered, identity, source, options)
        return identity.crop.paste(rendered, source.frames, options.feather)

    # Templates.

    def record(self, driver: Driver, options: TransferT, run: Run) -> Tape:
        """Everything but a comparison with the source."""
        return self._tape(driver, None, options, run)

    def _template(self, driver: Driver, options: TransferT) -> Tape:
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

    def _tape(self, driver: Driver, likeness: Likeness | None, options: TransferT, run: Run) -> Tape:
        frames = driver.frames
        compared = None if likeness is None else (likeness.name, likeness.crop.pixels)
        view = find_view(driver, options, options.best_frame, compared, self._detector, run)
        with contextlib.closing(frames.frames(view.reference, view.reference + 1)) as one:
            reference = next(one, None)
        if reference is None:
            raise _no_such_frame(view.reference, driver.name, frames.n_frames)
        seen = self.observe(self.squeeze(view.cut(reference, view.reference), options))
        return Tape(lambda: self._observed(frames, view, options), seen, frames.fps or STILL_FPS, frames.n_frames)

    def _observed(self, frames: Source, view: View, options: TransferT) -> Iterator[Parameters]:
        """Batch by batch; the reader decodes ahead in a thread."""
        with contextlib.closing(frames.frames()) as decoded:
            numbered = enumerate(decoded)
            while batch := list(itertools.islice(numbered, self.batch_size)):
                yield self.observe(torch.cat([self.squeeze(view.cut(frame, i), options) for i, frame in batch]))


def _no_such_frame(index: int, what: str, n: int) -> OptionError:
    return OptionError(f"best_frame = {index}, but {what} has {n} frames.", "Count from 0.")
