"""RetinaFace with a ResNet-50 (Deng et al., CVPR 2020), with the published names.

Reads the checkpoint that facexlib publishes (detection_Resnet50_Final.pth, 27.3 M parameters). Looks at pictures at
their full size and gives boxes and five points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from thg_zoo.faces.boxes import suppress
from thg_zoo.faces.detector import Face, Picture, same_size_batches
from thg_zoo.nn.resnet import ResNet

# Of blue, green and red.
_MEANS = (104.0, 117.0, 123.0)
_STRIDES = (8, 16, 32)
# Sides of the two square anchors at every position of a level.
_ANCHORS = ((16, 32), (64, 128), (256, 512))
_CENTRE_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_MIN_SCORE = 0.97
_OVERLAP = 0.4
_CHANNELS = 256


class Predictions(NamedTuple):
    """Of every anchor, level by level, row by row: box [B, N, 4], logits of background and face [B, N, 2], points
    [B, N, 10], as the network gives them."""

    boxes: Tensor
    logits: Tensor
    points: Tensor


class Candidates(NamedTuple):
    """Every anchor as a possible face, in pixels: boxes [B, N, 4] of edges x1, y1, x2, y2; scores [B, N], the
    probability of a face; points [B, N, 5, 2]."""

    boxes: Tensor
    scores: Tensor
    points: Tensor


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class FeaturePyramid(nn.Module):
    """Three levels brought to one width, each enriched by the coarser one."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (_convolution(width, _CHANNELS, 1) for width in widths)
        self.merge1 = _convolution(_CHANNELS, _CHANNELS, 3)
        self.merge2 = _convolution(_CHANNELS, _CHANNELS, 3)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (
            F.relu(output(level), inplace=True)
            for output, level in zip((self.output1, self.output2, self.output3), levels, strict=True)
        )
        middle = F.relu(self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:])), inplace=True)
        fine = F.relu(self.merge1(fine + F.interpolate(middle, size=fine.shape[2:])), inplace=True)
        return [fine, middle, coarse]


class ContextModule(nn.Module):
    """Context by 3 x 3 convolutions in rows of one, two and three (SSH; Najibi et al., ICCV 2017)."""

    def __init__(self) -> None:
        super().__init__()
        quarter = _CHANNELS // 4
        self.conv3X3 = _convolution(_CHANNELS, 2 * quarter, 3)
        self.conv5X5_1 = _convolution(_CHANNELS, quarter, 3)
        self.conv5X5_2 = _convolution(quarter, quarter, 3)
        self.conv7X7_2 = _convolution(quarter, quarter, 3)
        self.conv7x7_3 = _convolution(quarter, quarter, 3)

    def forward(self, x: Tensor) -> Tensor:
        second = F.relu(self.conv5X5_1(x), inplace=True)
        third = F.relu(self.conv7X7_2(second), inplace=True)
        return F.relu(torch.cat((self.conv3X3(x), self.conv5X5_2(second), self.conv7x7_3(third)), dim=1), inplace=True)


class Head(nn.Module):
    """`values` numbers for each of two anchors: [B, 256, h, w] to [B, 2 h w, values]."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(_CHANNELS, 2 * values, 1)
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        predicted: Tensor = self.conv1x1(x)
        return predicted.permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


class RetinaFaceNetwork(nn.Module):
    """Backbone, feature pyramid, context modules, and three heads on each of the strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ResNet(50)
        self.fpn = FeaturePyramid(self.body.widths[2:])
        self.ssh1, self.ssh2, self.ssh3 = ContextModule(), ContextModule(), ContextModule()
        self.ClassHead = nn.ModuleList(Head(2) for _ in _STRIDES)
        self.BboxHead = nn.ModuleList(Head(4) for _ in _STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(10) for _ in _STRIDES)

    def forward(self, x: Tensor) -> Predictions:
        """Pictures [B, 3, H, W], BGR, 0..255, means subtracted."""
        levels = self.fpn(self.body.features(x)[2:])
        features = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), levels, strict=True)]
        boxes, logits, points = (
            torch.cat([head(feature) for head, feature in zip(heads, features, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return Predictions(boxes, logits, points)


def anchors(size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """[N, 3] centre x, centre y and side, in pixels, of all anchors of a picture of `size` (height, width)."""
    levels = []
    for stride, sides in zip(_STRIDES, _ANCHORS, strict=True):
        y, x = ((torch.arange(-(-n // stride), device=device) + 0.5) * stride for n in size)
        side = torch.tensor(sides, dtype=torch.float32, device=device)
        levels.append(torch.stack(torch.meshgrid(y, x, side, indexing="ij"), dim=-1).reshape(-1, 3)[:, [1, 0, 2]])
    return torch.cat(levels)


def decode(predictions: Predictions, size: tuple[int, int]) -> Candidates:
    """Boxes, scores and points in pixels of pictures of `size` (height, width)."""
    offsets, logits, shifts = (values.float() for values in predictions)
    grid = anchors(size, offsets.device)
    centres, sides = grid[:, :2], grid[:, 2:]
    centre = centres + offsets[..., :2] * _CENTRE_VARIANCE * sides
    extent = sides * torch.exp(offsets[..., 2:] * _SIZE_VARIANCE)
    corner = centre - extent / 2
    boxes = torch.cat((corner, corner + extent), dim=-1)
    points = centres[:, None] + shifts.view(*shifts.shape[:2], 5, 2) * _CENTRE_VARIANCE * sides[:, None]
    return Candidates(boxes, logits.softmax(dim=-1)[..., 1], points)


def select(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of the candidates of one picture, boxes [N, 4] and scores [N], are faces: by falling score."""
    likely = np.flatnonzero(scores > _MIN_SCORE)
    return likely[suppress(boxes[likely], scores[likely], _OVERLAP)]


class RetinaFace:
    """A `FaceDetector`: `network` is filled, in evaluation mode and on `device`.

    channels: the order in which the network sees the colours. It was trained with `bgr`; programs that hand it `rgb`
    by mistake depend on what it then finds. batch_pixels: how many pixels go through the network at once, which bounds
    the memory.
    """

    def __init__(
        self,
        network: RetinaFaceNetwork,
        device: torch.device | str = "cpu",
        channels: Literal["bgr", "rgb"] = "bgr",
        batch_pixels: int = 1 << 20,
    ) -> None:
        self.network = network
        self.device = torch.device(device)
        self.channels = channels
        self.batch_pixels = batch_pixels

    @torch.inference_mode()
    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """Faces that score above 0.97, with five points, per picture by falling score.

        Raises MediaError for anything but RGB uint8 [H, W, 3].
        """
        found = []
        for batch in same_size_batches(images, self.batch_pixels):
            size = batch.shape[1], batch.shape[2]
            tensor = torch.from_numpy(batch).to(self.device)
            candidates = decode(self.network(network_input(tensor, self.channels)), size)
            boxes, scores, points = (values.cpu().numpy() for values in candidates)
            found += [_faces(*picture, size) for picture in zip(boxes, scores, points, strict=True)]
        return found


def network_input(images: Tensor, channels: Literal["bgr", "rgb"] = "bgr") -> Tensor:
    """RGB uint8 [B, H, W, 3] -> what the network takes, float32 [B, 3, H, W] in channels-last order."""
    ordered = images.flip(-1) if channels == "bgr" else images
    return (ordered.float() - torch.tensor(_MEANS, device=images.device)).permute(0, 3, 1, 2)


def _faces(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], points: NDArray[np.float32], size: tuple[int, int]
) -> list[Face]:
    """The faces of one picture of (height, width) `size`, boxes cut at its border."""
    kept = select(boxes, scores)
    limit = np.array([size[1], size[0]] * 2, dtype=np.float32)
    inside = np.clip(boxes[kept], 0, limit)
    visible = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    faces = zip(inside[visible], points[kept][visible], scores[kept][visible], strict=True)
    return [Face(box, five, float(score)) for box, five, score in faces]
