"""Animation: the result of `animate`, made only when somebody looks at it."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thg_zoo.background import Consumer
from thg_zoo.errors import MediaError, OutputError
from thg_zoo.inputs import Driver, Frame
from thg_zoo.media.audio import Audio
from thg_zoo.media.outputs import OutputKind, check_output
from thg_zoo.media.writer import VideoWriter
from thg_zoo.motion import Motion
from thg_zoo.provenance import synthetic_tags, xmp_packet
from thg_zoo.report import RunReport, check_report_path
from thg_zoo.run import Run
from thg_zoo.streaming import Renderer
from thg_zoo.timing import extended_length, frames_to_cover

if TYPE_CHECKING:
    from thg_zoo.adapter import Portrait


class Animation:
    """A talking video that is rendered while it is read. Reading it again renders it again, identically.

    fps: exact frames per second; n_frames: the number of frames (for a driving video as its container says,
    until it was read to the end); audio: what is heard, as a file or in memory, or None; report: the
    `RunReport` of the last `save`, or None; motion: what the network renders, per frame; run: seconds by stage and
    warnings so far.
    """

    def __init__(self, portrait: Portrait[Any, Any], driver: Driver, motion: Motion, options: Any, run: Run) -> None:
        self._portrait = portrait
        self._driver = driver
        self.motion = motion
        self._options = options
        self.run = run
        self.report: RunReport | None = None

    @property
    def fps(self) -> Fraction:
        """Exact frames per second."""
        return self.motion.fps

    @property
    def n_frames(self) -> int:
        """How many frames the animation has."""
        source = self._portrait.source
        if source.still:
            return self.motion.n_frames
        return extended_length(self.motion.n_frames, frames_to_cover(self._lasts, self.fps), self.motion.extend)

    @property
    def _lasts(self) -> Fraction:
        """Seconds of a source video."""
        source = self._portrait.source
        return source.n_frames / (source.fps or self.fps)

    @property
    def audio(self) -> Path | Audio | None:
        """The sound that belongs to it, as the adapter chooses: of the driver, or of a source video."""
        portrait = self._portrait
        return portrait.adapter.choose_audio(self._driver, portrait.source, self._options)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self) -> Generator[Frame]:
        """The frames one by one, uint8 [H, W, 3] in RGB."""
        with contextlib.closing(self.batches()) as batches:
            for batch in batches:
                yield from batch

    def batches(self) -> Generator[NDArray[np.uint8]]:
        """The frames as they are rendered, uint8 [B, H, W, 3]."""
        yield from Renderer(self._portrait, self._options, self.run).frames(self.motion)

    def to_array(self) -> NDArray[np.uint8]:
        """All frames at once, uint8 [T, H, W, 3]. Memory grows with the length: prefer `frames` or `save`."""
        return np.concatenate(list(self.batches()))

    def save(self, path: str | Path, *, overwrite: bool = False, report: str | Path | None = None) -> Path:
        """Write a video with sound: .mp4, .webm, .gif, or a folder of PNGs (a path without a suffix); or, of a single
        frame, a picture: .png.

        The file appears when it is complete; whatever goes wrong, or a cancellation, leaves nothing behind.
        report: where to write the `RunReport` as JSON. Raises OutputError, DeviceError, Cancelled.
        """
        kind = check_output(path, overwrite)
        if kind is OutputKind.PNG and self.n_frames > 1:
            raise OutputError(
                f"{path} is to be one picture, but there are {self.n_frames} frames.", "Name a video, such as out.mp4."
            )
        if report is not None:
            check_report_path(report)
        begin = time.perf_counter()
        n, size, written = 0, (0, 0), Path(path)
        with contextlib.closing(self.batches()) as batches:
            first = next(batches, None)
            if first is None:
                raise MediaError(f"{self._driver.name} holds no frames.", "Give another driver.")
            size = (first.shape[1], first.shape[2])
            with self._writer(path, size, overwrite) as writer:
                with Consumer(writer.write) as encoder:
                    for batch in itertools.chain([first], batches):
                        with self.run.stage("wait for encoder"):
                            encoder.put(batch)
                        n += len(batch)
                with self.run.stage("finish file"):
                    written = writer.close()
        self.report = self._describe(written, n, size, time.perf_counter() - begin)
        if report is not None:
            self.report.write(report)
        return written

    def _writer(self, path: str | Path, size: tuple[int, int], overwrite: bool) -> VideoWriter:
        tags = synthetic_tags(self._portrait.adapter.spec, self._portrait.adapter.model.name)
        cut = self.motion.extend == "cut" and not self._portrait.source.still
        return VideoWriter(
            path,
            self.fps,
            size,
            audio=self.audio,
            metadata=tags,
            xmp=xmp_packet(tags),
            # A source that outlasts the motion cuts nothing: some motions end a little before their sound.
            duration=self._lasts if cut else None,
            overwrite=overwrite,
        )

    def _describe(self, output: Path, frames: int, size: tuple[int, int], seconds: float) -> RunReport:
        adapter = self._portrait.adapter
        return RunReport(
            model=adapter.spec.name,
            variant=adapter.model.name,
            source=_unquoted(self._portrait.source.name),
            driver=_unquoted(self._driver.name),
            output=str(output),
            device=adapter.runtime.description,
            precision=adapter.runtime.precision,
            batch_size=adapter.batch_size,
            seed=self.run.seed,
            options=dataclasses.asdict(self._options),
            weights=[weight.as_dict() for weight in adapter.weights],
            fps=str(self.fps),
            frames=frames,
            size=size,
            seconds=seconds,
            timings=dict(self.run.timings),
            warnings=list(self.run.warnings),
            synthetic_media=synthetic_tags(adapter.spec, adapter.model.name),
        )


def _unquoted(name: str) -> str:
    """A name as messages give it, without the quotes around that of a file."""
    return str(ast.literal_eval(name)) if name.startswith(("'", '"')) else name
