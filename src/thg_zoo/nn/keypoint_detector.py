"""Unsupervised key points: a soft arg-max over learned heat maps."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.antialias import AntiAliasDownsample
from thg_zoo.nn.blocks import DownBlock, Scaling, UpBlock
from thg_zoo.nn.grid import expectation
from thg_zoo.nn.hourglass import LEVELS, Hourglass

_TEMPERATURE = 0.1


def probability_maps(logits: Tensor) -> Tensor:
    """Softmax over all positions of each map, at the family's temperature: `[B, K, ...]` to the same shape."""
    return torch.softmax(logits.flatten(2) / _TEMPERATURE, dim=2).view_as(logits)


def points_of_maps(logits: Tensor, jacobians: Tensor) -> KeyPoints:
    """Key points from maps `[B, K, h, w]` and of their jacobians `[B, 4 K, h, w]`: both are expectations."""
    frames, points = logits.shape[:2]
    heat = probability_maps(logits)
    entries = jacobians.reshape(frames, points, 4, -1) @ heat.flatten(2).unsqueeze(-1)
    return KeyPoints(expectation(heat), entries.view(frames, points, 2, 2))


class KeyPointDetector(nn.Module):
    """Key points with jacobians from a picture `[B, channels, H, W]` in 0..1; H and W are multiples of 128.

    The unpadded 7x7 heads see the quarter-size map without its border of three samples, and the grid again
    spans -1..1 over what is left. Source: FOMM (Siarohin et al., NeurIPS 2019), section 3.1; DaGAN adds
    depth as a fourth channel.
    """

    def __init__(self, num_kp: int, *, channels: int = 3) -> None:
        super().__init__()
        self.down = AntiAliasDownsample(channels, 4)
        self.predictor = Hourglass(channels, 32)
        self.kp = nn.Conv2d(self.predictor.out_channels, num_kp, 7)
        self.jacobian = nn.Conv2d(self.predictor.out_channels, 4 * num_kp, 7)

    def forward(self, image: Tensor) -> KeyPoints:
        features = self.predictor(self.down(image))
        return points_of_maps(self.kp(features), self.jacobian(features))


class _VolumePredictor(nn.Module):
    """Picture `[B, 3, h, w]` to a feature volume `[B, 32, 16, h, w]`: 2-D down, a 1x1 into depth, 3-D up; no skips."""

    depth = 16

    def __init__(self, *, scaling: Scaling) -> None:
        super().__init__()
        down = [3, *(64 * 2**i for i in range(LEVELS))]
        up = [down[-1] // 2**i for i in range(LEVELS + 1)]
        self.down_blocks = nn.Sequential(
            OrderedDict((f"down{i}", DownBlock(down[i], down[i + 1])) for i in range(LEVELS))
        )
        self.conv = nn.Conv2d(down[-1], down[-1] * self.depth, 1)
        self.up_blocks = nn.Sequential(
            OrderedDict((f"up{i}", UpBlock(up[i], up[i + 1], dims=3, scaling=scaling)) for i in range(LEVELS))
        )
        self.out_channels = up[-1]

    def forward(self, image: Tensor) -> Tensor:
        deepest: Tensor = self.conv(self.down_blocks(image))
        batch, _, height, width = deepest.shape
        volume: Tensor = self.up_blocks(deepest.view(batch, -1, self.depth, height, width))
        return volume


class CanonicalKeyPointDetector(nn.Module):
    """3-D key points of a face without pose and expression: `[B, 3, H, W]` in 0..1 to `[B, K, 3]`.

    down: the factor by which the picture is shrunk first; H and W are multiples of 32 times it. Source: face-vid2vid
    (Wang et al., CVPR 2021), figure 2, in the community reproduction; its "beta" release has down = 1 and
    strided scaling.
    """

    def __init__(self, num_kp: int = 15, *, down: int = 4, scaling: Scaling = "pooled") -> None:
        super().__init__()
        if down > 1:
            self.down = AntiAliasDownsample(3, down)
        self.shrinks = down > 1
        self.predictor = _VolumePredictor(scaling=scaling)
        self.kp = nn.Conv3d(self.predictor.out_channels, num_kp, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        volume = self.predictor(self.down(image) if self.shrinks else image)
        return expectation(probability_maps(self.kp(volume)))
