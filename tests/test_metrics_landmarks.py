"""Landmarks of metrics: found by FAN in the detector's boxes, with weights resolved as those of models; and what they
say of faces that are moved, opened and closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from numpy.typing import NDArray

from golden_cases import Case
from thg_zoo.errors import WeightsError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.fan import Fan, FanNetwork, to_68
from thg_zoo.inputs import Clip
from thg_zoo.metrics.evaluate import evaluate
from thg_zoo.metrics.fan_landmarks import FanLandmarks, landmark_file, load_fan_landmarks
from thg_zoo.metrics.landmarks import Landmarks68
from thg_zoo.metrics.meter import Batch, Skip

NAMES = ("akd", "lmd", "m_lmd", "ear", "blink_rate")
CPU = torch.device("cpu")


def schematic(eye: float = 0.3, mouth: float = 4.0, at: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float32]:
    """68 points of a schematic face 100 wide: eyes 16 wide and `eye` times that high, lips `mouth` apart."""
    jaw = [(x, 60 + 40 * np.sin(np.pi * x / 100)) for x in np.linspace(0, 100, 17)]
    brows = [(x, 30 - (k % 5)) for k, x in enumerate((*np.linspace(14, 40, 5), *np.linspace(60, 86, 5)))]
    nose = [(50, y) for y in (42, 50, 58, 64)] + [(x, 68) for x in (42, 46, 50, 54, 58)]
    eyes = []
    for x in (20, 64):
        h = 8 * eye
        eyes += [(x, 42), (x + 5, 42 - h), (x + 11, 42 - h), (x + 16, 42), (x + 11, 42 + h), (x + 5, 42 + h)]
    outer = [(50 - 16 * np.cos(t), 82 - (mouth / 2 + 4) * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 12, False)]
    inner = [(50 - 12 * np.cos(t), 82 - mouth / 2 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 8, False)]
    points = np.array([*jaw, *brows, *nose, *eyes, *outer, *inner])
    assert points.shape == (68, 2)
    return (points + at).astype(np.float32)


def scores(
    points: Sequence[NDArray[np.float32] | None], reference: Sequence[NDArray[np.float32] | None] = ()
) -> dict[str, float]:
    """Of a video of frames 128 high with these landmarks, at 25 per second; frame k carries its number."""
    videos = {0: points, 1: reference}

    def find(frames: NDArray[np.uint8], faces: object) -> list[NDArray[np.float32] | None]:
        return [videos[int(f[0, 0, 1])][int(f[0, 0, 0])] for f in frames]

    def frames(which: int) -> NDArray[np.uint8]:
        made = np.zeros((len(videos[which]), 128, 128, 3), np.uint8)
        made[..., 0] = np.arange(len(made))[:, None, None]
        made[..., 1] = which
        return made

    meter = Landmarks68(find, Fraction(25), bool(reference))
    none: list[Face | None] = [None] * max(len(points), len(reference))
    meter.update(Batch(frames(0), none, frames(1), none))
    return meter.result()


def test_a_face_that_moves_is_off_but_not_distorted() -> None:
    still, moved = [schematic()] * 3, [schematic(at=(3.0, -4.0))] * 3
    found = scores(moved, still)
    assert found["akd"] == pytest.approx(5 * 256 / 128, rel=1e-5), "every point is off by 5 pixels of 128"
    assert found["lmd"] == pytest.approx(0, abs=1e-3)
    assert found["m_lmd"] == pytest.approx(0, abs=1e-3)
    assert found["ear"] == pytest.approx(0.3, rel=1e-4)


def test_landmark_distances_by_hand_and_with_the_opening() -> None:
    """Independent: straight from the definitions, on arrays of all points."""
    reference = [schematic(mouth=m) for m in (2.0, 4.0, 6.0)]
    found = []
    for extra in (0.0, 4.0, 12.0):
        video = [schematic(mouth=m + extra, at=(1.0, 0.0)) for m in (2.0, 4.0, 6.0)]
        found.append(scores(video, reference))
        a, b = np.stack(video).astype(float), np.stack(reference).astype(float)
        eyes = np.linalg.norm(b[:, 42:48].mean(1) - b[:, 36:42].mean(1), axis=1)
        offsets = (a - a.mean(1, keepdims=True)) - (b - b.mean(1, keepdims=True))
        lips = (a[:, 48:] - a[:, 48:].mean(1, keepdims=True)) - (b[:, 48:] - b[:, 48:].mean(1, keepdims=True))
        assert found[-1]["akd"] == pytest.approx(np.linalg.norm(a - b, axis=2).mean() * 2, rel=1e-5)
        assert found[-1]["lmd"] == pytest.approx(
            (np.linalg.norm(offsets, axis=2).mean(1) / eyes).mean() * 100, abs=1e-3
        )
        assert found[-1]["m_lmd"] == pytest.approx((np.linalg.norm(lips, axis=2).mean(1) / eyes).mean() * 100, abs=1e-3)
    for name in ("akd", "lmd", "m_lmd"):
        assert found[0][name] < found[1][name] < found[2][name], name


def test_blinks_lower_the_ratio_and_are_counted() -> None:
    openness = np.full(75, 0.3)
    openness[20:24] = openness[60:63] = 0.08
    found = scores([schematic(float(v)) for v in openness])
    assert found["ear"] == pytest.approx(openness.mean(), rel=1e-4)
    assert found["blink_rate"] == pytest.approx(2 / (75 / 25 / 60))
    openness[40:43] = 0.08
    more = scores([schematic(float(v)) for v in openness])
    assert more["ear"] < found["ear"]
    assert more["blink_rate"] > found["blink_rate"]
    assert scores([schematic(0.3), None, schematic(0.2)])["ear"] == pytest.approx(0.25, rel=1e-4), "a face is missing"
    with pytest.raises(Skip, match="no landmarks"):
        scores([None, None])


def test_points_are_fans_in_the_detectors_boxes(face: NDArray[np.uint8]) -> None:
    network = Case("sadtalker", "fan").fill(FanNetwork(), "fan")
    box = np.array([70.2, 30.9, 160.7, 150.1], np.float32)
    shown = Face(box, None, 1.0)
    thin = Face(np.array([10, 10, 10.4, 40], np.float32), None, 1.0)
    frames = np.stack([face, face, face[:, ::-1], face])
    found = FanLandmarks(Fan(network))(frames, [None, shown, shown, thin])
    assert found[0] is None
    assert found[3] is None, "a box without a pixel"
    crop = [np.ascontiguousarray(frames[k, 30:150, 70:160]) for k in (1, 2)]
    small = np.stack([cv2.resize(c, (256, 256), interpolation=cv2.INTER_LINEAR) for c in crop])
    inputs = torch.from_numpy(small[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        maps = network(inputs)[-1][:, :98].flatten(2)
    # A quarter of a cell is the most by which points differ from the largest value's cell, next to the half.
    best = torch.stack([maps.argmax(2) % 64, maps.argmax(2) // 64], dim=2).numpy() + 0.5
    rough = to_68((best * np.array([90, 120]) / 64 + np.array([70, 30])).astype(np.float32))
    for k in (0, 1):
        assert np.abs(found[k + 1] - rough[k]).max() <= 0.25 * 120 / 64 + 1e-3
    assert not np.array_equal(found[1], found[2])


def test_weights_are_those_of_the_card_and_fetched_only_when_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "cache"))
    file = landmark_file()
    assert file.name == "alignment_WFLW_4HG.pth"
    assert file.sha256
    with pytest.raises(Skip, match="asked for by name"):
        load_fan_landmarks(None, CPU, fetch=False)
    syncnets = tmp_path / "syncnet_v2.model"
    syncnets.write_bytes(b"another file")
    with pytest.raises(Skip, match="asked for by name"):
        load_fan_landmarks(syncnets, CPU, fetch=False)
    with pytest.raises(WeightsError, match="alignment_WFLW"):
        load_fan_landmarks(tmp_path, CPU, fetch=False)
    network = FanNetwork()
    torch.save({"state_dict": network.state_dict()}, tmp_path / file.name)
    finder = load_fan_landmarks(tmp_path, CPU, fetch=False)
    frame = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    box = np.array([4, 4, 60, 60], np.float32)
    expected = to_68(Fan(network.eval()).points(frame, box[None]))[0]
    (points,) = finder(frame, [Face(box, None, 1.0)])
    np.testing.assert_allclose(points, expected, atol=1e-3)


def test_a_video_is_measured_with_seeded_weights(face: NDArray[np.uint8]) -> None:
    """Values mean nothing, but they are there, and those of a video against itself are zero."""
    clip = Clip(np.stack([face, face]), Fraction(25))
    found = evaluate(clip, reference=clip, names=NAMES, weights="random", device="cpu")
    assert not found.skipped
    assert found.faces == 2
    assert found.scores["akd"] == found.scores["lmd"] == found.scores["m_lmd"] == 0
    assert found.scores["ear"] > 0
    none = Clip(np.full((2, 64, 64, 3), 90, np.uint8), Fraction(25))
    assert set(evaluate(none, names=["ear"], weights="random", device="cpu").skipped) == {"ear"}


def test_a_finder_of_ones_own_takes_its_place(face: NDArray[np.uint8]) -> None:
    clip = Clip(np.stack([face] * 3), Fraction(25))
    found = evaluate(clip, names=["ear"], landmarks=lambda frames: [schematic(0.25)] * len(frames), device="cpu")
    assert found.scores["ear"] == pytest.approx(0.25, rel=1e-4)
