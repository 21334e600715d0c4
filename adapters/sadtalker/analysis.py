"""What is read from faces: the picture that is animated and its coefficients, and those of reference videos."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from thg_zoo.adapters.sadtalker.crop import Cut, Preprocess, cut_picture, moved_points, plan_cut
from thg_zoo.face3d.points import Points
from thg_zoo.face3d.reading import CoefficientReader
from thg_zoo.faces.detector import Picture
from thg_zoo.inputs import Source
from thg_zoo.media.planes import to_planes
from thg_zoo.run import Run
from thg_zoo.timing import at_rate

# Frames of a reference video that are read at once.
_BATCH = 16


@dataclass(frozen=True)
class FaceReader:
    """Finds faces and measures them.

    preprocess: where pictures are cut; size: side of what is cut; face: which one, see `LandmarkSearch.find`.
    """

    coefficients: CoefficientReader
    preprocess: Preprocess
    size: int
    face: str

    def read_picture(self, photo: Picture, what: str, run: Run) -> tuple[Cut, Tensor, Tensor]:
        """Where the photo uint8 [H, W, 3] is cut, what is cut `[1, 3, S, S]` in 0..1, and its coefficients `[1, 73]`.

        Raises FaceError where no face is found, OptionError for a wrong choice of the face.
        """
        cut, near = self._plan(photo, what, self.face)
        picture = cut_picture(photo, cut, self.size)
        found = self.coefficients.find([picture], near, None, what, run)
        return cut, to_planes([picture], self.coefficients.device), self.coefficients.measure([picture], found)

    def read_video(self, video: Source, fps: Fraction, n_frames: int, run: Run) -> Tensor:
        """Coefficients `[k, 73]` of the first `n_frames` frames of a reference video at `fps`, or of all it has.

        As published, all frames are cut where the first one is, and one without a face keeps the points before it. A
        number of a face counts in the photo alone: here it is the likeliest.
        """
        read: list[Tensor] = []
        held: Points | None = None
        with contextlib.closing(video.frames()) as frames:
            shown = itertools.islice(at_rate(frames, video.fps or fps, fps), n_frames)
            first = next(shown)
            cut, near = self._plan(first, video.name, "best" if self.face.isdecimal() else self.face)
            pictures = (cut_picture(frame, cut, self.size) for frame in itertools.chain([first], shown))
            while batch := list(itertools.islice(pictures, _BATCH)):
                found = self.coefficients.find(batch, near, held, video.name, run)
                held = found[-1]
                read.append(self.coefficients.measure(batch, found))
                run.advance("read reference", sum(map(len, read)), n_frames)
        return torch.cat(read)

    def _plan(self, photo: Picture, what: str, face: str) -> tuple[Cut, Points | None]:
        """The cut, and where the points of the face should be in it; None where the likeliest of the whole photo is
        meant, as published.
        """
        size = photo.shape[1], photo.shape[0]
        if self.preprocess == "resize" and face == "best":
            return plan_cut(None, size, "resize", what), None
        otherwise = "" if self.preprocess == "resize" else "take preprocess=resize"
        points = self.coefficients.search.find(photo, face, what, otherwise)
        cut = plan_cut(points, size, self.preprocess, what)
        return cut, moved_points(points, cut, self.size)
