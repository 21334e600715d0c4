"""LivePortrait's networks against the figures of the published code, and the forms in which they are published."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from golden_cases import Case, Outputs, check, folded, parametrize, recorded
from layouts import assert_layout
from liveportrait_files import FILES, write_files
from parity import NETWORK_TOLERANCE, difference
from thg_zoo.adapters.liveportrait.motion_extractor import NUM_KP, MotionExtractor
from thg_zoo.adapters.liveportrait.networks import LivePortraitNetworks, build
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons, build_perceptrons
from thg_zoo.adapters.liveportrait.pose import FaceMotion
from thg_zoo.nn.grid import coordinate_grid
from thg_zoo.nn.spade import SpadeDecoder
from thg_zoo.nn.volume_generator import VolumeEncoder, VolumeWarping
from thg_zoo.runtime import Runtime
from thg_zoo.spec import bundled
from thg_zoo.weights import empty_networks, fill_networks


def appearance(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(VolumeEncoder(kernel=3))
    names = ("first", "down_blocks.0", "down_blocks.1", "second", "resblocks_3d.3dr0")
    with recorded(network, **{name: name for name in names}) as seen:
        volume = network.encode_volume(inputs["image"])
    return {**seen, "feature_3d": volume}


def motion(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(MotionExtractor())
    stages = ["downsample_layers.0", *(f"stages.{i}" for i in range(4)), "norm", "stages.0.0", "stages.0.0.grn"]
    heads = {name: f"detector.fc_{name}" for name in ("pitch", "yaw", "roll", "exp", "kp", "scale", "t")}
    with recorded(network, **{f"detector.{name}": f"detector.{name}" for name in stages}, **heads) as seen:
        found = network(inputs["image"])
    degrees = torch.stack([found[name] for name in ("pitch", "yaw", "roll")], dim=1)
    scale_and_t = torch.cat([seen.pop("scale"), seen.pop("t")], dim=1)
    pose = FaceMotion.of(found)
    return {
        **seen,
        "scale_and_t": scale_and_t,
        "degrees_pitch_yaw_roll": degrees,
        "R": pose.R,
        "x_s": pose.flat().keypoints(found["kp"]),
    }


def warping(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(VolumeWarping(NUM_KP))
    dense = "dense_motion_network"
    levels = [f"{dense}.hourglass.{half}_blocks.{i}" for half in ("encoder.down", "decoder.up") for i in range(5)]
    names = [f"{dense}.hourglass", f"{dense}.mask", f"{dense}.occlusion", "third", "fourth", *levels]
    kp_source, kp_driving = inputs["kp_source"], inputs["kp_driving"]
    with recorded(network, **{name: name for name in names}, joined=f"<{dense}.hourglass") as seen:
        source = network.prepare(inputs["feature_3d"])
        out = network.warp(source, kp_source, kp_driving)
    found = network.dense_motion_network(source.motion, kp_source, kp_driving)
    joined = seen.pop("joined").unflatten(1, (NUM_KP + 1, 5))
    shift = torch.cat([torch.zeros(1, 1, 3), kp_source - kp_driving], dim=1)
    return {
        **seen,
        "compressed": source.motion.appearance,
        "sparse_motion": coordinate_grid(source.volume.shape[2:], out) + shift[:, :, None, None, None],
        "deformed_feature": joined[:, :, 1:],
        "heatmap": joined[:, :, :1],
        "mask": seen[f"{dense}.mask"].softmax(1),
        "deformation": found.flow,
        "occlusion_map": found.occlusion,
        "out": out,
    }


def decoder(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(SpadeDecoder(shuffle=2))
    names = ("fc", "G_middle_0.norm_0", "G_middle_0", "G_middle_5", "up_0", "up_1", "conv_img")
    with recorded(network, **{name: name for name in names}) as seen:
        out = network(inputs["feature"], inputs["feature"])
    return {**seen, "out": out}


def perceptron(part: str):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        return {"out": case.fill(build_perceptrons()[part])(inputs["x"])}

    return run


def retargeting(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    networks = Perceptrons({name: case.fill(network) for name, network in build_perceptrons().items()})
    return {
        "stitched": networks.stitch(inputs["x_s"], inputs["x_d"]),
        "eye_delta": networks.eye_delta(inputs["x_s"], inputs["eye_ratios"]),
        "lip_delta": networks.lip_delta(inputs["x_s"], inputs["lip_ratios"]),
    }


def frame(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    warp, decode = folded(case.fill(VolumeWarping(NUM_KP))), folded(case.fill(SpadeDecoder(shuffle=2)))
    kp_source = inputs["kp_source"]
    kp_driving = kp_source + inputs["delta"]
    source = warp.prepare(inputs["feature_3d"])
    features = warp.warp(source, kp_source, kp_driving)
    found = warp.dense_motion_network(source.motion, kp_source, kp_driving)
    frames = decode(features, features)
    return {
        "occlusion_map": found.occlusion,
        "deformation": found.flow,
        "out": frames,
        "parse_output": (frames * 255).byte().permute(0, 2, 3, 1),
    }


CASES = {
    "F.small": appearance,
    "F.full": appearance,
    "M.small": motion,
    "M.full": motion,
    "W.small": warping,
    "W.full": warping,
    "G.small": decoder,
    "G.full": decoder,
    "S_stitching": perceptron("retarget_shoulder"),
    "S_lip": perceptron("retarget_mouth"),
    "S_eye": perceptron("retarget_eye"),
    "S.wrapped": retargeting,
    "warp_decode.full": frame,
}
SLOW = frozenset({"W.full", "G.full", "warp_decode.full"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("liveportrait", name, runner)


@pytest.mark.parametrize(("file", "part"), [(file, part) for file, parts in FILES.items() for part in parts])
def test_state_dict_has_the_published_layout(file, part):
    assert_layout("liveportrait", file, part, lambda: build()[part])


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_every_published_form_fills_the_networks(form, tmp_path):
    parts = {"F", *build_perceptrons()}
    small, perceptron_case = Case("liveportrait", "F.small"), Case("liveportrait", "S.wrapped")
    write_files(tmp_path, {name: small.fill(network) for name, network in build_some(parts).items()}, form)
    variant = bundled()["liveportrait"].variants["liveportrait"]
    of_parts = replace(variant, files=tuple(file for file in variant.files if set(file.parts) <= parts))
    with empty_networks():
        networks = build_some(parts)
    fill_networks(networks, of_parts, tmp_path)
    with torch.inference_mode():
        volume = networks["F"].encode_volume(small.inputs()["image"])
        inputs = perceptron_case.inputs()
        stitched = Perceptrons(networks).stitch(inputs["x_s"], inputs["x_d"])
    for case, name, found in ((small, "feature_3d", volume), (perceptron_case, "stitched", stitched)):
        assert difference(f"{case.name}:{name}", found, case.golden["outputs"][name]) <= NETWORK_TOLERANCE


@torch.inference_mode()
def test_fast_forms_of_warping_match_published_code():
    case = Case("liveportrait", "W.small")
    inputs = case.inputs()
    network = folded(case.fill(VolumeWarping(NUM_KP)))
    features = network.warp(network.prepare(inputs["feature_3d"]), inputs["kp_source"], inputs["kp_driving"])
    assert difference("W.small:out", features, case.golden["outputs"]["out"]) <= NETWORK_TOLERANCE


@torch.inference_mode()
def test_flow_is_exact_in_lower_precision():
    case = Case("liveportrait", "W.small")
    inputs = case.inputs()
    network = case.fill(VolumeWarping(NUM_KP))

    def flow() -> Tensor:
        source = network.prepare(inputs["feature_3d"])
        return network.dense_motion_network(source.motion, inputs["kp_source"], inputs["kp_driving"]).flow

    expected = flow()
    with torch.autocast("cpu", torch.bfloat16):
        found = flow()
    assert found.dtype == torch.float32
    # A hundredth of a sample; rounding to bfloat16 alone would be six times that.
    torch.testing.assert_close(found, expected, atol=0.01 * 2 / 32, rtol=0)


@torch.inference_mode()
def test_batches_of_frames_and_of_sources_equal_single_frames():
    torch.manual_seed(0)
    parts = {name: network.eval().requires_grad_(False) for name, network in build().items()}
    networks = LivePortraitNetworks(parts, Runtime(torch.device("cpu")))
    pictures, kp_source, kp_driving = torch.rand(2, 3, 128, 128), torch.rand(2, NUM_KP, 3), torch.rand(2, NUM_KP, 3)
    together = networks.render(networks.encode(pictures), kp_source, kp_driving)
    shared = networks.render(networks.encode(pictures[:1]), kp_source[:1], kp_driving)
    for i, frame in enumerate(kp_driving):
        one = networks.encode(pictures[i : i + 1])
        alone = networks.render(one, kp_source[i : i + 1], frame[None])
        torch.testing.assert_close(together[i : i + 1], alone, atol=2e-5, rtol=0)
        if i == 0:
            torch.testing.assert_close(shared[:1], alone, atol=2e-5, rtol=0)


def build_some(parts: set[str]) -> dict[str, nn.Module]:
    return {name: network for name, network in build().items() if name in parts}


def test_files_of_animals_are_refused_for_people():
    files = {variant.name: variant.files for variant in bundled()["liveportrait"].variants.values()}
    for people, animals in zip(files["liveportrait"][:4], files["liveportrait-animals"][:4], strict=True):
        assert animals.size == people.size
        assert animals.sha256 in people.refused
        assert people.sha256 in animals.refused
    assert files["liveportrait"][4] is files["liveportrait-animals"][4]
