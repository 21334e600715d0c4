"""Drivers read as coefficients: pictures through the 3-D reconstruction, and the sequence that the network is given."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from thg_zoo.adapters.pirender.tables import NAME
from thg_zoo.errors import MediaError
from thg_zoo.face3d.mapping import sections
from thg_zoo.face3d.points import Points
from thg_zoo.face3d.reading import CoefficientReader
from thg_zoo.faces.detector import Picture
from thg_zoo.faces.driving_view import View
from thg_zoo.inputs import Source
from thg_zoo.motion import Parameters
from thg_zoo.recording import Tape
from thg_zoo.run import Run
from thg_zoo.video_driven import STILL_FPS

SIDE = 256
# Driving frames that are read at once: their number must not depend on what a person chooses as batch size.
PIECE = 16
# Of several faces in a crop, the one in its middle is meant.
_MIDDLE = np.full((1, 2), SIDE / 2, np.float32)


def squeezed(picture: Picture) -> Picture:
    """A crop as the networks see it, 256 x 256, by Pillow's bicubic filter as published; its aspect is not kept."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class PictureReader:
    """Reads coefficients from pictures of a face."""

    coefficients: CoefficientReader
    run: Run

    def read_one(self, crop: Picture, what: str) -> Tensor:
        """Those of one picture `[1, 73]`, 256 x 256."""
        return self._read([crop], None, what)[0]

    def read(self, frames: Source, view: View) -> Tape:
        """Pieces of a driver. Raises MediaError if it has no frames."""
        with contextlib.closing(self._pieces(frames, view, 1)) as pieces:
            first = next(pieces, None)
        if first is None:
            raise MediaError(f"{frames.name} holds no frames.", "Give another driver.")
        return Tape(lambda: self._pieces(frames, view, PIECE), first, frames.fps or STILL_FPS, frames.n_frames)

    def _pieces(self, frames: Source, view: View, size: int) -> Generator[Parameters]:
        held: Points | None = None
        with contextlib.closing(frames.frames()) as decoded:
            numbered = enumerate(decoded)
            while batch := list(itertools.islice(numbered, size)):
                pictures = [squeezed(view.cut(frame, i)) for i, frame in batch]
                rows, held = self._read(pictures, held, frames.name)
                yield {NAME: rows}

    def _read(self, pictures: list[Picture], held: Points | None, what: str) -> tuple[Tensor, Points | None]:
        found = self.coefficients.find(pictures, _MIDDLE, held, what, self.run)
        return self.coefficients.measure(pictures, found), found[-1]


def smoothed(pieces: Iterable[Tensor], deviation: float) -> Iterator[Tensor]:
    """A sequence that arrives in pieces `[k, rows]`, averaged over time by a Gaussian; its ends stand still beyond."""
    reach = math.ceil(3 * deviation)
    if not reach:
        yield from pieces
        return
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (weights / weights.sum()).view(1, 1, -1)
    for section in sections(pieces, reach):
        yield F.conv1d(section.T.unsqueeze(1), kernel.to(section)).squeeze(1).T
