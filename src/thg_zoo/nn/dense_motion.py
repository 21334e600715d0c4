"""Dense motion: from a few key points to a flow for every position and an occlusion map.

Each key point proposes a motion of the whole picture, a background proposes to stay; a network that sees the
source under every proposal weighs them (FOMM, Siarohin et al., NeurIPS 2019, section 3.2, and its 3-D form in
face-vid2vid, Wang et al., CVPR 2021). What depends on the source alone is in `MotionSource`, made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import inverse_2x2
from thg_zoo.nn.antialias import AntiAliasDownsample
from thg_zoo.nn.blocks import Scaling
from thg_zoo.nn.convolution import NarrowConv2d
from thg_zoo.nn.grid import axis, coordinate_grid, gaussian_maps
from thg_zoo.nn.hourglass import Hourglass
from thg_zoo.nn.warp import sample_candidates, sample_translated
from thg_zoo.nn.wide_kernel import WideKernelConv3d


@dataclass(frozen=True)
class MotionSource:
    """appearance `[S, C, (D,) h, w]`: the source as dense motion sees it; background: the same, sampled by the
    identity grid. S is 1 for one source shared by all frames, else the number of frames.
    """

    appearance: Tensor
    background: Tensor


@dataclass(frozen=True)
class Motion:
    """flow `[B, (d,) h, w, 2 or 3]`: where each position comes from; occlusion `[B, 1, h, w]`: 1 is visible."""

    flow: Tensor
    occlusion: Tensor


def evidence(source: MotionSource, candidates: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
    """What the hourglass sees: `[B, (K + 1) (1 + C), (D,) h, w]`.

    For the background and each key point: the heat map of the driving point minus that of the source point (zero for
    the background), and the source under that motion. candidates `[B, K, C, (D,) h, w]`.
    """
    frames, points, channels = candidates.shape[:3]
    size = candidates.shape[3:]
    joined = candidates.new_empty(frames, points + 1, 1 + channels, *size)
    joined[:, 0, 0] = 0
    joined[:, 0, 1:] = source.background
    torch.sub(gaussian_maps(kp_driving, size), gaussian_maps(kp_source, size), out=joined[:, 1:, 0])
    joined[:, 1:, 1:] = candidates
    return joined.flatten(1, 2)


class DenseMotion2d(nn.Module):
    """Motion of a picture `[S, 3, H, W]` at a quarter of its size; H and W are multiples of 128."""

    def __init__(self, num_kp: int, *, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.down = AntiAliasDownsample(3, 4)
        self.hourglass = Hourglass((num_kp + 1) * 4, 64)
        self.mask = nn.Conv2d(self.hourglass.out_channels, num_kp + 1, 7, padding=3)
        self.occlusion = NarrowConv2d(self.hourglass.out_channels, 1, 7)

    def encode(self, source: Tensor) -> MotionSource:
        small = self.down(source)
        still = coordinate_grid(small.shape[2:], small).expand(len(small), -1, -1, -1)
        return MotionSource(small, F.grid_sample(small, still, align_corners=self.align_corners))

    def forward(self, source: MotionSource, kp_source: KeyPoints, kp_driving: KeyPoints) -> Motion:
        motions = affine_motions(kp_source, kp_driving, source.appearance.shape[2:])
        candidates = sample_candidates(source.appearance, motions, align_corners=self.align_corners)
        features = self.hourglass(evidence(source, candidates, kp_source.value, kp_driving.value))
        # In bfloat16 a flow would be a sixteenth of a sample off: it stays in float32 where networks do not.
        mask = torch.softmax(self.mask(features).to(motions.dtype), dim=1)
        with torch.autocast(mask.device.type, enabled=False):
            still = coordinate_grid(mask.shape[2:], mask)
            flow = mask[:, 0, ..., None] * still + torch.einsum("bkhw,bkhwc->bhwc", mask[:, 1:], motions)
        return Motion(flow, torch.sigmoid(self.occlusion(features)))


def affine_motions(kp_source: KeyPoints, kp_driving: KeyPoints, size: torch.Size) -> Tensor:
    """The motion each key point proposes, source + J (z - driving), at every position z: `[B, K, H, W, 2]`.

    J = J_source J_driving^-1, or the identity where key points have no jacobians.
    """
    height, width = size
    columns, rows = (axis(n, kp_driving.value) for n in (width, height))
    if kp_driving.jacobian is None or kp_source.jacobian is None:
        jacobian = torch.eye(2, device=columns.device, dtype=columns.dtype).expand(*kp_driving.value.shape, 2)
    else:
        jacobian = kp_source.jacobian @ inverse_2x2(kp_driving.jacobian)
    offset = kp_source.value - (jacobian @ kp_driving.value.unsqueeze(-1)).squeeze(-1)
    along_rows = columns[:, None] * jacobian[..., None, :, 0]  # [B, K, W, 2]
    along_columns = rows[:, None] * jacobian[..., None, :, 1] + offset[..., None, :]  # [B, K, H, 2]
    return along_rows[:, :, None] + along_columns[:, :, :, None]


class DenseMotion3d(nn.Module):
    """Motion of a feature volume `[S, 32, 16, h, w]`; h and w are multiples of 32.

    mask_floor: weights of a motion below it count as zero (SadTalker's copy of the network has 1e-3).
    """

    folds: ClassVar = (("compress", "norm"),)

    def __init__(
        self, num_kp: int, *, channels: int = 32, depth: int = 16, scaling: Scaling = "pooled", mask_floor: float = 0.0
    ) -> None:
        super().__init__()
        compressed = 4
        self.mask_floor = mask_floor
        self.compress = nn.Conv3d(channels, compressed, 1)
        self.norm = nn.BatchNorm3d(compressed)
        self.hourglass = Hourglass((num_kp + 1) * (compressed + 1), 32, dims=3, scaling=scaling, smooth=True)
        self.mask: nn.Module = nn.Conv3d(self.hourglass.out_channels, num_kp + 1, 7, padding=3)
        self.occlusion = NarrowConv2d(self.hourglass.out_channels * depth, 1, 7)

    def use_fast_form(self) -> None:
        """The wide kernel with fewer multiplications."""
        assert isinstance(self.mask, nn.Conv3d)
        self.mask = WideKernelConv3d(self.mask)

    def encode(self, volume: Tensor) -> MotionSource:
        small = F.relu(self.norm(self.compress(volume)))
        still = torch.zeros(len(small), 1, 3, device=small.device)
        return MotionSource(small, sample_translated(small, still).squeeze(1))

    def forward(self, source: MotionSource, kp_source: Tensor, kp_driving: Tensor) -> Motion:
        """kp_source `[S, K, 3]`, kp_driving `[B, K, 3]`; a key point moves everything by source - driving."""
        shift = kp_source - kp_driving
        candidates = sample_translated(source.appearance, shift)
        features = self.hourglass(evidence(source, candidates, kp_source, kp_driving))
        # In float32 for the same reason as in 2-D.
        mask = torch.softmax(self.mask(features).to(shift.dtype), dim=1)
        if self.mask_floor:
            mask = mask.masked_fill(mask < self.mask_floor, 0)
        with torch.autocast(mask.device.type, enabled=False):
            still = coordinate_grid(mask.shape[2:], mask) * mask.sum(1).unsqueeze(-1)
            flow = still + torch.einsum("bkdhw,bkc->bdhwc", mask[:, 1:], shift)
        return Motion(flow, torch.sigmoid(self.occlusion(features.flatten(1, 2))))
