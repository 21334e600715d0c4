"""The plain loop: the simplest program that makes the same video, as published programs are written.

One frame after the other: its motion, the source's features again where the published program computes them again
(`Adapter.encodes_every_frame`), the networks for a batch of one, paste-back; all frames are gathered, then written.
Nothing overlaps but ffmpeg's own process. Under `as_written` the networks' layers are those of the file: no folded
norms, no faster forms. What a network's `forward` does differently from the published one (a convolution that does not
enlarge its input first, say) stays, so that published programs are slower than this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapter import Portrait
from thg_zoo.bench.inputs import Inputs
from thg_zoo.media.writer import VideoWriter
from thg_zoo.motion import Motion, Parameters
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch, order_of

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter


@dataclass(frozen=True)
class Made:
    """What a run made: frames of (height, width); timings: seconds by stage."""

    frames: int
    size: tuple[int, int]
    timings: Mapping[str, float]


def run_plain(adapter: Adapter[Any, Any], inputs: Inputs, options: Mapping[str, Any], most: int | None = None) -> Made:
    """Write the video of all frames, or of the first `most`, to `inputs.output`."""
    with adapter.inference():
        portrait = adapter.prepare(inputs.source, **options)
        animation = portrait.animate(inputs.driver_of(adapter.spec))
        run = animation.run
        frames = []
        for frame in plain_frames(portrait, animation.motion, run):
            frames.append(frame)
            if len(frames) == most:
                break
    size, fps = (frames[0].shape[0], frames[0].shape[1]), animation.fps
    with (
        run.stage("finish file"),
        VideoWriter(inputs.output, fps, size, animation.audio, overwrite=True, duration=len(frames) / fps) as file,
    ):
        for frame in frames:
            file.write(frame)
    return Made(len(frames), size, run.timings)


def plain_frames(portrait: Portrait[Any, Any], motion: Motion, run: Run) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 [H, W, 3], each made when it is asked for."""
    batches = motion.batches(1)
    with contextlib.closing(order_of(portrait, motion, run)) as order:
        while True:
            with run.stage("motion"):
                parameters = next(batches, None)
            with run.stage("read source"):
                source = None if parameters is None else order.take(1)
            if parameters is None or source is None:
                return
            yield _frame(portrait, source, parameters, run)


def _frame(portrait: Portrait[Any, Any], source: SourceBatch, parameters: Parameters, run: Run) -> NDArray[np.uint8]:
    adapter, identity, options = portrait.adapter, portrait.identity, portrait.options
    if source.tracked[0] is None:
        return np.asarray(source.frames[0].cpu().numpy(), np.uint8)
    if adapter.encodes_every_frame or not portrait.source.still:
        source = source.select([0])
        with run.stage("encode source"), adapter.runtime.autocast():
            source.encoded = adapter.encode(identity, source, options)
    moved = {name: value.to(adapter.runtime.device) for name, value in parameters.items()}
    with run.stage("render"), adapter.runtime.autocast():
        rendered = adapter.render(identity, source, moved, options)
    with run.stage("compose"):
        floating = rendered.float() if rendered.is_floating_point() else rendered
        composed = adapter.compose(floating, identity, source, options)
        return np.asarray(composed[0].cpu().numpy(), np.uint8)
