"""Without a reference, from single pictures: CPBD and NIQE."""

from __future__ import annotations

import importlib
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from thg_zoo.metrics.meter import Batch, Mean, Meter, Skip

# These measures are slow, and neighbouring frames are alike: every so many frames are looked at.
EVERY = 5
_BLOCK, _EDGES_OF_BLOCK = 64, 0.002
_BETA = 3.6
# Widths at which blur is just noticed, by the contrast of a block; beyond this contrast edges have to be narrower.
_NOTICED_LOW, _NOTICED_HIGH, _CONTRAST = 5.0, 3.0, 51
# The probability of detection at a width of just noticeable blur, 1 - 1/e, in the steps of the published histogram.
_VISIBLE = 0.635
_LONGEST = 101


class Cpbd(Meter):
    """cpbd: the mean of `cpbd` over every fifth frame."""

    names = ("cpbd",)

    def __init__(self) -> None:
        self._mean, self._seen = Mean(), 0

    def update(self, batch: Batch) -> None:
        for frame in batch.frames[-self._seen % EVERY :: EVERY]:
            self._mean.add(cpbd(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)))
        self._seen += len(batch.frames)

    def result(self) -> dict[str, float]:
        return {"cpbd": self._mean.value("there are no frames")}


class Niqe(Meter):
    """niqe: pyiqa's, over every fifth frame. Raises Skip where the package, or what it downloads, cannot be had."""

    names = ("niqe",)

    def __init__(self, device: torch.device) -> None:
        try:
            library: Any = importlib.import_module("pyiqa")
        except ImportError as error:
            raise Skip("needs the package pyiqa, which downloads the statistics of natural pictures") from error
        try:
            self._score = library.create_metric("niqe", device=device)
        except OSError as error:
            raise Skip(f"the statistics that pyiqa downloads could not be had: {error}") from error
        self._mean, self._seen = Mean(), 0

    def update(self, batch: Batch) -> None:
        for frame in batch.frames[-self._seen % EVERY :: EVERY]:
            picture = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 255
            self._mean.add(float(self._score(picture)))
        self._seen += len(batch.frames)

    def result(self) -> dict[str, float]:
        return {"niqe": self._mean.value("there are no frames")}


def cpbd(grey: NDArray[np.uint8]) -> float:
    """Cumulative probability of blur detection, 0..1, of grey levels uint8 [H, W].

    Narvekar and Karam, A No-Reference Image Blur Metric Based on the Cumulative Probability of Blur Detection, 2011.
    0 for a picture without edges. Raises Skip if scikit-image, whose edge detector it takes, is missing.
    """
    try:
        canny: Any = importlib.import_module("skimage.feature").canny
    except ImportError as error:
        raise Skip("needs the package scikit-image: pip install 'thg-zoo[metrics]'") from error
    levels = grey.astype(np.float64)
    widths = edge_widths(levels)
    rows, columns = (n // _BLOCK * _BLOCK for n in levels.shape)
    edges, widths, levels = (_blocks(array[:rows, :columns]) for array in (canny(levels), widths, levels))
    if not len(levels):
        raise Skip(f"the frames are smaller than {_BLOCK} pixels")
    contrast = np.floor(levels.max(axis=1) - levels.min(axis=1))
    noticed = np.where(contrast < _CONTRAST, _NOTICED_LOW, _NOTICED_HIGH)[:, None]
    counted = (edges.sum(axis=1) > _EDGES_OF_BLOCK * _BLOCK**2)[:, None] & (widths > 0)
    probability = 1 - np.exp(-((widths / noticed) ** _BETA))
    return float((probability[counted] < _VISIBLE).mean()) if counted.any() else 0.0


def edge_widths(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width in pixels of every vertical edge along its row, from one turning point of the levels to the next; 0
    elsewhere (Marziliano et al., A No-Reference Perceptual Blur Metric, 2002)."""
    gradient_y, gradient_x = np.gradient(levels)
    direction = np.round(np.degrees(np.arctan2(gradient_y, gradient_x)) / 45)
    # A column whose own gradient is 0 along the row has no direction unless it is 0 altogether, then it counts as 0.
    direction[(gradient_x == 0) & (gradient_y != 0)] = 0
    edges = _sobel_edges(levels)
    edges[[0, -1]] = edges[:, [0, -1]] = False
    widths = np.zeros(levels.shape)
    for falling, chosen in ((True, np.abs(direction) == 4), (False, direction == 0)):
        steps = np.diff(levels, axis=1)
        runs = steps < 0 if falling else steps > 0
        left, right = _run_lengths(runs)
        y, x = np.nonzero(edges & chosen)
        widths[y, x] = left[y, x] + right[y, x]
    return widths


def _run_lengths(runs: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each pixel, how many pixels the monotonous stretch goes on to its left and to its right; at least 1.

    runs [H, W - 1]: whether the step from a pixel to the next continues the edge. The steps next to the pixel itself
    are taken for granted, as published.
    """
    height, steps = runs.shape
    ahead = np.zeros((height, steps + 1), np.int64)
    behind = np.zeros((height, steps + 1), np.int64)
    for k in range(1, steps + 1):
        behind[:, k] = np.where(runs[:, k - 1], behind[:, k - 1] + 1, 0)
        j = steps - k
        ahead[:, j] = np.where(runs[:, j], ahead[:, j + 1] + 1, 0)
    left, right = np.ones_like(behind), np.ones_like(ahead)
    left[:, 1:] += behind[:, :-1]
    right[:, :-1] += ahead[:, 1:]
    return np.minimum(left, _LONGEST), np.minimum(right, _LONGEST)


def _sobel_edges(levels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Strong vertical edges, thinned to where they are strongest along the row or the column."""
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
    strength = ndimage.convolve(levels, kernel) ** 2
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    padded = np.pad(strength, 1)
    along = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    across = (strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1])
    edges: NDArray[np.bool_] = along | across
    return edges


def _blocks(array: NDArray[Any]) -> NDArray[Any]:
    """[H, W], multiples of the block size, as [blocks, pixels]."""
    rows, columns = array.shape[0] // _BLOCK, array.shape[1] // _BLOCK
    tiles = array.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    flat: NDArray[Any] = tiles.reshape(rows * columns, _BLOCK**2)
    return flat
