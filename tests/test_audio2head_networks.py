"""Audio2Head's networks against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from golden_cases import Case, Outputs, check, dense_motion_maps, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.audio2head.point_network import NUM_KP, PointNet
from thg_zoo.adapters.audio2head.pose import draw_poses, to_units
from thg_zoo.adapters.audio2head.pose_network import PoseNet
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.dense_motion import DenseMotion2d
from thg_zoo.nn.image_generator import ImageGenerator
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.nn.warp import warp

FILE = "audio2head.pth.tar"
# Inner maps that the golden cases of both key-point networks name alike.
_PREDICTOR = {
    "encoder_block_0": "predictor.encoder.down_blocks.0",
    "encoder_block_4": "predictor.encoder.down_blocks.4",
    "feature_map": "predictor",
}


def _near_identity(network: nn.Module) -> nn.Module:
    """Jacobians that can be inverted, as the case's weights are made: 1 is added to their diagonals."""
    with torch.no_grad():
        network.get_parameter("jacobian.bias").view(-1, 4)[:, [0, 3]] += 1
    return network


def detector_of(case: Case) -> KeyPointDetector:
    network = _near_identity(case.fill(KeyPointDetector(NUM_KP), "kp_detector"))
    assert isinstance(network, KeyPointDetector)
    return network


def point_net_of(case: Case) -> PointNet:
    network = case.fill(PointNet(), "audio2kp")
    with torch.no_grad():
        network.get_parameter("kp.weight").mul_(0.3)
        network.get_parameter("jacobian.weight").mul_(0.05)
    _near_identity(network)
    assert isinstance(network, PointNet)
    return network


def detector(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = detector_of(case)
    with recorded(network, **_PREDICTOR, heatmap_logits="kp", downsampled="down") as seen:
        points = network(inputs["image"])
    return {**seen, "value": points.value, "jacobian": points.jacobian}


def pose_net(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(PoseNet(), "audio2pose")
    first, second = inputs["audio"][0, :4], inputs["audio"][0, 4:]
    with recorded(network, image_embedding="em_img", audio="em_audio") as seen:
        poses = torch.cat(list(network(inputs["image"], [first, second])))
    return {
        "image_embedding": seen["image_embedding"],
        "audio_embedding": torch.cat([seen["audio"], seen["audio_call1"]]),
        "pose_from_image": poses[:1],
        "pose_from_audio": poses[None, 1:],
        "denormalised": to_units(poses),
    }


def boxes(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"boxes": draw_poses(to_units(inputs["pose"]).numpy())}


def point_net(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = point_net_of(case)
    inner = {
        "audio_embedding": "embedding",
        "pose_downsampled": "down_pose",
        "image_downsampled": "down_id",
        "up_block_0": "predictor.decoder.up_blocks.0",
        "logits": "kp",
    }
    with recorded(network, **_PREDICTOR, **inner) as seen:
        points = network(*_window(inputs))
    logits = seen.pop("logits")[0].transpose(0, 1)
    return {**seen, "heatmap_logits": logits, "value": points.value[None], "jacobian": points.jacobian[None]}


def _window(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    drawn = torch.from_numpy(draw_poses(to_units(inputs["pose"]).numpy()))
    return inputs["image"], inputs["audio"], drawn


def _points(inputs: dict[str, Tensor], name: str) -> KeyPoints:
    return KeyPoints(inputs[f"value_{name}"], inputs[f"jacobian_{name}"] + torch.eye(2))


def dense_motion(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(ImageGenerator().dense_motion_network, "generator", prefix="dense_motion_network.")
    assert isinstance(network, DenseMotion2d)
    maps = dense_motion_maps(network, inputs["image"], _points(inputs, "source"), _points(inputs, "driving"))
    here = {"heatmap": "heatmaps", "occlusion_map": "occlusion"}
    return {here.get(name, name): value for name, value in maps.items()}


def generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(ImageGenerator(), "generator")
    kp_source, kp_driving = _points(inputs, "source"), _points(inputs, "driving")
    inner = {"first": "first", "down_1": "down_blocks.1", "bottleneck": "bottleneck", "up_1": "up_blocks.1"}
    with recorded(network, **inner) as seen:
        source = network.encode(inputs["image"])
        prediction = network.render(source, kp_source, kp_driving)
    motion = network.dense_motion_network(source.motion, kp_source, kp_driving)
    return {**seen, "deformed_source": warp(inputs["image"], motion.flow), "prediction": prediction}


CASES = {
    "kp_detector": detector,
    "audio2pose": pose_net,
    "pose_boxes": boxes,
    "audio2kp": point_net,
    "dense_motion": dense_motion,
    "generator": generator,
}
SLOW = frozenset({"audio2kp", "generator"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("audio2head", name, runner)


@pytest.mark.slow
@torch.inference_mode()
def test_frames_that_are_used_are_those_of_the_whole_window():
    case = Case("audio2head", "audio2kp")
    window = _window(case.inputs())
    expected = point_net_of(case)(*window)
    fast = folded(point_net_of(case))
    for used in (range(48), range(16, 48), range(16, 17)):
        frames = slice(used.start, used.stop)
        found = fast(*window, used)
        torch.testing.assert_close(found.value, expected.value[frames], atol=2e-5, rtol=0)
        torch.testing.assert_close(found.jacobian, expected.jacobian[frames], atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("part", "network"),
    [
        ("kp_detector", lambda: KeyPointDetector(NUM_KP)),
        ("generator", ImageGenerator),
        ("audio2kp", PointNet),
        ("audio2pose", PoseNet),
    ],
)
def test_state_dict_has_the_published_layout(part, network):
    assert_layout("audio2head", FILE, part, network)
