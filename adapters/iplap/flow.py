"""Where reference faces show what a frame needs: IP_LAP's flow module, with the published names.

Zhong et al., CVPR 2023 (github.com/Weizhi-Zhong/IP_LAP). Faces are BGR `[N, 3, 128, 128]` in 0..1, sketches
`[N, 3, 128, 128]` (three equal channels) in 0..1; a frame is described by the sketches of five frames, two before it
and two after, on 15 channels.

What depends on the references alone is computed once, what depends on the frame alone once per frame rather than once
per reference, and references that are the same frame are warped once: the same function with a fourth of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.adapters.iplap.blocks import Modulation, SpadeBlock
from thg_zoo.nn.convolution import NarrowConv2d
from thg_zoo.nn.grid import coordinate_grid
from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.warp import warp

SKETCHES = 15
"""Channels of the five sketches of a frame."""
# So many references are warped at once: the maps of each take some 30 MB.
_AT_ONCE = 5

Modulations: TypeAlias = list[tuple[Modulation, Modulation]]


@dataclass(frozen=True)
class References:
    """What the flow module keeps of R different reference faces.

    fine: their colours and features `[R, 3 + 32, 128, 128]`; coarse: features `[R, 256, 64, 64]`; normalised: the same
    after the first norm; counts: how often each of them is among the references `[R, 1, 1, 1]`.
    """

    fine: Tensor
    coarse: Tensor
    normalised: Tensor
    counts: Tensor

    def parts(self, size: int) -> Iterator[References]:
        """At most `size` of them at a time."""
        maps = self.fine, self.coarse, self.normalised, self.counts
        for start in range(0, len(self.counts), size):
            yield References(*(m[start : start + size] for m in maps))


class Warped(NamedTuple):
    """References warped to a frame and blended: faces, features `[B, 32, 128, 128]` and `[B, 256, 64, 64]`."""

    face: Tensor
    fine: Tensor
    coarse: Tensor


class FlowModule(nn.Module):
    """8.1 M parameters."""

    folds: ClassVar = (("conv1", "conv1_bn"), ("conv2", "conv2_bn"))

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv1_bn = nn.Conv2d(6, 32, 7, padding=3), nn.BatchNorm2d(32)
        self.conv2, self.conv2_bn = nn.Conv2d(32, 256, 3, stride=2, padding=1), nn.BatchNorm2d(256)
        self.spade_layer_1 = SpadeBlock(256, SKETCHES)
        self.spade_layer_2 = SpadeBlock(256, SKETCHES)
        self.spade_layer_4 = SpadeBlock(64, SKETCHES)
        self.conv_4 = NarrowConv2d(64, 2, 7)
        self.conv_5 = nn.Sequential(nn.Conv2d(64, 32, 7, padding=3), nn.ReLU(), NarrowConv2d(32, 1, 7), nn.Sigmoid())

    def read(self, faces: Tensor, sketches: Tensor, counts: Tensor) -> References:
        """R different faces with their sketches, and how often each is among the references `[R]`."""
        fine = F.relu(self.conv1_bn(self.conv1(torch.cat((faces, sketches), dim=1))))
        coarse = F.relu(self.conv2_bn(self.conv2(fine))).float()
        return References(torch.cat((faces, fine), dim=1), coarse, instance_norm(coarse), counts.view(-1, 1, 1, 1))

    def forward(self, references: References, sketches: Tensor) -> Warped:
        """Sketches of B frames `[B, 15, 128, 128]`."""
        modulations = self.modulations(sketches)
        frames = [
            self._blend(references, [(first.frame(i), second.frame(i)) for first, second in modulations])
            for i in range(len(sketches))
        ]
        return Warped(*(torch.cat(maps) for maps in zip(*frames, strict=True)))

    def modulations(self, sketches: Tensor) -> Modulations:
        """Those of the three blocks, of B frames."""
        small = sketches[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        blocks = ((self.spade_layer_1, small), (self.spade_layer_2, small), (self.spade_layer_4, sketches))
        return [block.modulations(condition) for block, condition in blocks]

    def flow(self, normalised: Tensor, modulations: Modulations) -> tuple[Tensor, Tensor]:
        """Of R references for one frame: flows in pixels `[R, 2, 128, 128]` and weights `[R, 1, 128, 128]` in 0..1."""
        first, second, last = modulations
        x = self.spade_layer_1.modulate(normalised, first)
        x = F.pixel_shuffle(self.spade_layer_2.modulate(instance_norm(x), second), 2)
        x = self.spade_layer_4.modulate(instance_norm(x), last)
        return self.conv_4(x), self.conv_5(x)

    def _blend(self, references: References, modulations: Modulations) -> Warped:
        """The references warped to one frame, weighted, over the sum of the weights."""
        sums = [self.weigh(part, modulations) for part in references.parts(_AT_ONCE)]
        fine, coarse, weight = (torch.cat(maps).sum(0, keepdim=True) for maps in zip(*sums, strict=True))
        weight = weight + 1e-5
        fine = fine / weight
        return Warped(fine[:, :3], fine[:, 3:], coarse / weight[:, :, ::2, ::2])

    def weigh(self, references: References, modulations: Modulations) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over the references of what they show to one frame, fine and coarse, and of their weights.

        `[1, C, h, w]` each.
        """
        flow, weight = self.flow(references.normalised, modulations)
        # In lower precision positions would be off by parts of a pixel.
        with torch.autocast(flow.device.type, enabled=False):
            flow, weight = flow.float(), weight.float() * references.counts
            side = flow.shape[3]
            points = coordinate_grid(flow.shape[2:], flow) + flow.permute(0, 2, 3, 1) * (2 / (side - 1))
            fine = warp(references.fine, points) * weight
            coarse = warp(references.coarse, points) * weight[:, :, ::2, ::2]
            return fine.sum(0, keepdim=True), coarse.sum(0, keepdim=True), weight.sum(0, keepdim=True)
