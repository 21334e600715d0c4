"""Poisson cloning against OpenCV, against a direct solution, and in batches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from thg_zoo.faces.poisson import PoissonClone


def smooth(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A picture with large shapes and fine noise, all levels used: uint8 [H, W, 3]."""
    coarse = cv2.resize(
        rng.integers(0, 256, (6, 7, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def as_batch(*patches: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float()


def direct(photo: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """The solution for a patch as large as the photo, by a sparse solver in float64: what is seen at 2 ... -2."""
    a, b = photo[1:-1, 1:-1].astype(float), patch[1:-1, 1:-1].astype(float)
    h, w = a.shape[:2]
    cloned = np.zeros((h, w, 1))
    cloned[3:-3, 3:-3] = 1
    # Gradients towards the next pixel: the patch's, but near the border the photo's.
    across = cloned[:, :-1] * np.diff(b, axis=1) + (1 - cloned[:, :-1]) * np.diff(a, axis=1)
    down = cloned[:-1] * np.diff(b, axis=0) + (1 - cloned[:-1]) * np.diff(a, axis=0)
    wanted = np.diff(across, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1]
    wanted[0] -= a[0, 1:-1]
    wanted[-1] -= a[-1, 1:-1]
    wanted[:, 0] -= a[1:-1, 0]
    wanted[:, -1] -= a[1:-1, -1]
    rows, columns = (sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)) for n in (h - 2, w - 2))
    laplacian = sparse.kron(sparse.eye_array(h - 2), columns) + sparse.kron(rows, sparse.eye_array(w - 2))
    return np.clip(spsolve(laplacian.tocsc(), wanted.reshape(-1, 3)).reshape(h - 2, w - 2, 3), 0, 255)


BOXES = [
    pytest.param((320, 280), (30, 20, 130, 100), id="even"),
    pytest.param((320, 280), (31, 20, 132, 101), id="odd"),
    pytest.param((120, 100), (0, 0, 120, 100), id="whole photo"),
    pytest.param((320, 280), (287, 245, 320, 280), id="in the corner"),
    pytest.param((100, 100), (5, 5, 14, 45), id="as narrow as can be"),
    pytest.param((512, 512), (50, 60, 400, 300), id="large"),
]


@pytest.mark.parametrize(("size", "box"), BOXES)
def test_poisson_is_seamless_clone(size, box):
    rng = np.random.default_rng(1)
    photo, (x1, y1, x2, y2) = smooth(rng, *size), box
    patch = smooth(rng, x2 - x1, y2 - y1)
    pasted = PoissonClone(torch.from_numpy(photo), box)(as_batch(patch))[0].numpy()
    centre = (x1 + x2) // 2, (y1 + y2) // 2
    expected = cv2.seamlessClone(patch, photo, np.full_like(patch, 255), centre, cv2.NORMAL_CLONE)
    # OpenCV's own rounding decides where a solution is close to a whole level, which is then cut off.
    difference = np.abs(pasted.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02
    assert (pasted[y1:y2, x1:x2] != photo[y1:y2, x1:x2]).mean() > 0.05


@pytest.mark.parametrize("size", [(70, 50), (51, 90), (9, 9), (33, 10)])
def test_poisson_solves_the_equation(size):
    rng = np.random.default_rng(2)
    photo, patch = smooth(rng, *size), smooth(rng, *size)
    pasted = PoissonClone(torch.from_numpy(photo), (0, 0, *size))(as_batch(patch))[0].numpy()
    expected = photo.copy()
    expected[2:-2, 2:-2] = direct(photo, patch) + 1e-3
    np.testing.assert_array_equal(pasted, expected)


def test_frames_of_a_batch_do_not_depend_on_each_other():
    rng = np.random.default_rng(3)
    photo = torch.from_numpy(smooth(rng, 200, 150))
    patches = as_batch(*(smooth(rng, 90, 70) for _ in range(3)))
    clone = PoissonClone(photo, (40, 30, 130, 100))
    together = clone(patches)
    for patch, frame in zip(patches, together, strict=True):
        assert (clone(patch[None])[0].int() - frame.int()).abs().max() <= 1
    assert torch.equal(photo, torch.from_numpy(smooth(np.random.default_rng(3), 200, 150)))


def test_a_patch_of_the_photo_itself_changes_nothing():
    photo = smooth(np.random.default_rng(4), 160, 120)
    patch = photo[10:110, 20:140]
    assert torch.equal(
        PoissonClone(torch.from_numpy(photo), (20, 10, 140, 110))(as_batch(patch))[0], torch.from_numpy(photo)
    )


def test_a_brighter_patch_takes_the_light_of_the_photo():
    photo = np.full((120, 160, 3), 80, np.uint8)
    pasted = PoissonClone(torch.from_numpy(photo), (20, 10, 140, 110))(torch.full((1, 3, 100, 120), 200.0))
    assert (pasted == 80).all()


@pytest.mark.parametrize("side", [1, 8])
def test_boxes_too_small_for_a_clone_leave_the_photo(side):
    photo = torch.from_numpy(smooth(np.random.default_rng(5), 60, 50))
    pasted = PoissonClone(photo, (7, 9, 7 + side, 39))(torch.zeros(2, 3, 30, side))
    assert torch.equal(pasted, photo.expand(2, -1, -1, -1))


def test_lower_precision_of_the_networks_does_not_touch_the_blend():
    rng = np.random.default_rng(6)
    clone = PoissonClone(torch.from_numpy(smooth(rng, 120, 100)), (10, 10, 110, 90))
    patches = as_batch(smooth(rng, 100, 80))
    plain = clone(patches)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(clone(patches), plain)
