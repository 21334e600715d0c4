"""The shared blocks of the first-order-motion family against the figures of the published code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from thg_zoo.errors import InputError
from thg_zoo.faces.face_crop import face_crop, overlap, union
from thg_zoo.keypoints.best_frame import best_frame, landmark_distance, normalised_landmarks
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion, hull_size, inverse_2x2
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.nn.antialias import AntiAliasDownsample
from thg_zoo.nn.grid import coordinate_grid, gaussian_maps
from thg_zoo.nn.warp import warp


def anti_alias(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    down = AntiAliasDownsample(3, 4)
    return {"kernel": down.weight[0, 0], "out": down(inputs["image"])}


def gaussians(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"heat": gaussian_maps(inputs["value"], (48, 64))}


def grid(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"grid": coordinate_grid((5, 7), inputs["scale"]) * inputs["scale"]}


def deform(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"out": warp(inputs["features"], inputs["flow"])}


def _points(inputs: dict[str, Tensor], name: str) -> KeyPoints:
    return KeyPoints(inputs[f"value_{name}"], inputs[f"jac_{name}"] + torch.eye(2))


def relative(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, initial, driving = (_points(inputs, name) for name in ("source", "initial", "driving"))
    moved = RelativeMotion(source, initial)(driving)
    return {"value": moved.value, "jacobian": moved.jacobian}


def relative_adapted(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, initial, driving = (_points(inputs, name) for name in ("source", "initial", "driving"))
    moved = RelativeMotion.adapted(source, initial)(driving)
    return {"value": moved.value, "jacobian": moved.jacobian}


def relative_value_only(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, initial = (KeyPoints(inputs[f"value_{name}"]) for name in ("source", "initial"))
    moved = RelativeMotion.adapted(source, initial)(_points(inputs, "driving"))
    return {"value": moved.value, "jacobian": moved.jacobian}


def hulls(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"area": [hull_size(points) for points in inputs["points"]]}


def find_best(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, driving = inputs["source"].numpy(), inputs["driving"].numpy()
    return {
        "distance": [landmark_distance(source, frame) for frame in driving],
        "best": [best_frame(source, driving), len(driving)],
        "normalised_source": normalised_landmarks(source),
    }


def crops(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    rows = []
    for left, top, width, height in zip(*(inputs[n].tolist() for n in ("left", "top", "width", "height")), strict=True):
        box = (left, top, left + width, top + height)
        rows += [face_crop(box, (480, 640), increase) for increase in (0.1, 0.3)]
    return {"crop": rows}


def joined_boxes(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    pairs = [
        tuple((x, y, x + w, y + h) for x, y, w, h in (a, b))
        for a, b in zip(inputs["a"].tolist(), inputs["b"].tolist(), strict=True)
    ]
    return {"iou": [overlap(a, b) for a, b in pairs], "join": [union(a, b) for a, b in pairs]}


def resized(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    picture = (inputs["image"].floor() / 255).permute(2, 0, 1)[None]
    down = resize_antialiased(picture, (256, 256))[0].permute(1, 2, 0)
    up = resize_antialiased(picture[..., :100, :90], (256, 256))[0].permute(1, 2, 0)
    return {"down": down, "up": up, "rgba_first3": down}


FUNCTIONS = {
    "anti_alias_quarter": anti_alias,
    "kp2gaussian": gaussians,
    "coordinate_grid": grid,
    "deform_input_resize": deform,
    "deform_input_same": deform,
    "normalize_relative": relative,
    "normalize_relative_adapt": relative_adapted,
    "normalize_relative_value_only": relative_value_only,
    "convex_hull_area": hulls,
    "best_frame": find_best,
    "crop_rule": crops,
    "box_iou_join": joined_boxes,
    "resize_to_256": resized,
}


@parametrize(FUNCTIONS)
def test_function_matches_published_code(name, runner):
    check("fomm", name, runner)


def test_driving_frame_zero_gives_the_source_back():
    torch.manual_seed(0)
    source, initial = (KeyPoints(torch.randn(1, 10, 2), torch.eye(2) + 0.3 * torch.randn(1, 10, 2, 2)) for _ in "ab")
    moved = RelativeMotion.adapted(source, initial)(initial)
    torch.testing.assert_close(moved.value, source.value)
    torch.testing.assert_close(moved.jacobian, source.jacobian, atol=1e-4, rtol=1e-4)


def test_motion_is_the_same_in_batches_and_frame_by_frame():
    torch.manual_seed(0)
    source, initial = (KeyPoints(torch.randn(1, 15, 3)) for _ in "ab")
    driving = KeyPoints(torch.randn(7, 15, 3))
    transfer = RelativeMotion.adapted(source, initial)
    single = [transfer(driving[i : i + 1]).value for i in range(len(driving))]
    assert torch.equal(torch.cat(single), transfer(driving).value)


def test_inverse():
    torch.manual_seed(0)
    matrix = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(inverse_2x2(matrix) @ matrix, torch.eye(2).expand_as(matrix), atol=1e-4, rtol=0)


@pytest.mark.parametrize("points", [torch.zeros(10, 2), torch.linspace(0, 1, 15)[:, None].expand(15, 3)])
def test_points_without_a_hull_are_an_error(points):
    with pytest.raises(InputError, match="no face") as caught:
        hull_size(points)
    assert caught.value.remedy


def test_best_frame_passes_over_frames_without_a_face():
    generator = np.random.default_rng(0)
    source, other = generator.random((68, 2)), generator.random((68, 2))
    assert best_frame(source, [None, other, 3 * source + 5, None]) == 2
    assert best_frame(source, iter([source, source])) == 0
    assert best_frame(source, [None, None]) is None


def test_crop_is_a_square_within_the_frame():
    assert face_crop((100, 100, 200, 180), (400, 400)) == (90, 80, 120, 120)
    x, y, width, height = face_crop((-20, 350, 80, 450), (400, 400))
    assert (x, y) == (0, 340)
    assert (x + width, y + height) == (90, 400)
