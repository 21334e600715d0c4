"""LivePortrait's crops, landmarks and paste-back against the published program's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from parity import load_golden
from thg_zoo.adapters.liveportrait.crop import (
    axis_points,
    crop_matrix,
    cut,
    face_square,
    limited,
    mean_box,
    reduced,
    square,
    squeezed,
)
from thg_zoo.adapters.liveportrait.landmark_network import find_in_whole, refine
from thg_zoo.adapters.liveportrait.mask import crop_mask, published_mask, whole_levels
from thg_zoo.adapters.liveportrait.neutral import neutral_expression
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.source import as_input
from thg_zoo.errors import FaceError
from thg_zoo.faces.paste import paste
from thg_zoo.options import resolve_options

MODEL = "liveportrait"
Picture = NDArray[np.uint8]


def picture(inputs: dict[str, Tensor], height: int, width: int, shift: float = 0.0) -> Picture:
    """The waves that the cases are measured on."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    a, b = (inputs[name].double().numpy() + shift for name in ("phase_a", "phase_b"))
    waves = [127.5 + 60 * np.sin(0.05 * x * (k + 1) + a[k]) + 60 * np.cos(0.04 * y * (3 - k) + b[k]) for k in range(3)]
    return np.floor(np.stack(waves, axis=2)).astype(np.uint8)


def points(inputs: dict[str, Tensor], name: str = "lmk") -> NDArray[np.float32]:
    return inputs[name].numpy() * np.array([220, 240], np.float32) + np.array([200, 100], np.float32)


def square_crop(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    lips = not case.name.endswith("eyes_only")
    landmarks = inputs["lmk"].numpy()
    centre, side, angle = square(landmarks, 2.3, 0.1, -0.125, lips)
    return {"pt2": axis_points(landmarks, lips), "rect": [*centre, side, side, angle]}


def whole(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.concatenate([matrix.astype(np.float64), [[0, 0, 1]]])


def crop_image(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    options = case.golden["options"]
    centre, side, angle = square(points(inputs), options["scale"], 0.0, options["vy_ratio"])
    size = options["dsize"]
    matrix = crop_matrix(centre, side, angle if options.get("flag_do_rot", True) else None, size)
    if case.name.endswith("pixels"):
        crop = cut(picture(inputs, 480, 640), matrix, size)
        return {"img_crop": crop} | ({"img_crop_256": reduced(crop)} if size == 512 else {})
    moved = points(inputs) @ matrix[:, :2].T + matrix[:, 2]
    return {"M_o2c": whole(matrix), "M_c2o": np.linalg.inv(whole(matrix)), "pt_crop": moved}


def resize(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    frame = picture(inputs, 353, 501)
    return {"small": limited(frame, 320, 2), "cut": limited(frame, 1280, 16)}


def driving_crop(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    landmarks = [points({"lmk": frame}) for frame in inputs["lmk"]]
    boxes = [mean_box([frame], 2.2, 0.0, -0.1) for frame in landmarks]
    box = mean_box(landmarks, 2.2, 0.0, -0.1)
    matrix = crop_matrix((box[:2] + box[2:]) / 2, box[2] - box[0])
    if case.name.endswith("pixels"):
        return {"img_crop": cut(picture(inputs, 480, 640), matrix)}
    moved = np.stack([frame @ matrix[:, :2].T + matrix[:, 2] for frame in landmarks])
    return {"bboxes": boxes, "global_bbox": box, "M_o2c": whole(matrix), "lmk_crop": moved}


def landmarks_203(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    shown: list[NDArray[np.float32]] = []

    def network(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        shown.append(crops)
        return inputs["raw"].numpy() if "raw" in inputs else np.zeros((1, 406), np.float32)

    found = refine(network, picture(inputs, 480, 640), points(inputs, "rough"))
    return {"input": shown[0]} if case.name.endswith("pixels") else {"points": found}


def landmarks_in_whole(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"points": find_in_whole(lambda _: inputs["raw"].numpy(), picture(inputs, 300, 224))}


def constants(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    mask = published_mask().unsqueeze(2).expand(-1, -1, 3)
    return {"mask": mask, "lip_array": neutral_expression(torch.zeros(1, dtype=torch.float64))}


def pasted(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    centre, side, angle = square(points(inputs), 2.3, 0.0, -0.125)
    matrix = crop_matrix(centre, side, angle)
    original = torch.from_numpy(picture(inputs, 480, 640))[None]
    crop = torch.from_numpy(picture(inputs, 512, 512, shift=1.0)).permute(2, 0, 1)[None] / 255
    mask = crop_mask(resolve_options(LivePortraitOptions))
    weights = paste(torch.ones_like(crop), torch.zeros_like(original), matrix, mask)[0] / 255
    return {"mask": weights, "result": paste(crop, original, matrix, mask)[0]}


def prepared(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    seen = as_input([squeezed(picture(inputs, 300, 300))], torch.device("cpu"))
    return {"prepared": seen, "parsed": whole_levels(inputs["out"])}


CASES = load_golden(MODEL)["cases"]
CROPS = {
    **{name: square_crop for name in CASES if name.startswith("crop.points")},
    **{name: crop_image for name in CASES if name.startswith("crop_image.")},
    "resize_to_limit": resize,
    **dict.fromkeys(("driving_crop", "driving_crop.pixels"), driving_crop),
    **dict.fromkeys(("landmark_203", "landmark_203.pixels"), landmarks_203),
    "landmark_203.whole_image": landmarks_in_whole,
    "mask_template": constants,
    "paste_back": pasted,
    "prepare_and_parse": prepared,
}


@parametrize(CROPS)
def test_crops(name, runner):
    check(MODEL, name, runner)


def test_five_points_are_enlarged_to_an_outline():
    """Where both are known, the squares of an outline and of five points agree: a mean face from the front at 60 cm."""
    # Eyes, nose and corners of the mouth; ears, brows and chin (MediaPipe's canonical face in cm; y down, z near).
    mean = np.array(
        [
            *([-3.15, -2.62, 3.9], [3.15, -2.62, 3.9], [0, 1.13, 7.5], [-2.46, 4.34, 4.3], [2.46, 4.34, 4.3]),
            *([-7.7, -2.4, -2.0], [7.7, -2.4, -2.0], [0, -5.1, 5.0], [0, 9.4, 4.3]),
        ]
    )
    outline = mean[:, :2] / (1 - mean[:, 2:] / 60)
    five = outline[:5]
    centre, side, _ = face_square(five, 2.3, 0.0, -0.125)
    extent = outline.max(axis=0) - outline.min(axis=0)
    assert side == pytest.approx(2.3 * extent.max(), rel=0.01)
    middle = (outline.max(axis=0) + outline.min(axis=0)) / 2
    assert centre == pytest.approx(middle + np.array([0, -0.125 * side]), abs=0.01 * side)


def test_unknown_sets_of_points_are_refused():
    with pytest.raises(FaceError, match="17 landmarks"):
        axis_points(np.zeros((17, 2)))


def test_points_in_one_place_have_no_direction():
    centre, _, angle = square(np.array([[3.0, 4.0], [3.0, 4.0], [5.0, 9.0], [3.0, 4.0], [3.0, 4.0]]), 2.0, 0.0, 0.0)
    assert np.isfinite([*centre, angle]).all()
    assert angle == 0
