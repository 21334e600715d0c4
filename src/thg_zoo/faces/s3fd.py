"""S3FD, the single shot scale-invariant face detector (Zhang et al., ICCV 2017), with the published names.

Reads the checkpoint that face-alignment publishes (s3fd-619a316812.pth, 22.5 M parameters) and looks at pictures
at their full size. It finds small and turned faces well and costs 316 k multiply-adds per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from thg_zoo.faces.boxes import suppress
from thg_zoo.faces.detector import Face, Picture, same_size_batches

# The published pipeline takes the means of B, G, R from the channels R, G, B; its results depend on the mix-up.
_MEANS = (104.0, 117.0, 123.0)
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_OVERLAP = 0.3
_MIN_SCORE = 0.5

# What a strip of the first, widest maps may take per picture: a strip that fits the processor's cache is faster,
# and large pictures need no more memory than small ones there.
_STRIP_BYTES = 20 << 20

# Five poolings leave nothing of pictures with a shorter side.
_SMALLEST_SIDE = 32

# (confidence, location) of one level: [B, 2, h, w] logits of background and face, and [B, 4, h, w] offsets.
LevelMaps: TypeAlias = tuple[Tensor, Tensor]


class ChannelNorm(nn.Module):
    """L2 norm over the channels, times a learned scale per channel (Liu et al., "ParseNet", 2015)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        scaled: Tensor = (x / (length + 1e-10)).mul_(self.weight.view(1, -1, 1, 1))
        return scaled


class S3fdNetwork(nn.Module):
    """VGG-16 with four further stages; six levels of strides 4 to 128 predict one square anchor per position."""

    levels = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
    winograd: ClassVar = ("conv2_2", *(f"conv{group}_{i}" for group in (3, 4, 5) for i in (1, 2, 3)))

    def __init__(self) -> None:
        super().__init__()
        self._groups: list[list[str]] = []
        previous = 3
        for group, (channels, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
            self._groups.append([f"conv{group}_{i + 1}" for i in range(depth)])
            for name in self._groups[-1]:
                self.add_module(name, nn.Conv2d(previous, channels, 3, 1, 1))
                previous = channels
        self.fc6 = nn.Conv2d(512, 1024, 3, 1, 3)  # padding 3: the map grows by 4 either way
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.conv6_1 = nn.Conv2d(1024, 256, 1)
        self.conv6_2 = nn.Conv2d(256, 512, 3, 2, 1)
        self.conv7_1 = nn.Conv2d(512, 128, 1)
        self.conv7_2 = nn.Conv2d(128, 256, 3, 2, 1)
        self.conv3_3_norm = ChannelNorm(256)
        self.conv4_3_norm = ChannelNorm(512)
        self.conv5_3_norm = ChannelNorm(512)
        for level, channels in zip(self.levels, (256, 512, 512, 1024, 512, 256), strict=True):
            background_and_face = 4 if level == "conv3_3_norm" else 2
            self.add_module(f"{level}_mbox_conf", nn.Conv2d(channels, background_and_face, 3, 1, 1))
            self.add_module(f"{level}_mbox_loc", nn.Conv2d(channels, 4, 3, 1, 1))

    def forward(self, x: Tensor) -> list[LevelMaps]:
        """Pictures [B, 3, H, W], means subtracted -> six levels, fine to coarse."""
        for names in self._groups[:2]:
            x = self._pooled_in_strips(x, names)
        maps = []
        for names in self._groups[2:]:
            x = self._convolve(x, names)
            # At once, so that of the wide maps only one is in memory.
            level = f"{names[-1]}_norm"
            maps.append(self._predict(level, self.get_submodule(level)(x)))
            x = F.max_pool2d(x, 2)
        for names in (["fc6", "fc7"], ["conv6_1", "conv6_2"], ["conv7_1", "conv7_2"]):
            x = self._convolve(x, names)
            maps.append(self._predict(names[-1], x))
        return maps

    def _convolve(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            x = F.relu_(self.get_submodule(name)(x))
        return x

    def _pooled_in_strips(self, x: Tensor, names: Sequence[str]) -> Tensor:
        """Convolutions and a 2 x 2 pooling, row strip by row strip: the same values as in one piece.

        Each strip takes as many rows more on either side as there are convolutions, whose results near the cut,
        where zeros stand for the rows beyond, are thrown away.
        """
        halo, height = len(names), x.shape[2] // 2
        channels = self.get_submodule(names[0]).get_parameter("weight").shape[0]
        rows = max(8, _STRIP_BYTES // (2 * x.shape[3] * channels * 4))
        strips = []
        for start in range(0, height, rows):
            first, last = 2 * start, 2 * min(start + rows, height)
            above = max(0, first - halo)
            strip = self._convolve(x[:, :, above : last + halo], names)
            strips.append(F.max_pool2d(strip[:, :, first - above : last - above], 2))
        return torch.cat(strips, dim=2)

    def _predict(self, level: str, feature: Tensor) -> LevelMaps:
        confidence: Tensor = self.get_submodule(f"{level}_mbox_conf")(feature)
        # The finest level has three backgrounds, of which the likeliest counts ("max-out").
        *background, face = confidence.unbind(dim=1)
        confidence = torch.stack((torch.stack(background).amax(dim=0), face), dim=1)
        return confidence, self.get_submodule(f"{level}_mbox_loc")(feature)


class Positions(NamedTuple):
    """Every position of every level as a possible face, level by level, row by row.

    boxes [B, N, 4] as x1, y1, x2, y2 in pixels; scores [B, N], the probability of a face; margins [B, N], the
    logits' difference, which still tells apart scores that float32 rounds to one value.
    """

    boxes: Tensor
    scores: Tensor
    margins: Tensor


def decode(maps: Sequence[LevelMaps]) -> Positions:
    """Boxes and scores from the network's maps: anchors of four strides a side, centred on each position."""
    levels = [_decode_level(4 << i, *level) for i, level in enumerate(maps)]
    return Positions(*(torch.cat(parts, dim=1) for parts in zip(*levels, strict=True)))


def _decode_level(stride: int, confidence: Tensor, location: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    confidence, location = confidence.float(), location.float()
    rows, columns = (torch.arange(n, device=location.device) for n in location.shape[2:])
    y, x = torch.meshgrid(stride / 2 + rows * stride, stride / 2 + columns * stride, indexing="ij")
    side = 4.0 * stride
    centre = torch.stack((x, y)) + location[:, :2] * _CENTRE_VARIANCE * side
    size = side * torch.exp(location[:, 2:] * _SIZE_VARIANCE)
    corner = centre - size / 2
    boxes = torch.cat((corner, corner + size), dim=1).flatten(2).transpose(1, 2)
    scores = confidence.softmax(dim=1)[:, 1].flatten(1)
    return boxes, scores, (confidence[:, 1] - confidence[:, 0]).flatten(1)


def best_position(positions: Positions) -> Tensor:
    """Index [B] of the likeliest face of each picture: of equal scores the one of the largest margin.

    Non-maximum suppression never removes the best, so that none is needed where only the best is wanted.
    """
    scores, margins = positions.scores, positions.margins
    highest = scores.amax(dim=1, keepdim=True)
    return torch.where(scores == highest, margins, -torch.inf).argmax(dim=1)


class S3fd:
    """The detector: `network` is filled, in evaluation mode and on `device`.

    batch_pixels: how many pixels go through the network at once, which bounds the memory.
    """

    def __init__(self, network: S3fdNetwork, device: torch.device | str = "cpu", batch_pixels: int = 1 << 20) -> None:
        self.network = network
        self.device = torch.device(device)
        self.batch_pixels = batch_pixels

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """Faces that score above one half, without points, per picture by falling score."""
        found = []
        for batch in same_size_batches(images, self.batch_pixels):
            positions = self._positions(batch)
            boxes, scores, margins = (p.cpu().numpy() for p in positions)
            size = batch.shape[1], batch.shape[2]
            found += [_faces(*picture, size) for picture in zip(boxes, scores, margins, strict=True)]
        return found

    def best(self, images: Sequence[Picture] | Picture) -> list[NDArray[np.float32] | None]:
        """Edges x1, y1, x2, y2 of the best face of each picture as they come out of the network, or None.

        They may lie outside the picture, which matters to programs that add a margin before they clamp.
        """
        found: list[NDArray[np.float32] | None] = []
        for batch in same_size_batches(images, self.batch_pixels):
            positions = self._positions(batch)
            index = best_position(positions)
            rows = torch.arange(len(index), device=index.device)
            boxes, scores = positions.boxes[rows, index].cpu().numpy(), positions.scores[rows, index].tolist()
            found += [box if score > _MIN_SCORE else None for box, score in zip(boxes, scores, strict=True)]
        return found

    @torch.inference_mode()
    def _positions(self, batch: NDArray[np.uint8]) -> Positions:
        images = network_input(torch.from_numpy(batch).to(self.device))
        below, beside = (max(0, _SMALLEST_SIDE - side) for side in batch.shape[1:3])
        return decode(self.network(F.pad(images, (0, beside, 0, below)) if below or beside else images))


def network_input(images: Tensor) -> Tensor:
    """RGB uint8 [B, H, W, 3] -> what the network takes, float32 [B, 3, H, W] in channels-last order."""
    means = torch.tensor(_MEANS, device=images.device)
    return (images.float() - means).permute(0, 3, 1, 2)


def _faces(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], margins: NDArray[np.float32], size: tuple[int, int]
) -> list[Face]:
    """The faces of one picture of (height, width) `size` from all its positions."""
    likely = np.flatnonzero(scores > _MIN_SCORE)
    likely = likely[np.lexsort((-margins[likely], -scores[likely]))]
    kept = likely[suppress_inclusive(boxes[likely], scores[likely])]
    height, width = size
    inside = np.clip(boxes[kept], 0, np.array([width, height, width, height], dtype=np.float32))
    visible = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    return [Face(box, None, float(score)) for box, score in zip(inside[visible], scores[kept][visible], strict=True)]


def suppress_inclusive(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Non-maximum suppression as published, which takes the edges x2 and y2 as pixels that belong to the box."""
    return suppress(boxes + np.array([0, 0, 1, 1], dtype=np.float32), scores, _OVERLAP)
