"""RetinaFace against the figures of the published code, and as a `FaceDetector`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize, recorded
from layouts import assert_layout
from thg_zoo.errors import MediaError
from thg_zoo.faces.retinaface import (
    Predictions,
    RetinaFace,
    RetinaFaceNetwork,
    anchors,
    decode,
    network_input,
    select,
)
from thg_zoo.nn.fold import fold_batch_norm


def retinaface(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(RetinaFaceNetwork(), "retinaface")
    with recorded(network, c5="body.layer4") as seen:
        boxes, logits, points = network(inputs["image"])
    return {"c5": seen["c5"], "loc": boxes, "conf": logits.softmax(dim=-1), "landm": points}


def retinaface_post(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    size = 64, 96
    # Logits whose softmax gives the drawn scores.
    score = inputs["score"].double()
    logits = torch.stack((torch.zeros_like(score), torch.log(score / (1 - score).clamp(min=1e-30))), dim=-1)
    predictions = Predictions(inputs["loc"][None], logits[None], inputs["landm"][None])
    boxes, scores, points = (values[0].numpy() for values in decode(predictions, size))
    kept = select(boxes, inputs["score"].numpy())
    grid = anchors(size)[:, [0, 1, 2, 2]] / torch.tensor([size[1], size[0]] * 2)
    np.testing.assert_allclose(scores, inputs["score"], atol=1e-6)
    rows = boxes[kept], inputs["score"].numpy()[kept, None], points[kept].reshape(-1, 10)
    return {"priors": grid, "boxes_all": boxes, "kept": np.concatenate(rows, axis=1)}


@parametrize({"retinaface": retinaface, "retinaface_post": retinaface_post})
def test_retinaface_matches_published_code(name, runner):
    check("sadtalker", name, runner)


def test_every_published_entry_is_read():
    assert_layout("sadtalker", "detection_Resnet50_Final.pth", "retinaface", RetinaFaceNetwork)


@cache
def seeded_network() -> RetinaFaceNetwork:
    """Finds dozens of faces in noise: enough to see order, suppression and borders."""
    return Case("sadtalker", "retinaface").fill(RetinaFaceNetwork(), "retinaface")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, 72, 100, 3), dtype=np.uint8)


def test_folding_the_norms_changes_nothing(pictures):
    network = Case("sadtalker", "retinaface").fill(RetinaFaceNetwork(), "retinaface")
    inputs = network_input(torch.from_numpy(pictures))
    with torch.inference_mode():
        before = network(inputs)
        # 53 of the backbone, 5 of the pyramid, 5 of each context module.
        assert fold_batch_norm(network) == 53 + 5 + 15
        for folded, plain in zip(network(inputs), before, strict=True):
            torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-4)


def test_faces_lie_inside_the_picture_and_come_by_score(pictures):
    found = RetinaFace(seeded_network()).detect(pictures)
    assert any(len(faces) > 1 for faces in found)
    for faces in found:
        scores = [face.score for face in faces]
        assert scores == sorted(scores, reverse=True)
        for face in faces:
            assert face.score > 0.97
            assert 0 <= face.box[0] < face.box[2] <= 100
            assert 0 <= face.box[1] < face.box[3] <= 72
            assert face.points is not None
            assert face.points.shape == (5, 2)


def test_a_picture_does_not_depend_on_its_neighbours(pictures):
    detector = RetinaFace(seeded_network(), batch_pixels=1)
    mixed = [pictures[0], pictures[1, :64, :80], pictures[1]]
    together = RetinaFace(seeded_network()).detect(pictures)
    alone = detector.detect(mixed)
    for expected, faces in zip(together, (alone[0], alone[2]), strict=True):
        assert len(faces) == len(expected)
        for a, b in zip(faces, expected, strict=True):
            np.testing.assert_allclose(a.box, b.box, rtol=1e-3, atol=1e-2)
    assert detector.detect([]) == []


def test_the_order_of_the_colours_is_the_callers_choice(pictures):
    rgb = RetinaFace(seeded_network(), channels="rgb").detect(pictures)
    mirrored = RetinaFace(seeded_network(), channels="bgr").detect(np.ascontiguousarray(pictures[..., ::-1]))
    assert [[f.score for f in faces] for faces in rgb] == [[f.score for f in faces] for faces in mirrored]
    assert [len(faces) for faces in rgb] != [len(f) for f in RetinaFace(seeded_network()).detect(pictures)]


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 4), (0, 10, 3)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(MediaError, match="no picture"):
        RetinaFace(seeded_network()).detect([np.zeros(shape, np.uint8)])
