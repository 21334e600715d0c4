"""A model small enough to predict by hand: what the shared machinery is tested with.

Its frame is the source frame plus the motion's number: frame i of a driver of n frames adds i (modulo 64).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from thg_zoo.adapter import Adapter
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.motion import Motion, MotionStream, MotionTable, Parameters
from thg_zoo.options import option
from thg_zoo.run import Run
from thg_zoo.runtime import Runtime
from thg_zoo.source_stream import SourceBatch
from thg_zoo.spec import parse
from thg_zoo.timing import EXTENSION_RULES, frames_to_cover
from thg_zoo.zoo import ModelDescription

CARD = """
title: Toy
summary: Adds the frame's number to the picture.
adapter: toy:ToyAdapter
options_class: toy:ToyOptions
sources: [image, video]
drivers: [audio, video, image]
fps: 25
audio_rate: 16000
synthesis: compositeSynthetic
licence: {name: Apache-2.0, commercial: true}
"""


@dataclass(frozen=True)
class ToyOptions:
    """Options of the toy."""

    extend: str = option("loop", "How a video goes on beyond its end.", choices=EXTENSION_RULES)
    lazy: bool = option(False, "Make the motion while it is read, in pieces of three frames.")
    offset: int = option(0, "Added to every pixel.", low=0, high=50, stage="source")
    hide: int = option(-1, "Index of a source frame that shows nothing to animate.")
    look_ahead: int = option(0, "Frames that tracking holds back.", low=0, high=10)


@dataclass
class ToyIdentity:
    """What the toy knows of its source, and a diary of what was asked of it."""

    fps: Fraction
    offset: int
    encoded: list[int] = field(default_factory=list)
    tracked: list[int] = field(default_factory=list)


class ToyAdapter(Adapter[ToyOptions, ToyIdentity]):
    """See the module. `memory` is how many frames fit on its imaginary device at once."""

    memory = 1000
    rendered: list[int]

    def read_source(self, source: Source, options: ToyOptions, run: Run) -> ToyIdentity:
        self.rendered = []
        return ToyIdentity(source.fps or Fraction(25), options.offset)

    def track(
        self, identity: ToyIdentity, frames: Iterator[Frame], options: ToyOptions, run: Run
    ) -> Iterator[tuple[Frame, Any]]:
        held = []
        for k, frame in enumerate(frames):
            identity.tracked.append(k)
            held.append((frame, None if k == options.hide else {"index": k}))
            if len(held) > options.look_ahead:
                yield held.pop(0)
        yield from held

    def encode(self, identity: ToyIdentity, source: SourceBatch, options: ToyOptions) -> Tensor:
        identity.encoded.append(len(source.frames))
        return source.frames.permute(0, 3, 1, 2).float() + identity.offset

    def read_driver(self, driver: Driver, identity: ToyIdentity, options: ToyOptions, run: Run) -> Motion:
        if driver.kind == "audio":
            samples = sum(len(block) for block in driver.audio_blocks(16000))
            n = frames_to_cover(Fraction(samples, 16000), identity.fps)
        else:
            n = driver.frames.n_frames
        steps = torch.arange(n, dtype=torch.float32) % 64

        def pieces() -> Iterator[Parameters]:
            for start in range(0, n, 3):
                yield {"step": steps[start : start + 3]}

        if options.lazy:
            return MotionStream(pieces, identity.fps, n, options.extend)
        return MotionTable({"step": steps}, identity.fps, options.extend)

    def render(
        self, identity: ToyIdentity, source: SourceBatch, motion: dict[str, Tensor], options: ToyOptions
    ) -> Tensor:
        if len(motion["step"]) > self.memory:
            raise torch.OutOfMemoryError("imaginary device full")
        self.rendered.append(len(motion["step"]))
        return (source.encoded + motion["step"].view(-1, 1, 1, 1)) / 255


def toy(**runtime: Any) -> ToyAdapter:
    """A loaded toy."""
    spec = parse("toy", CARD)
    return ToyAdapter(ModelDescription(spec, spec.variants["toy"]), Runtime(torch.device("cpu"), **runtime))
