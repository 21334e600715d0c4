"""FOMM's networks against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, dense_motion_maps, enlarged, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.fomm.adapter import NUM_KP
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.nn.image_generator import ImageGenerator
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.nn.warp import warp

FILE = "vox-cpk.pth.tar"


def detector(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(KeyPointDetector(NUM_KP))
    with recorded(network, down="down", features="predictor", kp_logits="kp", jacobian_map="jacobian") as seen:
        points = network(inputs["image"])
    return {**seen, "value": points.value, "jacobian": points.jacobian}


def _points(inputs: dict[str, Tensor], name: str) -> KeyPoints:
    jacobian = inputs.get(f"jac_{name}")
    return KeyPoints(inputs[f"value_{name}"], None if jacobian is None else jacobian + torch.eye(2))


def dense_motion(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(ImageGenerator()).dense_motion_network
    maps = dense_motion_maps(network, inputs["source"], _points(inputs, "source"), _points(inputs, "driving"))
    return {name: value for name, value in maps.items() if name != "hourglass"}


def generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(ImageGenerator())
    inner = {
        "encoded": "down_blocks.1",
        "warped": "<bottleneck",
        "bottleneck": "bottleneck",
        "final_logits": "final",
        "mask": "dense_motion_network.mask",
        "occlusion_map": "dense_motion_network.occlusion",
    }
    kp_source, kp_driving = _points(inputs, "source"), _points(inputs, "driving")
    with recorded(network, **inner) as seen:
        source = network.encode(inputs["source"])
        prediction = network.render(source, kp_source, kp_driving)
    motion = network.dense_motion_network(source.motion, kp_source, kp_driving)
    return {
        **seen,
        "mask": seen["mask"].softmax(1),
        "occlusion_map": seen["occlusion_map"].sigmoid(),
        "deformed": warp(inputs["source"], motion.flow),
        "prediction": prediction,
    }


def _animate(case: Case, source: Tensor, driving: Tensor, *, relative: bool) -> Outputs:
    detect = folded(case.fill(KeyPointDetector(NUM_KP)))
    generate = folded(case.fill(ImageGenerator()))
    kp_source, kp_driving = detect(source), detect(driving)
    moved = RelativeMotion.adapted(kp_source, kp_driving[:1])(kp_driving) if relative else kp_driving
    prediction = generate.render(generate.encode(source), kp_source, moved)
    return {"kp_norm_value": moved.value, "kp_norm_jacobian": moved.jacobian, "prediction": prediction}


def chain_relative(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _animate(case, enlarged(inputs["source_low"], 256), enlarged(inputs["driving_low"], 256), relative=True)


def chain_absolute(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _animate(case, enlarged(inputs["source_low"], 256), enlarged(inputs["driving_low"], 256), relative=False)


CASES = {
    "kp_detector_256": detector,
    "kp_detector_b2_128x256": detector,
    "dense_motion_256": dense_motion,
    "dense_motion_nojac_128": dense_motion,
    "generator_256": generator,
    "generator_b2_128": generator,
    "chain_relative_adapt": chain_relative,
    "chain_absolute_l": chain_absolute,
}
SLOW = frozenset({"generator_256", "chain_absolute_l"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("fomm", name, runner)


@pytest.mark.parametrize(
    ("part", "network"), [("kp_detector", lambda: KeyPointDetector(NUM_KP)), ("generator", ImageGenerator)]
)
def test_state_dict_has_the_published_layout(part, network):
    assert_layout("fomm", FILE, part, network)


@torch.inference_mode()
def test_batches_of_frames_and_of_sources_equal_single_frames():
    torch.manual_seed(0)
    network = folded(ImageGenerator().eval())
    pictures = torch.rand(2, 3, 128, 128)
    kp_sources, kp_driving = (
        KeyPoints(torch.rand(2, NUM_KP, 2) - 0.5, torch.eye(2) + 0.1 * torch.randn(2, NUM_KP, 2, 2)) for _ in "ab"
    )
    sources = network.encode(pictures)
    shared = network.encode(pictures[:1])
    single = [
        network.render(network.encode(pictures[i : i + 1]), kp_sources[i : i + 1], kp_driving[i : i + 1])
        for i in range(2)
    ]
    torch.testing.assert_close(network.render(sources, kp_sources, kp_driving), torch.cat(single), atol=2e-5, rtol=0)
    both = network.render(shared, kp_sources[:1], kp_driving)
    torch.testing.assert_close(both[:1], single[0], atol=2e-5, rtol=0)
    second = network.render(shared, kp_sources[:1], kp_driving[1:])
    torch.testing.assert_close(both[1:], second, atol=2e-5, rtol=0)
