"""Arithmetic on boxes [N, 4] of edges x1, y1, x2, y2."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float32]


def areas(boxes: NDArray[Any]) -> NDArray[Any]:
    """[N] areas."""
    area: NDArray[Any] = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return area


def overlap(box: NDArray[Any], boxes: NDArray[Any], of: Literal["union", "smaller"] = "union") -> NDArray[Any]:
    """Shared area of `box` [4] with each of `boxes`, over that of their union (IoU) or of the smaller one: [N]."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    own, other = areas(box), areas(boxes)
    whole = own + other - shared if of == "union" else np.minimum(own, other)
    share: NDArray[Any] = shared / np.maximum(whole, 1e-9)
    return share


def suppress(
    boxes: Boxes, scores: NDArray[np.float32], threshold: float, of: Literal["union", "smaller"] = "union"
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes that stay, by falling score.

    A box goes if it overlaps one that stays by more than `threshold`. Equal scores keep their order.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        waiting = waiting[overlap(boxes[best], boxes[waiting], of) <= threshold]
    return np.array(kept, dtype=np.intp)


def squared(boxes: Boxes) -> Boxes:
    """Squares of the same centres, as large as the longer sides."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def shifted(boxes: Boxes, offsets: Boxes) -> Boxes:
    """Every edge moved by its offset, given as a fraction of the box's width or height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    moved: Boxes = boxes + offsets * np.concatenate([sides, sides], axis=1)
    return moved
