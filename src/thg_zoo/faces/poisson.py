"""Poisson cloning of a rectangle into a photo (Perez et al., "Poisson Image Editing", SIGGRAPH 2003), in batches.

The result is that of OpenCV's `seamlessClone` with a mask of 255 everywhere, solved in another way. OpenCV keeps the
photo in a frame of five pixels' width but lets it take part in the solution: with E = patch - photo, D = 1 inside that
frame and 0 on it, the photo is changed by E D + h, where h is zero on the border of the rectangle and harmonic but for
four lines of dipoles, on which E decides. Sine waves along a line fade away from it, each at a rate of its own, so that
few matter far from the lines: h costs some thousand multiplications per pixel of the border instead of a transform of
the whole rectangle for every frame.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# OpenCV solves within one pixel of the box and takes the photo's gradients in the three outermost of what is left.
_BORDER, _KEPT = 1, 3
_MARGIN = _BORDER + _KEPT
# Waves that are weaker than this where they arrive are left out: together below a hundredth of a grey level.
_NEGLIGIBLE = 1e-6
# Solutions are cut off to whole grey levels, not rounded; those that are whole but for rounding errors stay.
_SLACK = 1e-3


class PoissonClone:
    """A box of one photo, into which patches are cloned.

    photo: uint8 [H, W, 3], on the device where the work is done. box: edges x1, y1, x2, y2 inside the photo. A box
    below nine pixels has nothing inside the frame that is kept: photos stay as they are.
    """

    def __init__(self, photo: Tensor, box: tuple[int, int, int, int]) -> None:
        self._photo = photo
        self._box = box
        x1, y1, x2, y2 = box
        self._empty = min(x2 - x1, y2 - y1) <= 2 * _MARGIN
        if not self._empty:
            height, width = (side - 2 * _BORDER - 1 for side in (y2 - y1, x2 - x1))
            self._across_rows = _Dipoles(height, width, photo.device)
            self._across_columns = _Dipoles(width, height, photo.device)

    def __call__(self, patches: Tensor) -> Tensor:
        """Patches [B, 3, h, w] of the box's size, floats in 0..255, to photos uint8 [B, H, W, 3]."""
        frames = self._photo.expand(len(patches), -1, -1, -1).clone(memory_format=torch.contiguous_format)
        if self._empty:
            return frames
        x1, y1, x2, y2 = self._box
        photo = self._photo[y1:y2, x1:x2].permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format)
        difference = patches.float() - photo
        ends, inside = (_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN)
        rows = [difference[..., end, inside] for end in ends]
        columns = [difference[..., inside, end] for end in ends]
        # Lower precision would show: the sums run over many waves.
        with torch.autocast(photo.device.type, enabled=False):
            solution = self._across_rows.solve(*rows) + self._across_columns.solve(*columns).mT
        solved = slice(_BORDER + 1, -_BORDER - 1)
        solution += photo[:, solved, solved]
        solution[..., _KEPT - 1 : 1 - _KEPT, _KEPT - 1 : 1 - _KEPT] += difference[..., inside, inside]
        levels = solution.add_(_SLACK).clamp_(0, 255).to(torch.uint8)
        frames[:, y1:y2, x1:x2][:, solved, solved] = levels.permute(0, 2, 3, 1)
        return frames


class _Dipoles:
    """Solutions for two lines of dipoles, parallel to two sides of a rectangle on whose border they are zero.

    across, along: how many steps the rectangle measures from one line's side to the other's, and along the lines.
    """

    def __init__(self, across: int, along: int, device: torch.device) -> None:
        self._across = across
        waves = np.arange(1, along, dtype=np.float64)
        sines = np.sin(np.pi / along * waves[:, None] * waves)
        self._sines = torch.from_numpy(sines.astype(np.float32)).to(device)
        self._analysis = self._sines[:, _KEPT - 1 : 1 - _KEPT].T.contiguous() * (2 / along)
        strength = _dipole_response(across, waves * (np.pi / along))
        self._near = torch.from_numpy(strength.astype(np.float32)).to(device)
        self._far = self._near.flip(0)
        self._bands = _bands(strength)

    def solve(self, first: Tensor, last: Tensor) -> Tensor:
        """[B, C, across - 1, along - 1] inside the border, of what the lines carry, [B, C, along - 5] each."""
        first, last = first @ self._analysis, last @ self._analysis
        solution = first.new_empty((*first.shape[:2], self._across - 1, self._sines.shape[1]))
        for start, stop, waves in self._bands:
            rows = slice(start, stop), slice(waves)
            felt = self._near[rows] * first[..., None, :waves] + self._far[rows] * last[..., None, :waves]
            solution[..., start:stop, :] = felt @ self._sines[:waves]
        return solution


def _dipole_response(across: int, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """[across - 1, K] how strong a wave of each of the frequencies (radians per step) is at 1 ... across - 1.

    It is caused by a dipole of that wave, +1 in step 3 and -1 in step 2; the five-point Laplacian of all is zero
    elsewhere, and they vanish at 0 and `across`. Green's function of one step is a product of hyperbolic sines.
    """
    rate = 2 * np.arcsinh(np.sin(frequencies / 2))

    def green(place: NDArray[np.int64], source: int) -> NDArray[np.float64]:
        low, high = np.minimum(place, source)[:, None], np.maximum(place, source)[:, None]
        parts = np.expm1(-2 * rate * low) * np.expm1(-2 * rate * (across - high))
        response: NDArray[np.float64] = parts / (2 * np.sinh(rate) * np.expm1(-2 * rate * across))
        response *= np.exp(-rate * (high - low))
        return response

    steps = np.arange(1, across)
    return green(steps, _KEPT) - green(steps, _KEPT - 1)


def _bands(strength: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """Rows start to stop that are computed together, and how many waves (from the longest) are felt there.

    The further from the nearer line, the fewer: the rows of a band are between 2^i and 2^(i+1) steps from the border.
    """
    rows = len(strength)
    distance = np.minimum(np.arange(rows), np.arange(rows)[::-1]) + 1
    octave = np.where(distance < 8, 0, np.log2(distance).astype(int))
    cuts = [0, *(np.flatnonzero(np.diff(octave)) + 1).tolist(), rows]
    felt = np.abs(np.maximum(np.abs(strength), np.abs(strength[::-1]))) > _NEGLIGIBLE
    return [(start, stop, int(felt[start:stop].sum(axis=1).max())) for start, stop in itertools.pairwise(cuts)]
