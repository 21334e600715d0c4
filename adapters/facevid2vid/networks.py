"""The networks of face-vid2vid: Wang, Mallya, Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video
Conferencing", CVPR 2021, in the community reproduction.

Parts of a checkpoint: `kp_detector` is `thg_zoo.nn.keypoint_detector.CanonicalKeyPointDetector`, `generator` one of the
two in `thg_zoo.nn.volume_generator`, `he_estimator` is here. The first, "beta", release has the same names with other
resampling and another order of rotations: `detector`, `generator` and `ROTATION` tell what belongs together.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.keypoints.headpose import HeadPose, RotationOrder, degrees_from_bins
from thg_zoo.nn.keypoint_detector import CanonicalKeyPointDetector
from thg_zoo.nn.volume_generator import PlainVolumeGenerator, SpadeVolumeGenerator

Release = Literal["spade", "beta"]

NUM_KP = 15
ROTATION: dict[Release, RotationOrder] = {"spade": "pitch-yaw-roll", "beta": "roll-pitch-yaw"}


def detector(release: Release) -> CanonicalKeyPointDetector:
    """The canonical key-point detector of a release."""
    if release == "spade":
        return CanonicalKeyPointDetector(NUM_KP)
    return CanonicalKeyPointDetector(NUM_KP, down=1, scaling="strided")


def generator(release: Release) -> SpadeVolumeGenerator | PlainVolumeGenerator:
    """The generator of a release."""
    return SpadeVolumeGenerator(NUM_KP) if release == "spade" else PlainVolumeGenerator(NUM_KP)


class ResBottleneck(nn.Module):
    """1x1 to a quarter, 3x3, 1x1 back, plus the input (through a 1x1 where the size is halved), ReLU."""

    folds: ClassVar = (("conv1", "norm1"), ("conv2", "norm2"), ("conv3", "norm3"), ("skip", "norm4"))

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = nn.Conv2d(channels, narrow, 1)
        self.norm1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1)
        self.norm2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, channels, 1)
        self.norm3 = nn.BatchNorm2d(channels)
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(channels, channels, 1, stride)
        self.norm4 = nn.Identity() if stride == 1 else nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.norm1(self.conv1(x)), inplace=True)
        residual = F.relu(self.norm2(self.conv2(residual)), inplace=True)
        residual = self.norm3(self.conv3(residual))
        return F.relu(residual + self.norm4(self.skip(x)), inplace=True)


def _bottlenecks(channels: int, names: str, count: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict((f"{names}{i}", ResBottleneck(channels)) for i in range(count)))


class HeadPoseEstimator(nn.Module):
    """Head pose and expression of pictures `[B, 3, H, W]` in 0..1; H and W are multiples of 32."""

    folds: ClassVar = tuple((f"conv{i}", f"norm{i}") for i in range(1, 6))

    def __init__(self, num_kp: int = NUM_KP) -> None:
        super().__init__()
        self.num_kp = num_kp
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        self.norm1 = nn.BatchNorm2d(64)
        widths = (64, 256, 512, 1024, 2048)
        for i, (narrow, wide) in enumerate(itertools.pairwise(widths), start=2):
            self.add_module(f"conv{i}", nn.Conv2d(narrow, wide, 1))
            self.add_module(f"norm{i}", nn.BatchNorm2d(wide))
        self.block1 = _bottlenecks(256, "b1_", 3)
        self.block2 = ResBottleneck(512, 2)
        self.block3 = _bottlenecks(512, "b3_", 3)
        self.block4 = ResBottleneck(1024, 2)
        self.block5 = _bottlenecks(1024, "b5_", 5)
        self.block6 = ResBottleneck(2048, 2)
        self.block7 = _bottlenecks(2048, "b7_", 2)
        for name, width in (("roll", 66), ("pitch", 66), ("yaw", 66), ("t", 3), ("exp", 3 * num_kp)):
            self.add_module(f"fc_{name}", nn.Linear(2048, width))

    def forward(self, image: Tensor) -> HeadPose:
        heads = self.heads(image)
        yaw, pitch, roll = (degrees_from_bins(heads[name]) for name in ("yaw", "pitch", "roll"))
        return HeadPose(yaw, pitch, roll, heads["t"], heads["exp"].view(len(image), self.num_kp, 3))

    def heads(self, image: Tensor) -> dict[str, Tensor]:
        """Raw outputs: yaw, pitch and roll as 66 bins, translation `t` `[B, 3]`, expression `exp` `[B, 3 K]`."""
        x = F.max_pool2d(self._widen(1, image), 3, 2, padding=1)
        x = self.block1(self._widen(2, x))
        x = self.block3(self.block2(self._widen(3, x)))
        x = self.block5(self.block4(self._widen(4, x)))
        x = self.block7(self.block6(self._widen(5, x)))
        pooled = x.mean((2, 3))
        # The published layers for yaw and roll bear each other's names.
        layers = {"yaw": "fc_roll", "pitch": "fc_pitch", "roll": "fc_yaw", "t": "fc_t", "exp": "fc_exp"}
        return {name: self.get_submodule(layer)(pooled) for name, layer in layers.items()}

    def _widen(self, i: int, x: Tensor) -> Tensor:
        """Convolution i, norm, ReLU."""
        return F.relu(self.get_submodule(f"norm{i}")(self.get_submodule(f"conv{i}")(x)), inplace=True)
