"""The S3FD detector against the figures of the published code."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import thg_zoo.faces.s3fd as s3fd
from golden_cases import Case, Outputs, check, parametrize, recorded
from thg_zoo.faces.s3fd import Positions, S3fd, S3fdNetwork, best_position, decode, network_input, suppress_inclusive


def detector_net(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(S3fdNetwork())
    with recorded(network, norm3="conv3_3_norm", norm4="conv4_3_norm", norm5="conv5_3_norm", fc7="fc7") as seen:
        maps = network(inputs["image"])
    named = {f"{kind}_{i}": m for i, level in enumerate(maps, 1) for kind, m in zip(("cls", "reg"), level, strict=True)}
    return {**seen, "fc7": seen["fc7"].relu(), **named}


def candidates(maps: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The published program's list: whatever scores above 0.05 in one picture is looked at in all of them."""
    rows = []
    for i in range(len(maps)):
        without = [(torch.full_like(c, 0.0), r) for c, r in maps]
        boxes, scores, _ = decode([*without[:i], maps[i], *without[i + 1 :]])
        size = [c[0, 0].numel() for c, _ in maps]
        level = slice(sum(size[:i]), sum(size[: i + 1]))
        boxes, scores = boxes[:, level], scores[:, level]
        for picture in scores:
            likely = picture > 0.05
            rows.append(torch.cat([boxes[:, likely], scores[:, likely, None]], dim=2).transpose(0, 1))
    return torch.cat(rows)


def integer(box: np.ndarray) -> np.ndarray:
    return np.maximum(box, 0).astype(np.int64)


def kept(boxes: Tensor, scores: Tensor) -> np.ndarray:
    """Boxes above one half that suppression leaves, with their scores, by falling score."""
    likely = scores > 0.5
    b, s = boxes[likely].numpy(), scores[likely].numpy()
    rows = suppress_inclusive(b, s)
    return np.concatenate([b[rows], s[rows, None]], axis=1)


def detector_decode(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    maps = [(inputs[f"cls_{i}"], inputs[f"reg_{i}"]) for i in range(1, 7)]
    positions = decode(maps)
    outputs = {"candidates": candidates(maps)}
    for i, best in enumerate(best_position(positions).tolist()):
        outputs[f"kept_{i}"] = kept(positions.boxes[i], positions.scores[i])
        outputs[f"box_{i}"] = integer(positions.boxes[i, best].numpy())
    return outputs


@cache
def seeded_network() -> S3fdNetwork:
    """The weights of the golden case detector_frames and of the chains."""
    return Case("wav2lip", "detector_frames").fill(S3fdNetwork()).to(memory_format=torch.channels_last)


def detector_frames(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = seeded_network()
    frames = enlarged_frames(inputs["frames"])
    boxes = [integer(box) for box in S3fd(network).best(frames)]
    return {"candidates": candidates(network(network_input(torch.from_numpy(frames)))), "boxes": np.stack(boxes)}


def enlarged_frames(drawn: Tensor) -> np.ndarray:
    """uint8 RGB from drawn BGR, every value a block of 16 x 16."""
    small = drawn.numpy().astype(np.uint8)[..., ::-1]
    return np.ascontiguousarray(small.repeat(16, axis=1).repeat(16, axis=2))


def detector_nms(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    xy, wh, score = (inputs[name].numpy() for name in ("xy", "wh", "score"))
    return {"kept": suppress_inclusive(np.concatenate([xy, xy + wh], axis=1), score)}


CASES = {
    "detector_net": detector_net,
    "detector_net_odd": detector_net,
    "detector_decode": detector_decode,
    "detector_frames": detector_frames,
    "detector_nms": detector_nms,
}


@parametrize(CASES)
def test_detector_matches_published_code(name, runner):
    check("wav2lip", name, runner)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return enlarged_frames(Case("wav2lip", "detector_frames").inputs()["frames"])


@torch.inference_mode()
@pytest.mark.parametrize("size", [(97, 75), (128, 160)])
def test_strips_compute_the_same_as_the_whole(monkeypatch, size):
    network = seeded_network()
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 255 - 120
    whole = network(picture)
    monkeypatch.setattr(s3fd, "_STRIP_BYTES", 0)
    convolved = []
    hook = network.conv1_1.register_forward_hook(lambda _, inputs, __: convolved.append(inputs[0].shape[2]))
    strips = network(picture)
    hook.remove()
    assert len(convolved) == -(-(size[0] // 2) // 8)
    assert max(convolved) == 20
    for level, expected in zip(strips, whole, strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-5, atol=1e-6)


def test_the_first_of_all_faces_is_the_best(pictures):
    detector = S3fd(seeded_network())
    height, width = pictures.shape[1:3]
    for faces, best in zip(detector.detect(pictures), detector.best(pictures), strict=True):
        assert len(faces) > 1
        scores = [face.score for face in faces]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0.5
        np.testing.assert_array_equal(faces[0].box, np.clip(best, 0, [width, height, width, height]))
        for face in faces:
            assert face.points is None
            assert 0 <= face.box[0] < face.box[2] <= width
            assert 0 <= face.box[1] < face.box[3] <= height


def test_pictures_of_other_sizes_do_not_change_the_result(pictures):
    network = seeded_network()
    detector = S3fd(network, batch_pixels=1)
    mixed = [pictures[0], pictures[1, :100, :90], pictures[1]]
    found = detector.best(mixed)
    np.testing.assert_allclose(found[0], detector.best(pictures[:1])[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], S3fd(network).best(pictures[:2])[1], rtol=1e-4)
    assert detector.detect([]) == detector.best([]) == []


def test_small_pictures_are_seen_as_if_they_went_on(pictures):
    network = seeded_network()
    for height, width in ((16, 40), (33, 20), (20, 16)):
        small = pictures[0][:height, :width]
        means = np.full((max(32, height), max(32, width), 3), (104, 117, 123), np.uint8)
        means[:height, :width] = small
        for found, expected in zip(S3fd(network).best([small]), S3fd(network).best([means]), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_of_saturated_scores_the_widest_margin_wins():
    boxes = torch.arange(12.0).view(1, 3, 4)
    positions = Positions(boxes, torch.tensor([[0.2, 1.0, 1.0]]), torch.tensor([[90.0, 20.0, 30.0]]))
    assert best_position(positions).tolist() == [2]


def test_nothing_below_one_half_is_a_face(pictures):
    quiet = copy.deepcopy(seeded_network())
    for name, parameter in quiet.named_parameters():
        if "mbox_conf" in name:
            parameter.data.zero_()
    assert S3fd(quiet).best(pictures[:1]) == [None]
    assert S3fd(quiet).detect(pictures[:1]) == [[]]
