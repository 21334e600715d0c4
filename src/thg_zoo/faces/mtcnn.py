"""MTCNN: the default face detector. Needs no download, runs on CPU and CUDA, in batches.

Zhang et al., Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks, 2016
(arXiv 1604.02878). P-Net proposes boxes on an image pyramid, R-Net rejects and refines them, O-Net decides
and adds five points. Every step is independent of the other pictures of a batch, see `_in_groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thg_zoo.errors import MediaError
from thg_zoo.faces.boxes import Boxes, shifted, squared, suppress
from thg_zoo.faces.detector import Face, Picture
from thg_zoo.faces.mtcnn_networks import ONet, PNet, RNet
from thg_zoo.faces.mtcnn_weights import fill, read_arrays
from thg_zoo.faces.pyramid import Layout, pack, plan, shrink
from thg_zoo.faces.resample import sample_crops
from thg_zoo.faces.transforms import matrix_from_box

PYRAMID_FACTOR = 0.709
# Below this many pixels P-Net, which sees 12, was never trained.
_SMALLEST_FACE = 20
# Pictures are first reduced so that the smallest face searched is this wide. With 48, the input of O-Net, as many are
# found, a 1080p picture takes half as long again, and points of faces above a tenth of the picture do not change.
_WORKING_FACE = 32
# Overlaps above which the weaker box goes: within a level and across levels of the pyramid, after R-Net, after O-Net.
_SUPPRESS_LEVEL, _SUPPRESS_PYRAMID, _SUPPRESS_REFINED, _SUPPRESS_OUTPUT = 0.5, 0.7, 0.7, 0.7
# Textures such as gravel can propose thousands of boxes; faces are among the best few hundred.
_MOST_PROPOSALS = 400
# Pictures, R-Net crops and O-Net crops per call.
_GROUPS = {"cpu": (1, 32, 8), "cuda": (8, 256, 64)}

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass
class _Found:
    """Boxes of a batch, in pixels of the working pictures: owner [M], boxes [M, 4], scores [M], points [M, 5, 2]."""

    owner: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float32]
    points: NDArray[np.float32]

    def __getitem__(self, rows: NDArray[np.intp]) -> _Found:
        return _Found(self.owner[rows], self.boxes[rows], self.scores[rows], self.points[rows])


class Mtcnn:
    """A `FaceDetector`.

    device: where the networks run. min_face: the smallest face searched, as a fraction of the picture's shorter
    side (never below 20 pixels); the time grows with its inverse square. thresholds: the scores 0..1 that P-Net,
    R-Net and O-Net ask of a face. Raises WeightsError if the package that carries the weights is missing or damaged.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        min_face: float = 0.05,
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8),
    ) -> None:
        self.device = torch.device(device)
        self.min_face = min_face
        self.thresholds = thresholds
        self._pnet = self._load(PNet(), "pnet")
        self._rnet = self._load(RNet(), "rnet")
        self._onet = self._load(ONet(), "onet")
        self._groups = _GROUPS.get(self.device.type, _GROUPS["cuda"])

    @torch.inference_mode()
    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """The faces of each picture, by falling score. Pictures of one size share the work of a batch.

        images: RGB uint8, a sequence of [H, W, 3], or one array [B, H, W, 3]. Raises MediaError for anything else.
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise MediaError(
                    f"An array of shape {image.shape} and type {image.dtype} is no picture to look for faces in.",
                    "Give RGB uint8 [H, W, 3].",
                )
            by_size.setdefault(image.shape, []).append(i)
        results: list[list[Face]] = [[] for _ in images]
        for indices in by_size.values():
            for i, faces in zip(indices, self._detect([images[i] for i in indices]), strict=True):
                results[i] = faces
        return results

    def _load(self, network: _Network, name: str) -> _Network:
        fill(network, read_arrays(name))
        return network.to(self.device).eval()

    def _detect(self, images: list[Picture]) -> list[list[Face]]:
        """The faces of pictures of one size."""
        h, w = images[0].shape[:2]
        smallest = max(self.min_face * min(h, w), _SMALLEST_FACE)
        working = _reduce(images, min(1.0, _WORKING_FACE / smallest))
        scale = np.array([working[0].shape[1] / w, working[0].shape[0] / h], np.float32)
        batch = torch.from_numpy(np.stack(working)).to(self.device).permute(0, 3, 1, 2)
        layout = plan(
            working[0].shape[:2], PNet.cell / (smallest * float(scale[0])), PYRAMID_FACTOR, PNet.cell, PNet.stride
        )
        if not layout.sizes:
            return [[] for _ in images]
        levels = shrink(batch, layout)
        found = self._propose(levels, layout, batch.shape[-2:])
        levels = [batch.float(), *levels]
        found = self._conclude(levels, self._refine(levels, found))
        return _faces(found, len(images), (h, w), scale)

    def _propose(self, levels: list[Tensor], layout: Layout, size: Sequence[int]) -> _Found:
        """P-Net on all levels of the pyramid. Boxes are in pixels of pictures of `size` (height, width)."""
        scores, offsets = _in_groups(self._pnet, pack(levels, layout), self._groups[0])
        owner, y, x = (scores > self.thresholds[0]).nonzero(as_tuple=True)
        score, offset = scores[owner, y, x].cpu().numpy(), offsets[owner, :, y, x].cpu().numpy()
        place = torch.stack([owner, y, x], dim=1).cpu().numpy()
        level = layout.level_of[place[:, 1], place[:, 2]]
        corner = place[:, :0:-1] * PNet.stride - np.array(layout.corners)[level, ::-1]
        cells = np.concatenate([corner, corner + PNet.cell], axis=1).astype(np.float32)
        ratio = np.array(size) / np.array(layout.sizes)
        boxes = (shifted(cells, offset) * np.tile(ratio[level, ::-1], 2)).astype(np.float32)
        found = _Found(place[:, 0], boxes, score, np.zeros((len(boxes), 5, 2), np.float32))
        best = _suppress(found, place[:, 0] * len(layout.sizes) + level, _SUPPRESS_LEVEL, level >= 0)
        return _suppress(best, best.owner, _SUPPRESS_PYRAMID, most=_MOST_PROPOSALS)

    def _refine(self, levels: list[Tensor], found: _Found) -> _Found:
        """R-Net on the proposals."""
        boxes = squared(found.boxes)
        crops = _crops(levels, boxes, found.owner, RNet.size)
        scores, offsets = (t.cpu().numpy() for t in _in_groups(self._rnet, crops, self._groups[1]))
        refined = _Found(found.owner, shifted(boxes, offsets), scores, found.points)
        return _suppress(refined, found.owner, _SUPPRESS_REFINED, scores > self.thresholds[1])

    def _conclude(self, levels: list[Tensor], found: _Found) -> _Found:
        """O-Net on what R-Net left."""
        boxes = squared(found.boxes)
        crops = _crops(levels, boxes, found.owner, ONet.size)
        scores, offsets, points = (t.cpu().numpy() for t in _in_groups(self._onet, crops, self._groups[2]))
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        placed = boxes[:, None, :2] + points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides
        final = _Found(found.owner, shifted(boxes, offsets), scores, placed)
        return _suppress(final, found.owner, _SUPPRESS_OUTPUT, scores > self.thresholds[2], of="smaller")


def _reduce(images: list[Picture], scale: float) -> list[Picture]:
    if scale == 1:
        return images
    h, w = images[0].shape[:2]
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return [cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False) for image in images]


def _crops(levels: list[Tensor], boxes: Boxes, owner: NDArray[np.int64], size: int) -> Tensor:
    """Crops [M, 3, size, size] of square boxes, each from the smallest level that does not have to be enlarged."""
    batch = levels[0]
    crops = batch.new_empty((len(boxes), 3, size, size))
    scales = np.array([level.shape[3] / batch.shape[3] for level in levels])
    by_size = np.argsort(-scales, kind="stable")
    enough = (boxes[:, 2] - boxes[:, 0])[:, None] * scales[by_size] >= size
    chosen = by_size[np.maximum(enough.sum(axis=1) - 1, 0)]
    for index in np.unique(chosen):
        rows = np.flatnonzero(chosen == index)
        level = levels[index]
        ratio = np.tile([level.shape[3] / batch.shape[3], level.shape[2] / batch.shape[2]], 2)
        matrices = matrix_from_box(boxes[rows] * ratio, (size, size))
        crops[torch.from_numpy(rows).to(crops.device)] = sample_crops(level, matrices, (size, size), owner[rows])
    return crops


def _in_groups(network: Callable[[Tensor], tuple[Tensor, ...]], inputs: Tensor, size: int) -> tuple[Tensor, ...]:
    """The network's outputs, computed `size` inputs at a time, the last group padded.

    Convolutions and products may round differently in batches of another size. With one size for all, a
    picture's faces are the same to the last bit whatever else is in the batch.
    """
    if not len(inputs):
        return tuple(t[:0] for t in network(inputs.new_zeros((1, *inputs.shape[1:]))))
    count = len(inputs)
    padding = inputs.new_zeros((-count % size, *inputs.shape[1:]))
    inputs = torch.cat([inputs, padding]).contiguous(memory_format=torch.channels_last)
    parts = [network(group) for group in torch.split(inputs, size)]
    return tuple(torch.cat(part)[:count] for part in zip(*parts, strict=True))


def _suppress(
    found: _Found,
    group: NDArray[np.int64],
    threshold: float,
    among: NDArray[np.bool_] | None = None,
    most: int | None = None,
    of: Literal["union", "smaller"] = "union",
) -> _Found:
    """Non-maximum suppression in each group. The `most` best of each stay, ordered by group, then falling score."""
    kept = [np.empty(0, np.intp)]
    for value in np.unique(group):
        rows = np.flatnonzero(group == value if among is None else (group == value) & among)
        stay = suppress(found.boxes[rows], found.scores[rows], threshold, of)
        kept.append(rows[stay[:most]])
    return found[np.concatenate(kept)]


def _faces(found: _Found, count: int, size: tuple[int, int], scale: NDArray[np.float32]) -> list[list[Face]]:
    """Per picture, in its own pixels: boxes cut at the border, points from edges to pixel centres."""
    faces: list[list[Face]] = [[] for _ in range(count)]
    limit = np.array([size[1], size[0]] * 2, np.float32)
    boxes = np.clip(found.boxes / np.tile(scale, 2), 0, limit)
    points = found.points / scale - np.float32(0.5)
    for owner, box, five, score in zip(found.owner, boxes, points, found.scores, strict=True):
        if box[2] > box[0] and box[3] > box[1]:
            faces[owner].append(Face(box, five, float(score)))
    return faces
