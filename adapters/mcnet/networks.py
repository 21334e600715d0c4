"""The generator of MCNet: Hong and Xu, "Implicit Identity Representation Conditioned Memory Compensation Network for
Talking Head Video Generation", ICCV 2023.

Parts of a checkpoint: `kp_detector` is `thg_zoo.nn.keypoint_detector.KeyPointDetector(15)`, `generator` is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.blocks import ResBlock, UpBlock
from thg_zoo.nn.dense_motion import DenseMotion2d, Motion, MotionSource
from thg_zoo.nn.encoder_decoder import ImageEncoder, to_rgb
from thg_zoo.nn.warp import occlude, resize_map, warp

from .memory import MemoryUnit

NUM_KP = 15
MEMORY_PASSES = 3


@dataclass(frozen=True)
class Source:
    """A source, encoded: picture `[S, 3, 256, 256]`, features from `[S, 64, 256, 256]` to `[S, 512, 32, 32]`, and
    what dense motion needs of it.
    """

    picture: Tensor
    features: tuple[Tensor, ...]
    motion: MotionSource


class Generator(ImageEncoder):
    """U-shaped generator for 256x256: every level of the source is warped, the three deepest are repaired from memory.

    Dense motion samples with align_corners False as the whole family does, the generator itself with True.
    """

    def __init__(self, num_kp: int = NUM_KP) -> None:
        super().__init__(levels=3)
        self.dense_motion_network = DenseMotion2d(num_kp)
        self.mbUnit = MemoryUnit(num_kp)
        self.resblock = nn.ModuleList(ResBlock(channels) for channels in (512, 512, 512, 512, 256, 256))
        self.up_blocks = nn.ModuleList(UpBlock(a, b) for a, b in ((512, 256), (512, 128), (256, 64)))
        self.final = to_rgb()

    def encode(self, source: Tensor) -> Source:
        """Pictures `[S, 3, 256, 256]` in 0..1: what is needed of a source, once."""
        return Source(source, tuple(self.pyramid(source)), self.dense_motion_network.encode(source))

    def render(
        self, source: Source, kp_source: KeyPoints, kp_driving: KeyPoints, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Frames `[B, 3, 256, 256]` in 0..1 for B driving key points; the source has one entry or B.

        noise: `MEMORY_PASSES` maps `[1 or B, 1, 32, 32]`, standard normal in the reference implementation; None for
        none.
        """
        motion: Motion = self.dense_motion_network(source.motion, kp_source, kp_driving)
        full, half, quarter, deepest = source.features
        noises: Sequence[Tensor | None] = noise or [None] * MEMORY_PASSES
        x = self.mbUnit(_warped(deepest, motion), kp_source.value, noises[0])
        for i, level in enumerate((quarter, half)):
            x = self._up(i, x)
            x = torch.cat([x, self.mbUnit(_warped(level, motion), kp_source.value, noises[i + 1])], dim=1)
        x = self._up(2, x)
        visible = resize_map(motion.occlusion, source.picture.shape[2:], align_corners=True)
        x = x * (1 - visible) + _warped(full, motion)
        x = torch.sigmoid(self.final(x))
        return x * (1 - visible) + _warped(source.picture, motion)

    def _up(self, i: int, x: Tensor) -> Tensor:
        x = self.resblock[2 * i + 1](self.resblock[2 * i](x))
        enlarged: Tensor = self.up_blocks[i](x)
        return enlarged


def _warped(maps: Tensor, motion: Motion) -> Tensor:
    """Maps of the source `[S, C, H, W]`, moved and with what became hidden taken out: `[B, C, H, W]`."""
    return occlude(warp(maps, motion.flow, align_corners=True), motion.occlusion, align_corners=True)
