"""What IP_LAP keeps of a source: landmarks and box of every frame, and the references from which faces are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.iplap.flow import References
from thg_zoo.adapters.iplap.options import IpLapOptions
from thg_zoo.adapters.iplap.processing import (
    Points,
    cut_face,
    face_box,
    lip_opening,
    network_faces,
    reference_ranks,
    to_crop,
)
from thg_zoo.adapters.iplap.sketch import draw_sketch
from thg_zoo.errors import MediaError
from thg_zoo.faces.missing import present
from thg_zoo.faces.smoothing import forward_means
from thg_zoo.inputs import Frame, Source
from thg_zoo.motion import Gathered
from thg_zoo.run import Run
from thg_zoo.timing import at_rate, extended_index, resample_index

FPS = Fraction(25)
"""The rate at which the networks were trained, and of everything they draw."""


@dataclass(frozen=True)
class Identity:
    """A prepared source: where its face is, and what was made of its references.

    name: for messages; references: faces, as the renderer keeps them; tokens: of landmarks `[R, 512]`.
    """

    name: str
    track: Track
    references: References
    tokens: Tensor


@dataclass(frozen=True)
class Track:
    """The face in every frame of a source.

    landmarks: float32 [n, 2, 131] in parts of the crop; boxes: int64 [n, 4]; shown: which frames are drawn anew, [n]
    (landmarks and boxes of the others are those of a neighbour); openings: of the mouth, [n]; fps: None for a picture.
    """

    landmarks: NDArray[np.float32]
    boxes: NDArray[np.int64]
    shown: NDArray[np.bool_]
    openings: NDArray[np.float64]
    fps: Fraction | None

    def order(self, start: int, stop: int, rule: str) -> NDArray[np.int64]:
        """The source's frame on screen in each of the frames start..stop-1 of the result; -1 and -2 show the first."""
        n, fps = len(self.boxes), self.fps or FPS
        wanted = (resample_index(max(0, i), FPS, fps) for i in range(start, stop))
        return np.array([extended_index(i, n, rule) for i in wanted], dtype=np.int64)

    def references(self, count: int) -> NDArray[np.int64]:
        """`count` frames, evenly by the opening of their mouths, out of those on screen at 25 per second."""
        seen = np.array([k for k in at_rate(range(len(self.boxes)), self.fps or FPS, FPS) if self.shown[k]])
        if not len(seen):
            seen = np.flatnonzero(self.shown)
        by_opening = seen[np.argsort(self.openings[seen], kind="stable")]
        chosen: NDArray[np.int64] = by_opening[reference_ranks(len(seen), count)]
        return chosen


def follow(
    found: Iterator[tuple[Frame, Points | None]], source: Source, options: IpLapOptions, lips_seen: bool, run: Run
) -> Track:
    """One pass over the source, of which points alone are kept: some 1 kB a frame.

    lips_seen: whether the points tell how far the mouth is open. Raises FaceError for frames without a face, as
    `missing_face` says.
    """
    fps = None if source.still else source.fps
    usable = ((f, p if p is None or _has_area(face_box(p, source.size)) else None) for f, p in found)
    rows, shown = Gathered(), []
    last: Points | None = None
    for _, points in present(usable, options.missing_face, source.name, fps, face=options.face):
        shown.append(points is not None)
        last = last if points is None else points
        if last is not None:
            rows.add({"points": torch.from_numpy(last)[None]})
        if fps is not None:
            run.advance("find landmarks", len(shown), source.n_frames)
    if last is None:
        raise MediaError(f"{source.name} holds no frames.", "Give another file.")
    every = rows.whole()["points"].numpy()
    # Frames before the first that shows a face take its place.
    every = np.concatenate((np.repeat(every[:1], len(shown) - len(every), axis=0), every))
    boxes = np.stack([face_box(points, source.size) for points in every])
    landmarks = [to_crop(points, box) for points, box in zip(every, boxes, strict=True)]
    openings = [lip_opening(points, source.size) if lips_seen else 0.0 for points in every]
    smooth = np.stack(list(forward_means(landmarks, options.smooth))).astype(np.float32)
    return Track(smooth, boxes, np.array(shown), np.array(openings), fps)


def _has_area(box: NDArray[np.int64]) -> bool:
    return bool(box[0] < box[1] and box[2] < box[3])


def reference_faces(source: Source, track: Track, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The different ones among the references: faces and sketches `[R, 3, 128, 128]`, and how often each counts `[R]`.

    The source is decoded once more, up to the last of them.
    """
    chosen, counts = np.unique(track.references(count), return_counts=True)
    faces = [
        cut_face(frame, track.boxes[k]) for k, frame in enumerate(source.frames(0, int(chosen[-1]) + 1)) if k in chosen
    ]
    drawn = [draw_sketch(track.landmarks[k], box_size(track.boxes[k])) / 255 for k in chosen]
    sketches = torch.from_numpy(np.stack(drawn)).to(device)[:, None].expand(-1, 3, -1, -1)
    return network_faces(np.stack(faces), device), sketches, torch.from_numpy(counts).to(device).float()


def box_size(box: NDArray[np.int64]) -> tuple[int, int]:
    """Height and width."""
    top, bottom, left, right = (int(side) for side in box)
    return bottom - top, right - left
