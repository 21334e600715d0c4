"""Batched crops in torch against the reference, OpenCV, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faces_reference import bilinear
from thg_zoo.faces.resample import sample_crops
from thg_zoo.faces.transforms import Border, matrix_from_box, warp_crop

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def matrices(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-1, 1, count), rng.uniform(0.2, 2, count)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    shift = rng.uniform(-8, 8, (count, 2))
    return np.stack([np.stack([c, -s, shift[:, 0]], 1), np.stack([s, c, shift[:, 1]], 1)], 1)


def pictures(count: int, size: tuple[int, int] = (50, 70)) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (count, *size, 3)).astype(np.float32)


def to_torch(batch: np.ndarray, device: str = "cpu") -> torch.Tensor:
    return torch.from_numpy(batch).permute(0, 3, 1, 2).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("border", ["edge", "black"])
def test_crops_agree_with_the_reference(border: Border, device: str) -> None:
    batch, m = pictures(2), matrices(2)
    m[:, :, :2] /= np.sqrt(np.linalg.det(m[:, :, :2]))[:, None, None]
    crops = sample_crops(to_torch(batch, device), m, (32, 40), border=border).permute(0, 2, 3, 1).cpu().numpy()
    for crop, picture, matrix in zip(crops, batch, m, strict=True):
        assert np.abs(crop - bilinear(picture, matrix, (32, 40), border)).max() < 5e-5


@pytest.mark.parametrize("border", ["edge", "black"])
def test_crops_agree_with_opencv(border: Border) -> None:
    """On a smooth picture, within two of 255 grey levels: OpenCV before 5 rounds positions to 1/32 pixel."""
    y, x = np.mgrid[:90, :130].astype(np.float32)
    smooth = np.stack([np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 23)], -1) / 2 + 0.5
    for matrix in matrices(12, seed=5):
        mine = sample_crops(to_torch(smooth[None]), matrix, (48, 56), border=border)[0].permute(1, 2, 0).numpy()
        theirs = warp_crop(smooth, matrix, (48, 56), border)
        difference = np.abs(mine - theirs)
        assert difference.mean() < 0.5 / 255
        assert np.quantile(difference, 0.97) < 2 / 255


@pytest.mark.parametrize("device", DEVICES)
def test_a_crop_does_not_depend_on_the_others(device: str) -> None:
    batch, m = to_torch(pictures(4), device), matrices(11, seed=1)
    owner = np.array([0, 3, 1, 1, 0, 2, 3, 3, 1, 0, 0])
    together = sample_crops(batch, m, (24, 20), owner)
    for i in range(len(m)):
        alone = sample_crops(batch[owner[i] : owner[i] + 1], m[i], (24, 20))
        assert torch.equal(together[i], alone[0])


def test_a_window_of_a_crop_equals_the_whole() -> None:
    batch, m = to_torch(pictures(2)), matrices(2, seed=2)
    whole = sample_crops(batch, m, (60, 80))
    window = sample_crops(batch, m, (21, 33), origins=np.array([[10, 5], [40, 30]]))
    assert torch.equal(window[0], whole[0, :, 5:26, 10:43])
    assert torch.equal(window[1], whole[1, :, 30:51, 40:73])


def test_one_picture_gives_many_crops_and_bytes_are_taken() -> None:
    picture = (to_torch(pictures(1)) * 255).to(torch.uint8)
    boxes = np.array([[0, 0, 10, 10], [20, 10, 30, 20], [60, 40, 70, 50]])
    crops = sample_crops(picture, matrix_from_box(boxes, (10, 10)), (10, 10))
    for crop, (x1, y1, x2, y2) in zip(crops, boxes, strict=True):
        assert torch.allclose(crop, picture[0, :, y1:y2, x1:x2].float(), atol=1e-3)


def test_no_crops_of_a_picture() -> None:
    assert sample_crops(to_torch(pictures(1)), np.empty((0, 2, 3)), (8, 9)).shape == (0, 3, 8, 9)
