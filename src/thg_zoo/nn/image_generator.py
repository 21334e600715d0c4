"""The occlusion-aware generator of FOMM, which Audio2Head publishes as well: features of a picture, warped and decoded.

Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019, section 3.2. Its three-dimensional
descendants are in `thg_zoo.nn.volume_generator`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.blocks import residual_blocks
from thg_zoo.nn.dense_motion import DenseMotion2d, MotionSource
from thg_zoo.nn.encoder_decoder import ImageEncoder, decode, to_rgb, up_path
from thg_zoo.nn.warp import occlude, warp


@dataclass(frozen=True)
class ImageSource:
    """A source, encoded: features `[S, 256, H/4, W/4]` and what dense motion needs of it."""

    features: Tensor
    motion: MotionSource


class ImageGenerator(ImageEncoder):
    """Dense motion, warped features, residual decoder. H and W are multiples of 128.

    align_corners: how the sampler reads flows; False is what the published programs do under current PyTorch, True
    what FOMM's did when its weights were trained.
    """

    def __init__(self, num_kp: int = 10, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.dense_motion_network = DenseMotion2d(num_kp, align_corners=align_corners)
        self.bottleneck = residual_blocks(256, "r")
        self.up_blocks = up_path()
        self.final = to_rgb()

    def encode(self, source: Tensor) -> ImageSource:
        """Pictures `[S, 3, H, W]` in 0..1: what is needed of a source, once."""
        return ImageSource(self.pyramid(source)[-1], self.dense_motion_network.encode(source))

    def render(self, source: ImageSource, kp_source: KeyPoints, kp_driving: KeyPoints) -> Tensor:
        """Frames `[B, 3, H, W]` in 0..1 for B driving key points; the source has one entry or B."""
        motion = self.dense_motion_network(source.motion, kp_source, kp_driving)
        warped = warp(source.features, motion.flow, align_corners=self.align_corners)
        return decode(occlude(warped, motion.occlusion), self.bottleneck, self.up_blocks, self.final)
