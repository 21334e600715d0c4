"""The three networks of MTCNN.

Zhang et al., Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks, 2016
(arXiv 1604.02878), figure 2. Inputs are RGB in 0..255. Outputs are the probability of a face, box offsets
(fractions of the box's sides, order x1 y1 x2 y2), and for O-Net five points (fractions of the box: five x,
then five y). Poolings include a last incomplete window where the published ones do ("same" padding).
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PNet(nn.Module):
    """Proposals: looks at every 12x12 cell of a picture, two pixels apart."""

    cell = 12
    stride = 2

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.box = nn.Conv2d(32, 4, 1)
        self.face = nn.Conv2d(32, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] -> probabilities [B, h, w] and offsets [B, 4, h, w], one per cell."""
        x = _max_pool(self.prelu1(self.conv1(_standardized(x))), 2, partial=True)
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        return _probability(self.face(x)), self.box(x)


class RNet(nn.Module):
    """Refinement: judges crops of 24x24."""

    size = 24

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(64 * 3 * 3, 128)
        self.prelu4 = nn.PReLU(128)
        self.box = nn.Linear(128, 4)
        self.face = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, 24, 24] -> probabilities [B] and offsets [B, 4]."""
        x = _max_pool(self.prelu1(self.conv1(_standardized(x))), 3, partial=True)
        x = _max_pool(self.prelu2(self.conv2(x)), 3)
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(x.flatten(1)))
        return _probability(self.face(x)), self.box(x)


class ONet(nn.Module):
    """Output: judges crops of 48x48 and places five points."""

    size = 48

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(128 * 3 * 3, 256)
        self.prelu5 = nn.PReLU(256)
        self.box = nn.Linear(256, 4)
        self.points = nn.Linear(256, 10)
        self.face = nn.Linear(256, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, 3, 48, 48] -> probabilities [B], offsets [B, 4] and points [B, 10]."""
        x = _max_pool(self.prelu1(self.conv1(_standardized(x))), 3, partial=True)
        x = _max_pool(self.prelu2(self.conv2(x)), 3)
        x = _max_pool(self.prelu3(self.conv3(x)), 2)
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(x.flatten(1)))
        return _probability(self.face(x)), self.box(x), self.points(x)


def _standardized(x: Tensor) -> Tensor:
    return (x - 127.5) / 128


def _max_pool(x: Tensor, kernel: int, partial: bool = False) -> Tensor:
    """Maxima over kernel x kernel windows, 2 apart; `partial`: the last window may reach beyond the map.

    As `F.max_pool2d`, which takes several times as long on CPUs.
    """
    if partial:
        h, w = x.shape[-2:]
        x = F.pad(x, (0, (w - kernel) % 2, 0, (h - kernel) % 2), value=-torch.inf)
    for axis in (2, 3):
        reach = (x.shape[axis] - kernel) // 2 * 2 + 1
        x = reduce(
            torch.maximum,
            (x.narrow(axis, i, reach)[(slice(None),) * axis + (slice(None, None, 2),)] for i in range(kernel)),
        )
    return x


def _probability(logits: Tensor) -> Tensor:
    """Softmax over (no face, face), of which only the second is wanted."""
    return torch.sigmoid(logits[:, 1] - logits[:, 0])
