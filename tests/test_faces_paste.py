"""Feathered paste-back against a float64 reference, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faces_reference import bilinear
from thg_zoo.errors import FaceError
from thg_zoo.faces.paste import feather_mask, paste
from thg_zoo.faces.transforms import crop_box, invert, matrix_from_box

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
TURNED = np.array([[0.8, -0.5, 2.0], [0.5, 0.8, -22.0]])


def backgrounds(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 60, 90, 3), dtype=np.uint8))


def crops(count: int, size: tuple[int, int] = (32, 40)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).uniform(0, 1, (count, 3, *size)).astype(np.float32))


def reference(crop: torch.Tensor, background: torch.Tensor, matrix: np.ndarray, mask: torch.Tensor) -> np.ndarray:
    size = background.shape[0], background.shape[1]
    new = bilinear(crop.permute(1, 2, 0).double().numpy() * 255, invert(matrix), size, "edge")
    weight = bilinear(mask[:, :, None].double().numpy(), invert(matrix), size, "black")
    old = background.double().numpy()
    return old + weight * (new - old)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("still", [True, False])
def test_pasted_frames_agree_with_the_reference(still: bool, device: str) -> None:
    mask = feather_mask((32, 40), 0.2)
    shifts = [0.0] if still else [0.0, 7.3, -30.0]
    matrix = np.stack([TURNED + np.array([[0, 0, s], [0, 0, s / 2]]) for s in shifts])
    background, new = backgrounds(len(shifts)), crops(3)
    frames = paste(new.to(device), background.to(device), matrix, mask.to(device)).cpu().numpy()
    assert frames.dtype == np.uint8
    assert frames.shape == (3, 60, 90, 3)
    for i in range(3):
        k = 0 if still else i
        expected = reference(new[i], background[k], matrix[k], mask)
        assert np.abs(frames[i] - expected).max() <= 0.501
        untouched = bilinear(mask[:, :, None].numpy(), invert(matrix[k]), (60, 90), "black")[..., 0] == 0
        assert untouched.any()
        np.testing.assert_array_equal(frames[i][untouched], background[k].numpy()[untouched])


def test_a_frame_does_not_depend_on_its_batch() -> None:
    matrix = np.stack([TURNED, TURNED * 1.3, TURNED + 4])
    background, new, mask = backgrounds(3), crops(3), feather_mask((32, 40))
    together = paste(new, background, matrix, mask)
    for i in range(3):
        assert torch.equal(together[i], paste(new[i : i + 1], background[i : i + 1], matrix[i], mask)[0])


def test_one_background_serves_all_and_stays() -> None:
    background, new, mask = backgrounds(1), crops(4), feather_mask((32, 40))
    before = background.clone()
    together = paste(new, background, TURNED, mask)
    assert torch.equal(background, before)
    assert torch.equal(together, paste(new, background, np.stack([TURNED] * 4), mask))


def test_a_mask_for_each_crop() -> None:
    masks = torch.stack([torch.zeros(32, 40), torch.ones(32, 40)])
    frames = paste(crops(2), backgrounds(1), TURNED, masks)
    assert torch.equal(frames[0], backgrounds(1)[0])
    assert torch.equal(frames[1], paste(crops(2)[1:], backgrounds(1), TURNED, masks[1])[0])


def test_a_whole_box_is_replaced_exactly() -> None:
    new = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (1, 3, 20, 30)) / 255).float()
    frames = paste(new, backgrounds(1), matrix_from_box([10, 5, 40, 25], (20, 30)), torch.ones(20, 30))
    assert torch.equal(frames[0, 5:25, 10:40].permute(2, 0, 1), (new[0] * 255).round().to(torch.uint8))
    rest = frames[0].clone()
    rest[5:25, 10:40] = backgrounds(1)[0, 5:25, 10:40]
    assert torch.equal(rest, backgrounds(1)[0])


def test_crops_larger_than_their_place_are_averaged() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    matrix = matrix_from_box([20, 10, 36, 26], (64, 64))
    frames = paste(checks.expand(1, 3, 64, 64).float(), backgrounds(1), matrix, torch.ones(64, 64))
    assert (frames[0, 10:26, 20:36].int() - 127).abs().max() <= 1


@pytest.mark.parametrize("shift", [500.0, -500.0])
def test_a_crop_outside_changes_nothing(shift: float) -> None:
    matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
    assert torch.equal(paste(crops(1), backgrounds(1), matrix, torch.ones(32, 40)), backgrounds(1))
    both = paste(crops(2), backgrounds(1), np.stack([matrix, TURNED]), torch.ones(32, 40))
    assert torch.equal(both[0], backgrounds(1)[0])


def test_values_beyond_the_range_are_cut() -> None:
    box = crop_box([30, 20, 50, 40])
    frames = paste(torch.full((1, 3, 20, 20), 3.0), backgrounds(1), matrix_from_box(box, (20, 20)), torch.ones(20, 20))
    assert (frames[0, 20:40, 30:50] == 255).all()


def test_feather_masks() -> None:
    mask = feather_mask((64, 96), 0.25)
    assert mask.shape == (64, 96)
    assert mask[20:44, 20:76].min() == 1
    assert 0 <= mask[0].max() < 0.01
    assert torch.all(mask[:32].diff(dim=0) >= 0)
    torch.testing.assert_close(mask, mask.flip(0, 1))
    assert (feather_mask((8, 8), 0.0) == 1).all()
    with pytest.raises(FaceError):
        feather_mask((8, 8), 0.6)
