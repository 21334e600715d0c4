"""The generators of DaGAN: Hong et al., "Depth-Aware Generative Adversarial Network for Talking Head Video
Generation", CVPR 2022.

Parts of a checkpoint: `kp_detector` is `thg_zoo.nn.keypoint_detector.KeyPointDetector(15, channels=4)`, which sees
depth as a fourth channel; `generator` is one of the two here; the depth network is in `depth.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.attention import attend
from thg_zoo.nn.blocks import SameBlock, residual_blocks
from thg_zoo.nn.dense_motion import DenseMotion2d, Motion, MotionSource
from thg_zoo.nn.encoder_decoder import BASE, ImageEncoder, decode, down_path, feature_pyramid, to_rgb, up_path
from thg_zoo.nn.spade import SpadeDecoder
from thg_zoo.nn.warp import occlude, warp

NUM_KP = 15


@dataclass(frozen=True)
class Source:
    """A source, encoded: picture `[S, 3, H, W]`, features `[S, 256, H/4, W/4]`, the depth's attention queries
    `[S, H/4 W/4, 32]`, and what dense motion needs of it.
    """

    picture: Tensor
    features: Tensor
    query: Tensor
    motion: MotionSource


class DepthAttention(nn.Module):
    """Warped appearance attended to by where the source's depth is alike (section 3.3 of the paper)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def query(self, depth: Tensor) -> Tensor:
        """Queries `[S, h w, C/8]` from depth features `[S, C, h, w]`."""
        return F.relu(self.query_conv(depth)).flatten(2).transpose(1, 2)

    def forward(self, query: Tensor, features: Tensor) -> Tensor:
        """query `[1 or B, h w, C/8]`, features `[B, C, h, w]` to `[B, C, h, w]`."""
        return features + self.gamma * self.attend(query, features)

    def attend(self, query: Tensor, features: Tensor) -> Tensor:
        """The attended values alone, `[B, C, h, w]`; the logits are not scaled."""
        key = F.relu(self.key_conv(features)).flatten(2).mT
        value = F.relu(self.value_conv(features)).flatten(2).mT
        attended = attend(query.expand_as(key), key, value)
        return attended.mT.reshape_as(features)


class DepthAwareEncoder(ImageEncoder):
    """What both generators do before they decode. H and W are multiples of 128."""

    def __init__(self, num_kp: int = NUM_KP) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion2d(num_kp)
        self.src_first = SameBlock(1, BASE, 7)
        self.src_down_blocks = down_path(2)
        self.AttnModule = DepthAttention(4 * BASE)

    def encode(self, source: Tensor, depth: Tensor) -> Source:
        """Pictures `[S, 3, H, W]` in 0..1 and their depth `[S, 1, H, W]`: what is needed of a source, once."""
        features = self.pyramid(source)[-1]
        depth_features = feature_pyramid(depth, self.src_first, self.src_down_blocks)[-1]
        query = self.AttnModule.query(depth_features)
        return Source(source, features, query, self.dense_motion_network.encode(source))

    def attended(self, source: Source, kp_source: KeyPoints, kp_driving: KeyPoints) -> tuple[Tensor, Motion]:
        """Warped and attended features `[B, 256, H/4, W/4]`, and the motion they were warped by."""
        motion: Motion = self.dense_motion_network(source.motion, kp_source, kp_driving)
        warped = occlude(warp(source.features, motion.flow), motion.occlusion)
        return self.AttnModule(source.query, warped), motion


class DepthAwareGenerator(DepthAwareEncoder):
    """The generator with FOMM's residual decoder."""

    def __init__(self, num_kp: int = NUM_KP) -> None:
        super().__init__(num_kp)
        self.bottleneck = residual_blocks(4 * BASE, "r")
        self.up_blocks = up_path()
        self.final = to_rgb()

    def render(self, source: Source, kp_source: KeyPoints, kp_driving: KeyPoints) -> Tensor:
        """Frames `[B, 3, H, W]` in 0..1 for B driving key points; the source has one entry or B."""
        features, _ = self.attended(source, kp_source, kp_driving)
        return decode(features, self.bottleneck, self.up_blocks, self.final)


class SpadePictureDecoder(SpadeDecoder):
    """SPADE decoder whose condition is the warped picture beside the features compressed to 4 channels."""

    def __init__(self) -> None:
        super().__init__(condition_channels=7, middle_blocks=3, enlarged=False)
        self.compress = nn.Conv2d(4 * BASE, 4, 3, padding=1)

    def decode(self, features: Tensor, picture: Tensor) -> Tensor:
        """features `[B, 256, H/4, W/4]`, picture `[B, 3, H, W]` to frames `[B, 3, H, W]`."""
        compressed = F.interpolate(self.compress(features), size=picture.shape[2:], mode="nearest")
        frames: Tensor = self(features, torch.cat([compressed, picture], dim=1))
        return frames


class SpadeDepthAwareGenerator(DepthAwareEncoder):
    """The generator with a SPADE decoder."""

    def __init__(self, num_kp: int = NUM_KP) -> None:
        super().__init__(num_kp)
        self.decoder = SpadePictureDecoder()

    def render(self, source: Source, kp_source: KeyPoints, kp_driving: KeyPoints) -> Tensor:
        """Frames `[B, 3, H, W]` in 0..1 for B driving key points; the source has one entry or B."""
        features, motion = self.attended(source, kp_source, kp_driving)
        picture = occlude(warp(source.picture, motion.flow), motion.occlusion)
        return self.decoder.decode(features, picture)
