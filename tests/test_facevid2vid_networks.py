"""face-vid2vid's networks and head-pose arithmetic against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, enlarged, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.facevid2vid.networks import NUM_KP, ROTATION, HeadPoseEstimator, detector, generator
from thg_zoo.keypoints.headpose import HeadPose, degrees_from_bins, rotation
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.nn.blocks import ResBlock
from thg_zoo.nn.dense_motion import DenseMotion3d
from thg_zoo.nn.grid import coordinate_grid, gaussian_maps
from thg_zoo.nn.spade import SpadeResBlock
from thg_zoo.nn.volume_generator import PlainVolumeGenerator


def canonical(release):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = case.fill(detector(release))
        inner = {
            "encoded": "predictor.down_blocks",
            "expanded": "predictor.conv",
            "features": "predictor",
            "kp_logits": "kp",
        }
        with recorded(network, **inner) as seen:
            value = network(inputs["image"])
        return {**seen, "value": value}

    return run


def head_pose(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = case.fill(HeadPoseEstimator())
    inner = {"conv2_in": "<conv2", "block1": "block1", "block2": "block2", "block4": "block4", "block7": "block7"}
    with recorded(network, **inner) as seen:
        heads = network.heads(inputs["image"])
    return {"stem": seen.pop("conv2_in"), **seen, **heads}


def degrees(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"degrees": degrees_from_bins(inputs["logits"])}


def rotations(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    angles = inputs["yaw"], inputs["pitch"], inputs["roll"]
    return {"new": rotation(*angles, ROTATION["spade"]), "beta": rotation(*angles, ROTATION["beta"])}


def posed(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    angles = (degrees_from_bins(inputs[name]) for name in ("yaw", "pitch", "roll"))
    pose = HeadPose(*angles, inputs["t"], inputs["exp"].view(1, NUM_KP, 3))
    return {
        "estimated": pose.pose(inputs["canonical"]),
        "free_view": pose.turned(yaw=20, pitch=-10, roll=5).pose(inputs["canonical"]),
        "free_view_yaw_only": pose.turned(yaw=30).pose(inputs["canonical"]),
    }


def relative(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, initial, driving = (KeyPoints(inputs[f"value_{name}"]) for name in ("source", "initial", "driving"))
    return {
        "relative_adapt": RelativeMotion.adapted(source, initial)(driving).value,
        "relative": RelativeMotion(source, initial)(driving).value,
    }


def gaussians(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"heat": gaussian_maps(inputs["value"], (8, 12, 10))}


def dense_motion(scaling):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = case.fill(DenseMotion3d(NUM_KP, scaling=scaling), prefix="dense_motion_network.")
        kp_source, kp_driving = inputs["value_source"], inputs["value_driving"]
        with recorded(network, hourglass="hourglass", joined="<hourglass", mask="mask") as seen:
            source = network.encode(inputs["feature"])
            motion = network(source, kp_source, kp_driving)
        still = coordinate_grid(source.appearance.shape[2:], kp_source)
        shift = torch.cat([torch.zeros(1, 1, 3), kp_source - kp_driving], dim=1)
        return {
            "compressed": source.appearance,
            "heatmap": seen.pop("joined").unflatten(1, (NUM_KP + 1, 5))[:, :, :1],
            "sparse_motion": still + shift[:, :, None, None, None],
            "hourglass": seen["hourglass"],
            "mask": seen["mask"].softmax(1),
            "deformation": motion.flow,
            "occlusion_map": motion.occlusion,
        }

    return run


def res_block(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    block = case.fill(ResBlock(32, dims=3), prefix="resblocks_3d.3dr0.")
    return {"out": block(inputs["x"])}


def spade_block(name, *widths, enlarged=False):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        block = case.fill(SpadeResBlock(*widths, 256, enlarged=enlarged), prefix=f"decoder.{name}.")
        return {"out": block(inputs["x"], inputs["seg"])}

    return run


def _generator(case: Case, inputs: dict[str, Tensor], network, **inner: str) -> Outputs:
    case.fill(network)
    inner = {
        "second": "second",
        "feature_3d": "resblocks_3d",
        "warped": "<third",
        "third": "third",
        "fourth": "fourth",
        "occlusion_map": "dense_motion_network.occlusion",
        **inner,
    }
    with recorded(network, **inner) as seen:
        source = network.encode(inputs["source"])
        prediction = network.render(source, inputs["value_source"], inputs["value_driving"])
    return {**seen, "occlusion_map": seen["occlusion_map"].sigmoid(), "prediction": prediction}


def plain_generator(scaling):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = PlainVolumeGenerator(NUM_KP, scaling=scaling)
        return _generator(case, inputs, network, resblocks_2d="resblocks_2d", final_logits="final")

    return run


def spade_generator(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    inner = {"occluded": "<decoder", "middle_0": "decoder.G_middle_0", "middle_5": "decoder.G_middle_5"}
    return _generator(case, inputs, generator("spade"), **inner, up_0="decoder.up_0")


def chain(**free_view):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        source, driving = enlarged(inputs["source_low"], 128), enlarged(inputs["driving_low"], 128)
        detect = folded(case.fill(detector("spade"), "kp_detector"))
        estimate = folded(case.fill(HeadPoseEstimator(), "he_estimator"))
        generate = folded(case.fill(generator("spade"), "generator"))
        points = detect(source)
        kp_source = KeyPoints(estimate(source).pose(points))
        initial = KeyPoints(estimate(driving[:1]).pose(points))
        kp_driving = KeyPoints(estimate(driving).turned(**free_view).pose(points))
        moved = RelativeMotion.adapted(kp_source, initial)(kp_driving)
        return {
            "canonical": points,
            "kp_source": kp_source.value,
            "kp_norm": moved.value,
            "prediction": generate.render(generate.encode(source), kp_source.value, moved.value),
        }

    return run


CASES = {
    "kp_detector_256": canonical("spade"),
    "kp_detector_b2_128x256": canonical("spade"),
    "he_estimator_256": head_pose,
    "he_estimator_b2_128": head_pose,
    "headpose_degrees": degrees,
    "rotation_matrix": rotations,
    "keypoint_transformation": posed,
    "normalize_3d": relative,
    "kp2gaussian_3d": gaussians,
    "dense_motion_32": dense_motion("pooled"),
    "resblock_3d": res_block,
    "spade_block_same": spade_block("G_middle_0", 512, 512),
    "spade_block_up": spade_block("up_1", 256, 64, enlarged=True),
    "generator_plain_128": plain_generator("pooled"),
    "generator_spade_128": spade_generator,
    "generator_spade_256": spade_generator,
    "chain_relative_adapt_128": chain(),
    "chain_free_view_128": chain(yaw=20, pitch=-10),
    "beta_kp_detector_64": canonical("beta"),
    "beta_dense_motion_32": dense_motion("strided"),
    "beta_generator_plain_128": plain_generator("strided"),
}
SLOW = frozenset({"generator_spade_256", "chain_relative_adapt_128", "chain_free_view_128"})


@parametrize(CASES, SLOW)
def test_network_matches_published_code(name, runner):
    check("facevid2vid", name, runner)


@pytest.mark.parametrize(
    ("file", "part", "network"),
    [
        ("00000189-checkpoint.pth.tar", "generator", lambda: generator("spade")),
        ("00000189-checkpoint.pth.tar", "kp_detector", lambda: detector("spade")),
        ("00000189-checkpoint.pth.tar", "he_estimator", HeadPoseEstimator),
        ("vox-256-beta", "generator", lambda: generator("beta")),
        ("vox-256-beta", "kp_detector", lambda: detector("beta")),
        ("vox-256-beta", "he_estimator", HeadPoseEstimator),
    ],
)
def test_state_dict_has_the_published_layout(file, part, network):
    assert_layout("facevid2vid", file, part, network)


@torch.inference_mode()
def test_batches_of_frames_and_of_sources_equal_single_frames():
    torch.manual_seed(0)
    network = folded(PlainVolumeGenerator(NUM_KP).eval())
    pictures, kp_sources, kp_driving = torch.rand(2, 3, 128, 128), *(torch.rand(2, 2, NUM_KP, 3) - 0.5)
    single = [
        network.render(network.encode(pictures[i : i + 1]), kp_sources[i : i + 1], kp_driving[i : i + 1])
        for i in range(2)
    ]
    together = network.render(network.encode(pictures), kp_sources, kp_driving)
    torch.testing.assert_close(together, torch.cat(single), atol=2e-5, rtol=0)
    shared = network.render(network.encode(pictures[:1]), kp_sources[:1], kp_driving)
    torch.testing.assert_close(shared[:1], single[0], atol=2e-5, rtol=0)


def test_free_view_replaces_the_given_angles_only():
    pose = HeadPose(*torch.randn(3, 2) * 20, torch.randn(2, 3), torch.randn(2, NUM_KP, 3))
    turned = pose.turned(yaw=30, translation=(0.1, 0, 0))
    assert turned.yaw.tolist() == [30, 30]
    assert turned.pitch is pose.pitch
    assert turned.roll is pose.roll
    torch.testing.assert_close(turned.translation, torch.tensor([[0.1, 0, 0]] * 2))
    assert torch.equal(turned.expression, pose.expression)
