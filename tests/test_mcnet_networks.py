"""MCNet's networks against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from golden_cases import Case, Outputs, check, enlarged, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.mcnet.memory import DynamicConv, MemoryUnit, StyleConv, recall
from thg_zoo.adapters.mcnet.networks import NUM_KP, Generator
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.nn.warp import warp


def detector(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(KeyPointDetector(NUM_KP))
    with recorded(network, features="predictor", kp_logits="kp") as seen:
        points = network(inputs["image"])
    return {**seen, "value": points.value, "jacobian": points.jacobian}


def memory(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    unit = case.fill(MemoryUnit(NUM_KP), prefix="mbUnit.")
    with recorded(unit, memory="styleconv") as seen:
        out = unit(inputs["feature"], inputs["keypoints"], inputs["noise"])
    odd = inputs["feature"][:, 1::2]
    rows = odd.flatten(2).mT
    projected, query, _ = (F.linear(rows, *layer).mT.unflatten(2, odd.shape[2:]) for layer in unit.of_odd(odd.shape[1]))
    query = F.relu(query)
    key, value = unit.key_value(projected.mean((2, 3), keepdim=True), seen["memory"])
    recalled = [recall(*rows) for rows in zip(query.flatten(2).mT, key, value.mT, strict=True)]
    return {
        "projected": projected,
        "memory": seen["memory"],
        "key": key.mT.reshape_as(seen["memory"]),
        "value": value.mT.reshape_as(seen["memory"]),
        "query": query,
        "residual": torch.stack(recalled).mT.reshape_as(query),
        "out": out,
    }


def dynamic_conv(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    conv = case.fill(DynamicConv(512, 1024), prefix="mbUnit.conv_kv.")
    return {"attention": conv.attention(inputs["x"]), "out": conv(inputs["x"], inputs["y"])}


def style_conv(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    conv = case.fill(StyleConv(512), prefix="mbUnit.styleconv.")
    return {"out": conv(inputs["x"], inputs["style"], inputs["noise"])}


def generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(Generator())
    kp_source, kp_driving = (
        KeyPoints(inputs[f"value_{name}"], inputs[f"jac_{name}"] + torch.eye(2)) for name in ("source", "driving")
    )
    inner = {
        "encoded": "down_blocks.2",
        "up_0": "up_blocks.0",
        "up_1": "up_blocks.1",
        "up_2": "up_blocks.2",
        "final_logits": "final",
        "mask": "dense_motion_network.mask",
        "Fwarp": "<mbUnit",
        "visual_memory_32": "mbUnit.styleconv",
        "visual_after": "mbUnit",
    }
    with recorded(network, **inner) as seen:
        source = network.encode(inputs["source"])
        prediction = network.render(source, kp_source, kp_driving)
    motion = network.dense_motion_network(source.motion, kp_source, kp_driving)
    after = {
        f"visual_after_{size}": seen.pop(name)
        for size, name in ((32, "visual_after"), (64, "visual_after_call1"), (128, "visual_after_call2"))
    }
    kept = {name: tensor for name, tensor in seen.items() if "_call" not in name}
    return {
        **kept,
        **after,
        "mask": seen["mask"].softmax(1),
        "occlusion_map": motion.occlusion,
        "deformation": motion.flow,
        "deformed": warp(inputs["source"], motion.flow, align_corners=True),
        "prediction": prediction,
    }


def chain(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, driving = enlarged(inputs["source_low"], 256), enlarged(inputs["driving_low"], 256)
    detect, generate = folded(case.fill(KeyPointDetector(NUM_KP))), folded(case.fill(Generator()))
    kp_source, kp_driving = detect(source), detect(driving)
    moved = RelativeMotion.adapted(kp_source, kp_driving[:1])(kp_driving)
    prediction = generate.render(generate.encode(source), kp_source, moved)
    return {"kp_norm_value": moved.value, "kp_norm_jacobian": moved.jacobian, "prediction": prediction}


CASES = {
    "kp_detector_256": detector,
    "memory_32": memory,
    "memory_64_b2": memory,
    "dynamic_conv": dynamic_conv,
    "style_conv": style_conv,
    "generator_256": generator,
    "chain_relative_adapt": chain,
}
SLOW = frozenset({"chain_relative_adapt"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("mcnet", name, runner)


@pytest.mark.parametrize(
    ("part", "network"), [("kp_detector", lambda: KeyPointDetector(NUM_KP)), ("generator", Generator)]
)
def test_state_dict_has_the_published_layout(part, network):
    assert_layout("mcnet", "00000099-checkpoint.pth.tar", part, network)


@torch.inference_mode()
def test_mixed_kernels_in_lower_precision() -> None:
    torch.manual_seed(0)
    conv = DynamicConv(16, 8).eval()
    x, y = torch.randn(2, 16, 6, 6), torch.randn(2, 16, 6, 6)
    expected = conv(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x, y)
    assert (found - expected).std() < 0.01 * expected.std()
