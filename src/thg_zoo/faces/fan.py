"""The 98-point face alignment network with CoordConv and boundary maps, with the published names.

Wang et al., "Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression", ICCV 2019; four stacked hourglasses
(Newell et al., ECCV 2016). Reads the checkpoint that facexlib publishes (alignment_WFLW_4HG.pth, 24.2 M parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from thg_zoo.errors import FaceError
from thg_zoo.faces.detector import Picture

POINTS = 98
_SIDE, _MAP = 256, 64
_CHANNELS = 256
_STACKS, _DEPTH = 4, 4
# A boundary map counts as a boundary above this.
_BOUNDARY = 0.05
# How many faces go through the network at once.
_BATCH = 8


class ConvBlock(nn.Module):
    """Three pre-activated 3 x 3 convolutions of a half, a quarter and a quarter of the width, concatenated, plus the
    input: [B, in, H, W] to [B, out, H, W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, half, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(quarter), nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)
        self.downsample = (
            nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False))
            if inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(F.relu(self.bn1(x), inplace=True))
        second = self.conv2(F.relu(self.bn2(first), inplace=True))
        third = self.conv3(F.relu(self.bn3(second), inplace=True))
        return torch.cat((first, second, third), dim=1) + (x if self.downsample is None else self.downsample(x))


class CoordConv(nn.Module):
    """A convolution that also sees where it is (Liu et al., NeurIPS 2018): row, column and distance from the centre.

    bounded: it sees row and column once more, zero away from the face's boundaries.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bounded: bool = False) -> None:
        super().__init__()
        inputs += 5 if bounded else 3
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor, boundary: Tensor | None = None) -> Tensor:
        """x [B, C, H, W]; boundary [B, 1, H, W], the map of the stack before, where the layer is bounded."""
        rows, columns = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        distance = places.square().sum(dim=1, keepdim=True).sqrt()
        seen = [x, places, distance / distance.amax()]
        if boundary is not None:
            seen.append(torch.where(boundary > _BOUNDARY, places, 0.0))
        convolved: Tensor = self.conv(torch.cat(seen, dim=1))
        return convolved


class CoordHourglass(nn.Module):
    """Four levels down and up, each level summed with its skip: [B, 256, 64, 64] to the same."""

    def __init__(self, *, bounded: bool) -> None:
        super().__init__()
        self.coordconv = CoordConv(_CHANNELS, _CHANNELS, 1, bounded=bounded)
        for level in range(1, _DEPTH + 1):
            for branch in ("b1", "b2", "b3"):
                self.add_module(f"{branch}_{level}", ConvBlock(_CHANNELS, _CHANNELS))
        self.b2_plus_1 = ConvBlock(_CHANNELS, _CHANNELS)

    def forward(self, x: Tensor, boundary: Tensor | None) -> Tensor:
        return self._level(_DEPTH, self.coordconv(x, boundary))

    def _level(self, level: int, x: Tensor) -> Tensor:
        beside = self.get_submodule(f"b1_{level}")(x)
        low = self.get_submodule(f"b2_{level}")(F.avg_pool2d(x, 2))
        low = self._level(level - 1, low) if level > 1 else self.b2_plus_1(low)
        low = self.get_submodule(f"b3_{level}")(low)
        summed: Tensor = beside + F.interpolate(low, scale_factor=2.0)
        return summed


class FanNetwork(nn.Module):
    """Faces [B, 3, 256, 256], BGR in 0..1, to the maps [B, 99, 64, 64] of every stack; the last map is the boundary."""

    folds: ClassVar = (("conv1.conv", "bn1"), *((f"conv_last{i}", f"bn_end{i}") for i in range(_STACKS)))

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = CoordConv(3, 64, 7, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.conv3, self.conv4 = ConvBlock(64, 128), ConvBlock(128, 128), ConvBlock(128, _CHANNELS)
        for i in range(_STACKS):
            self.add_module(f"m{i}", CoordHourglass(bounded=i > 0))
            self.add_module(f"top_m_{i}", ConvBlock(_CHANNELS, _CHANNELS))
            self.add_module(f"conv_last{i}", nn.Conv2d(_CHANNELS, _CHANNELS, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(_CHANNELS))
            self.add_module(f"l{i}", nn.Conv2d(_CHANNELS, POINTS + 1, 1))
            if i < _STACKS - 1:
                self.add_module(f"bl{i}", nn.Conv2d(_CHANNELS, _CHANNELS, 1))
                self.add_module(f"al{i}", nn.Conv2d(POINTS + 1, _CHANNELS, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.conv4(self.conv3(F.avg_pool2d(self.conv2(x), 2)))
        stacks: list[Tensor] = []
        for i in range(_STACKS):
            part = {name: self.get_submodule(f"{name}{i}") for name in ("m", "top_m_", "conv_last", "bn_end", "l")}
            feature = part["top_m_"](part["m"](x, stacks[-1][:, -1:] if stacks else None))
            feature = F.relu(part["bn_end"](part["conv_last"](feature)), inplace=True)
            stacks.append(part["l"](feature))
            if i < _STACKS - 1:
                x = x + self.get_submodule(f"bl{i}")(feature) + self.get_submodule(f"al{i}")(stacks[-1])
        return stacks


def points_from_maps(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Points [B, N, 2], x and y, of maps [B, N, 64, 64], in cells of the map.

    The largest value, a quarter towards the larger neighbour, plus a half. As published, neighbours are those in the
    flattened map, and where one point of a face touches the last row (the first), the last (first) value stands
    for the lower (upper) neighbours of all its points.
    """
    flat = maps.reshape(*maps.shape[:2], -1)
    best = flat.argmax(axis=2)
    last = flat.shape[2] - 1
    below, above = best + _MAP, best - _MAP
    below = np.where((below > last).any(axis=1, keepdims=True), last, below)
    above = np.where((above <= 0).any(axis=1, keepdims=True), 0, above)
    # The published program reads beyond the end for a point in the last cell, and stops.
    right, left = np.minimum(best + 1, last), (best - 1) % (last + 1)
    value = [np.take_along_axis(flat, index[..., None], axis=2)[..., 0] for index in (right, left, below, above)]
    towards = np.sign(np.stack([value[0] - value[1], value[2] - value[3]], axis=2))
    cells: NDArray[np.float64] = np.stack([best % _MAP, best // _MAP], axis=2) + 0.25 * towards + 0.5
    return cells


class Fan:
    """Finds the 98 points (WFLW's) of faces: `network` is filled, in evaluation mode and on `device`."""

    def __init__(self, network: FanNetwork, device: torch.device | str = "cpu") -> None:
        self.network = network
        self.device = torch.device(device)

    @torch.inference_mode()
    def points(self, images: Sequence[Picture] | Picture, boxes: ArrayLike) -> NDArray[np.float32]:
        """Points [B, 98, 2], x and y in pixels of the picture, of one face in each picture.

        images: RGB uint8 [H, W, 3] each; boxes: [B, 4] edges x1, y1, x2, y2 as a detector gives them, inside the
        picture. Raises FaceError if a box has no whole pixel.
        """
        edges = np.asarray(boxes).astype(np.int64)
        faces = [image[y1:y2, x1:x2] for image, (x1, y1, x2, y2) in zip(images, edges, strict=True)]
        if not all(face.size for face in faces):
            raise FaceError("A face is smaller than a pixel.", "Give a picture that shows it larger.")
        found = []
        for start in range(0, len(faces), _BATCH):
            inputs = network_input(faces[start : start + _BATCH]).to(self.device)
            found.append(points_from_maps(self.network(inputs)[-1][:, :POINTS].float().cpu().numpy()))
        cells = np.concatenate(found)
        sides = np.array([[face.shape[1], face.shape[0]] for face in faces])
        points: NDArray[np.float32] = (cells * (sides / _MAP)[:, None] + edges[:, None, :2]).astype(np.float32)
        return points


def network_input(faces: Sequence[Picture]) -> Tensor:
    """Cut faces, RGB uint8 of any size, as the network takes them: float32 [B, 3, 256, 256], BGR in 0..1."""
    same_size = np.stack([cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR) for face in faces])
    return torch.from_numpy(same_size).flip(-1).permute(0, 3, 1, 2).float().div_(255)


def to_68(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 98 points of WFLW [..., 98, 2] as the 68 of iBUG 300-W [..., 68, 2]."""
    middles: NDArray[np.float32] = points[..., _PAIRS, :].mean(axis=-2, dtype=np.float32)
    return middles


def _pairs() -> NDArray[np.intp]:
    """[68, 2] which two of the 98 have each of the 68 in their middle; one stands twice where it is the same point."""
    jaw = [(i, i) for i in range(0, 33, 2)]
    left_brow = [(33, 33), (34, 41), (35, 40), (36, 39), (37, 38)]
    right_brow = [(42, 50), (43, 49), (44, 48), (45, 47), (46, 46)]
    nose = [(i, i) for i in range(51, 60)]
    eyes = [(i, i) for i in (60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75)]
    mouth = [(i, i) for i in range(76, 96)]
    return np.array(jaw + left_brow + right_brow + nose + eyes + mouth)


_PAIRS = _pairs()
