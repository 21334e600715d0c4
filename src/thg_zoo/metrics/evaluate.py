"""One video measured: a single pass over its frames, in bounded memory, and a value or a reason for every metric."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.track import track_faces
from thg_zoo.inputs import Source, open_source
from thg_zoo.media.audio import Audio
from thg_zoo.metrics.catalogue import METRICS, check_names
from thg_zoo.metrics.choosing import Material, build_meters, same_shape
from thg_zoo.metrics.meter import Batch, Frames, Meter, Skip
from thg_zoo.metrics.mouth import MouthMeter
from thg_zoo.run import CancelCheck, ProgressCallback, Run
from thg_zoo.runtime import resolve_runtime
from thg_zoo.timing import at_rate

if TYPE_CHECKING:
    from thg_zoo.inputs import SourceLike
    from thg_zoo.metrics.identity import Embedder
    from thg_zoo.metrics.landmarks import LandmarkFinder

logger = logging.getLogger(__name__)

_BATCH = 8


@dataclass(frozen=True)
class Measured:
    """scores: values by metric; skipped: why the others have none; opening, loudness: curves [T] in 0..1 at the video's
    rate, None where there is no face or no sound; faces: in how many of the frames a face was found.
    """

    scores: dict[str, float]
    skipped: dict[str, str]
    frames: int = 0
    faces: int = 0
    opening: NDArray[np.float64] | None = field(default=None, repr=False)
    loudness: NDArray[np.float64] | None = field(default=None, repr=False)


def evaluate(
    video: SourceLike,
    *,
    source: SourceLike | None = None,
    reference: SourceLike | None = None,
    audio: Path | Audio | None = None,
    names: Sequence[str] | None = None,
    weights: str | Path | None = None,
    accept_licence: bool = False,
    landmarks: LandmarkFinder | None = None,
    embedder: Embedder | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Measured:
    """Measure `video`.

    source: the picture or video it was made from; reference: the video that should have come out; audio: its sound,
    by default that of the file; names: metrics of the catalogue, by default all for which everything is here;
    weights: those of SyncNet (a file), of SyncNet and FAN (a folder), or `random`; landmarks: finds 68 face landmarks
    in place of FAN; embedder: gives identity embeddings of aligned faces (see docs/metrics.md).
    A metric that cannot be computed is skipped with the reason. Raises MediaError for videos that cannot be read,
    UsageError for an unknown metric, Cancelled.
    """
    opened = open_source(video, ("video",))
    other = None if reference is None else open_source(reference, ("video",))
    if audio is None and opened.file is not None and opened.file.has_audio:
        audio = opened.file.path
    runtime = resolve_runtime(device)
    material = Material(
        video=opened,
        source=None if source is None else open_source(source, ("image", "video")),
        reference=other,
        audio=audio,
        weights=weights,
        accept_licence=accept_licence,
        landmarks=landmarks,
        embedder=embedder,
        device=runtime.device,
        seed=seed,
        fetch=names is not None,
    )
    wanted = check_names(names)
    meters, skipped = build_meters(wanted, material)
    run = Run(seed, progress, cancel)
    frames, faces = _pass_over(opened, other, meters, skipped, run, runtime.device.type)
    scores: dict[str, float] = {}
    for meter in meters:
        try:
            scores |= {name: value for name, value in meter.result().items() if name in wanted}
        except Skip as reason:
            skipped |= {name: str(reason) for name in meter.names if name in wanted}
    curves = next((meter.curves() for meter in meters if isinstance(meter, MouthMeter)), None)
    order = [name for name in METRICS if name in wanted]
    return Measured(
        {name: scores[name] for name in order if name in scores},
        {name: skipped[name] for name in order if name in skipped},
        frames,
        faces,
        *(curves or (None, None)),
    )


def _pass_over(
    video: Source, reference: Source | None, meters: list[Meter], skipped: dict[str, str], run: Run, device: str
) -> tuple[int, int]:
    """Feed all frames to all meters; those that give up are taken out. Returns the numbers of frames and of faces."""
    look = any(meter.looks_at_faces for meter in meters)
    look_at_reference = look and any(meter.looks_at_faces and _compares(meter) for meter in meters)
    detector = Mtcnn(device) if look else None
    n = faces = 0
    with contextlib.closing(video.frames()) as frames, contextlib.closing(_reference(video, reference)) as others:
        seen = _followed(frames, detector)
        compared = _followed(others, detector if look_at_reference else None)
        while piece := list(itertools.islice(seen, _BATCH)):
            beside = list(itertools.islice(compared, len(piece)))
            batch = Batch(
                np.stack([frame for frame, _ in piece]),
                [face for _, face in piece],
                np.stack([frame for frame, _ in beside]) if beside else piece[0][0][:0][None][:0],
                [face for _, face in beside],
            )
            _feed(meters, batch, skipped)
            n += len(piece)
            faces += sum(face is not None for face in batch.faces)
            run.advance("frames", n, video.n_frames)
    return n, faces


def _feed(meters: list[Meter], batch: Batch, skipped: dict[str, str]) -> None:
    for meter in list(meters):
        try:
            meter.update(batch)
        except Skip as reason:
            skipped |= dict.fromkeys(meter.names, str(reason))
            meters.remove(meter)


def _compares(meter: Meter) -> bool:
    return any(METRICS[name].reference for name in meter.names)


def _followed(frames: Iterator[Frames], detector: Mtcnn | None) -> Iterator[tuple[Frames, Face | None]]:
    """Frames with the face in each; every frame is looked at and nothing is smoothed, so that trembling shows."""
    if detector is None:
        return ((frame, None) for frame in frames)
    return track_faces(frames, detector, missing="pass", window=1, batch=_BATCH)


def _reference(video: Source, reference: Source | None) -> Generator[Frames]:
    """The reference at the times and in the size of the video's frames; nothing if it was cut in another way."""
    if reference is None or not same_shape(video, reference):
        return
    assert video.fps is not None
    assert reference.fps is not None
    height, width = video.size
    with contextlib.closing(reference.frames()) as frames:
        for frame in at_rate(frames, reference.fps, video.fps):
            if frame.shape[:2] == video.size:
                yield frame
            else:
                rule = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
                yield np.asarray(cv2.resize(frame, (width, height), interpolation=rule), np.uint8)
