"""DaGAN's networks against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from golden_cases import Case, Outputs, check, enlarged, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.dagan.depth import DepthDecoder, DepthEncoder
from thg_zoo.adapters.dagan.networks import (
    NUM_KP,
    DepthAttention,
    DepthAwareGenerator,
    SpadeDepthAwareGenerator,
)
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.nn.spade import Spade, SpadeResBlock
from thg_zoo.nn.warp import warp

WIDTHS_18 = (64, 64, 128, 256, 512)
WIDTHS_50 = (64, 256, 512, 1024, 2048)


def depth(layers, widths):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        encoder, decoder = case.fill(DepthEncoder(layers), "depth"), case.fill(DepthDecoder(widths), "depth")
        assert tuple(encoder.widths) == widths
        features = encoder(inputs["image"])
        levels = decoder.levels(features)
        disparities = {f"disp_{i}": decoder.disparity(levels[i], i) for i in range(4)}
        assert torch.equal(decoder(features), disparities["disp_0"])
        return {**{f"feature_{i}": x for i, x in enumerate(features)}, **disparities}

    return run


def detector(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(KeyPointDetector(NUM_KP, channels=4))
    with recorded(network, down="down", features="predictor", kp_logits="kp") as seen:
        points = network(torch.cat([inputs["image"], inputs["depth"]], dim=1))
    return {**seen, "value": points.value, "jacobian": points.jacobian}


def attention(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(DepthAttention(256), prefix="AttnModule.")
    query = network.query(inputs["depth_features"])
    key = F.relu(network.key_conv(inputs["features"])).flatten(2)
    return {
        "attention_row_0": (query[:, :1] @ key).softmax(-1)[:, 0],
        "out": network(query, inputs["features"]),
        "delta": network.attend(query, inputs["features"]),
    }


def _points(inputs: dict[str, Tensor], name: str) -> KeyPoints:
    return KeyPoints(inputs[f"value_{name}"], inputs[f"jac_{name}"] + torch.eye(2))


def _generator(case: Case, inputs: dict[str, Tensor], network, **inner: str) -> Outputs:
    case.fill(network)
    inner = {
        "encoded": "down_blocks.1",
        "depth_encoded": "src_down_blocks.1",
        "attended": "AttnModule",
        "mask": "dense_motion_network.mask",
        **inner,
    }
    kp_source, kp_driving = _points(inputs, "source"), _points(inputs, "driving")
    with recorded(network, **inner) as seen:
        source = network.encode(inputs["source"], inputs["source_depth"])
        prediction = network.render(source, kp_source, kp_driving)
    motion = network.dense_motion_network(source.motion, kp_source, kp_driving)
    return {
        **seen,
        "mask": seen["mask"].softmax(1),
        "warped": warp(source.features, motion.flow) * motion.occlusion,
        "occlusion_map": motion.occlusion,
        "deformed": warp(inputs["source"], motion.flow),
        "prediction": prediction,
    }


def plain_generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _generator(case, inputs, DepthAwareGenerator(), bottleneck="bottleneck")


def spade_generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _generator(
        case,
        inputs,
        SpadeDepthAwareGenerator(),
        compress="decoder.compress",
        middle_0="decoder.G_middle_0",
        middle_2="decoder.G_middle_2",
        up_0="decoder.up_0",
    )


def spade_norm(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    norm = case.fill(Spade(256, 7), prefix="decoder.up_1.norm_0.")
    return {"out": norm(F.instance_norm(inputs["x"]), inputs["seg"])}


def spade_block(name, *widths):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        block = case.fill(SpadeResBlock(*widths, 7), prefix=f"decoder.{name}.")
        return {"out": block(inputs["x"], inputs["seg"])}

    return run


def _animate(case: Case, inputs: dict[str, Tensor], network, size: int, *, adapt: bool) -> Outputs:
    source, driving = enlarged(inputs["source_low"], size), enlarged(inputs["driving_low"], size)
    encoder = folded(case.fill(DepthEncoder(18), "depth"))
    decoder = case.fill(DepthDecoder(WIDTHS_18), "depth")
    detect = folded(case.fill(KeyPointDetector(NUM_KP, channels=4), "kp_detector"))
    generate = folded(case.fill(network, "generator"))
    depths = [decoder(encoder(pictures)) for pictures in (source, driving)]
    kp_source, kp_driving = (detect(torch.cat(p, dim=1)) for p in zip((source, driving), depths, strict=True))
    transfer = RelativeMotion.adapted if adapt else RelativeMotion
    moved = transfer(kp_source, kp_driving[:1])(kp_driving)
    return {
        "source_depth": depths[0],
        "driving_depth": depths[1],
        "kp_norm_value": moved.value,
        "kp_norm_jacobian": moved.jacobian,
        "prediction": generate.render(generate.encode(source, depths[0]), kp_source, moved),
    }


def chain_plain(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _animate(case, inputs, DepthAwareGenerator(), 256, adapt=True)


def chain_spade(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return _animate(case, inputs, SpadeDepthAwareGenerator(), 128, adapt=False)


CASES = {
    "depth18_128": depth(18, WIDTHS_18),
    "depth50_96x128": depth(50, WIDTHS_50),
    "kp_detector_rgbd_256": detector,
    "depth_attention": attention,
    "generator_depth_128": plain_generator,
    "generator_depth_256": plain_generator,
    "spade_norm": spade_norm,
    "spade_block_same": spade_block("G_middle_0", 512, 512),
    "spade_block_shrink": spade_block("up_1", 256, 64),
    "generator_spade_128": spade_generator,
    "chain_depth_relative_adapt": chain_plain,
    "chain_spade_relative_128": chain_spade,
}
SLOW = frozenset({"generator_depth_256", "chain_spade_relative_128"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("dagan", name, runner)


@pytest.mark.parametrize(
    ("file", "part", "network"),
    [
        ("DaGAN_vox_adv_256.pth.tar", "generator", DepthAwareGenerator),
        ("DaGAN_vox_adv_256.pth.tar", "kp_detector", lambda: KeyPointDetector(NUM_KP, channels=4)),
        ("SPADE_DaGAN_vox_adv_256.pth.tar", "generator", SpadeDepthAwareGenerator),
        ("SPADE_DaGAN_vox_adv_256.pth.tar", "kp_detector", lambda: KeyPointDetector(NUM_KP, channels=4)),
        ("depth_face_model/encoder.pth", "encoder", lambda: DepthEncoder(18)),
        ("depth_face_model/depth.pth", "decoder", lambda: DepthDecoder(WIDTHS_18)),
        ("depth_face_model_Voxceleb2_10w/encoder.pth", "encoder", lambda: DepthEncoder(50)),
        ("depth_face_model_Voxceleb2_10w/depth.pth", "decoder", lambda: DepthDecoder(WIDTHS_50)),
    ],
)
def test_state_dict_has_the_published_layout(file, part, network):
    assert_layout("dagan", file, part, network)
