"""The whole model: no network, three methods."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from thg_zoo.adapter import Adapter
from thg_zoo.inputs import Driver, Source
from thg_zoo.motion import Motion, MotionTable
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.timing import frames_to_cover
from thg_zoo_mirror.options import MirrorOptions


class MirrorAdapter(Adapter[MirrorOptions, None]):
    """Shows the source as it is, then mirrored, then as it is, ..."""

    def read_source(self, source: Source, options: MirrorOptions, run: Run) -> None:
        return None

    def read_driver(self, driver: Driver, identity: None, options: MirrorOptions, run: Run) -> Motion:
        duration = driver.read_audio(16000).duration
        turned = torch.arange(frames_to_cover(duration, Fraction(25))) // options.period % 2
        return MotionTable({"turned": turned}, Fraction(25))

    def render(self, identity: None, source: SourceBatch, motion: dict[str, Tensor], options: MirrorOptions) -> Tensor:
        picture = source.frames.permute(0, 3, 1, 2).float() / 255
        return torch.where(motion["turned"].view(-1, 1, 1, 1) == 1, picture.flip(-1), picture)
