"""The 98-point network against the figures of the published code, and its points."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize, recorded
from layouts import assert_layout
from thg_zoo.errors import FaceError
from thg_zoo.faces.fan import POINTS, Fan, FanNetwork, network_input, points_from_maps, to_68
from thg_zoo.nn.fold import fold_batch_norm


def fan(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(FanNetwork(), "fan")
    with recorded(network, seen="<m3.coordconv.conv") as inner:
        maps = network(inputs["image"])
    return {"heat_first": maps[0], "heat_last": maps[-1], "coords_last": inner["seen"][:, -2:]}


def fan_points(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    cells = points_from_maps(inputs["heat"].numpy()[None])[0]
    points = (cells * (150 / 64, 200 / 64)).astype(np.float32)
    return {"points_98": points, "points_68": to_68(points)}


@parametrize({"fan": fan, "fan_points": fan_points})
def test_fan_matches_published_code(name, runner):
    check("sadtalker", name, runner)


def test_every_published_entry_is_read():
    assert_layout("sadtalker", "alignment_WFLW_4HG.pth", "state_dict", FanNetwork)


@cache
def seeded_network() -> FanNetwork:
    return Case("sadtalker", "fan").fill(FanNetwork(), "fan")


def test_folding_the_norms_changes_nothing():
    network = Case("sadtalker", "fan").fill(FanNetwork(), "fan")
    face = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network(face)[-1]
        assert fold_batch_norm(network) == 5
        torch.testing.assert_close(network(face)[-1], before, rtol=1e-4, atol=1e-4)


def test_points_are_those_of_each_box(monkeypatch):
    """A box's points depend on its own picture, and lie in it wherever it is."""
    rng = np.random.default_rng(1)
    face = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    photo = np.zeros((90, 120, 3), np.uint8)
    photo[20:60, 50:80] = face
    finder = Fan(seeded_network())
    whole, inside = finder.points([face, photo], [[0, 0, 30, 40], [50.9, 20.2, 80.7, 60.9]])
    assert whole.shape == (POINTS, 2)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(inside, whole + np.array([50, 20]), atol=1e-3)
    assert (whole >= 0).all()
    assert (whole <= (30, 40)).all()


def test_the_network_sees_blue_first():
    face = np.zeros((4, 4, 3), np.uint8)
    face[..., 0] = 255
    seen = network_input([face])
    assert seen.shape == (1, 3, 256, 256)
    assert seen[0].amax(dim=(1, 2)).tolist() == [0, 0, 1]


def test_a_box_without_a_pixel_is_refused():
    with pytest.raises(FaceError, match="smaller than a pixel"):
        Fan(seeded_network()).points([np.zeros((9, 9, 3), np.uint8)], [[2.1, 2, 2.9, 8]])


def peak(*cells: tuple[int, int]) -> np.ndarray:
    """Maps with one high cell (row, column) each; the cells to the right of it and below are higher than others."""
    maps = np.zeros((1, len(cells), 64, 64), np.float32)
    for i, (row, column) in enumerate(cells):
        flat = maps[0, i].reshape(-1)
        at = row * 64 + column
        flat[at] = 1
        for beside in (at + 1, at + 64):
            if beside < flat.size:
                flat[beside] = 0.5
    return maps


def test_points_lean_to_the_higher_neighbour():
    assert points_from_maps(peak((10, 20), (30, 40))).tolist() == [[[20.75, 10.75], [40.75, 30.75]]]


def test_one_point_in_the_last_row_changes_all_of_the_face():
    """As published: the last value then stands for the lower neighbours of all points of the face."""
    both = points_from_maps(np.concatenate([peak((10, 20), (63, 5)), peak((10, 20), (30, 40))]))
    assert both[0, 0].tolist() == [20.75, 10.5]
    assert both[1, 0].tolist() == [20.75, 10.75]


def test_a_point_in_the_last_cell_is_a_point():
    (point,) = points_from_maps(peak((63, 63)))[0]
    assert np.isfinite(point).all()
    assert abs(point - 63.5).max() <= 0.25
