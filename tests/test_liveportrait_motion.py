"""LivePortrait's motion: the published chains on given motion parameters, and what each option changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from parity import load_golden
from thg_zoo.adapters.liveportrait.editing import NEUTRAL, expression_change, sliders_of
from thg_zoo.adapters.liveportrait.mover import Mover, Person
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons, build_perceptrons
from thg_zoo.adapters.liveportrait.pose import FaceMotion, rotation
from thg_zoo.adapters.liveportrait.retargeting import openings, ratios_of
from thg_zoo.adapters.liveportrait.smoothing import smooth
from thg_zoo.keypoints.transfer import movement_scale
from thg_zoo.options import resolve_options

MODEL = "liveportrait"
# The published options by ours.
NAMES = {
    "flag_stitching": "stitching",
    "flag_normalize_lip": "normalize_lip",
    "flag_eye_retargeting": "eye_retargeting",
    "flag_lip_retargeting": "lip_retargeting",
    "flag_source_video_eye_retargeting": "source_video_eye_retargeting",
}
# The cases that were measured with the stitching network; without it the reference leaves stitching out.
STITCHED = {
    *(f"image.video.{name}" for name in ("default", "multiplier", "normalize_lip", "eye_lip_retargeting")),
    *("image.image.default", "video.video.default", "video.video.eye_reopen", "video.image.default"),
}


def options_of(**given: Any) -> LivePortraitOptions:
    return resolve_options(LivePortraitOptions, given)


def perceptrons(case: Case | None = None) -> Perceptrons:
    """Filled as a case says; without one, by a fixed seed."""
    torch.manual_seed(0)
    parts = build_perceptrons()
    return Perceptrons({name: case.fill(part) if case else part for name, part in parts.items()})


def parameters(inputs: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = {n.removeprefix(prefix): v for n, v in inputs.items() if n.startswith(prefix) and not n.endswith("lmk")}
    return {n: v[:, 0] if n in ("pitch", "yaw", "roll") else v for n, v in found.items()}


def chain(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    """A golden case `motion.SOURCE.DRIVER...` as the adapter runs it."""
    still, moves = (name == "image" for name in case.name.split(".")[1:3])
    given = {NAMES.get(name, name): value for name, value in case.golden["options"].items()}
    given["transfer"] = "relative" if given.pop("flag_relative_motion", True) else "absolute"
    given["stitching"] = given.get("stitching", True) and case.name.removeprefix("motion.") in STITCHED
    options = options_of(retarget_onto="source", **given)
    source, driving = (openings(inputs[f"{who}_lmk"]) for who in ("source", "driving"))
    person = Person(parameters(inputs, "source_"), source.eyes, source.lip, still)
    driver = {**parameters(inputs, "driving_"), "c_eyes": driving.eyes, "c_lip": driving.lip}
    first = {name: value[:1] for name, value in driver.items()}
    mover = Mover(person, options, perceptrons(case), sliders_of(options))
    moved = mover.driven(first, "picture" if moves else "sequence")(driver)
    outputs = {"kp_source": person.keypoints.expand_as(moved), "kp_driving": moved}
    outputs["kp_driving_minus_source"] = moved - person.keypoints
    template = FaceMotion.of(driver)
    outputs["template_R"], outputs["template_x_s"] = template.R, template.flat().keypoints(driver["kp"])
    outputs["template_ratios"] = torch.cat([driving.eyes, driving.lip], dim=1)
    return {name: value for name, value in outputs.items() if name in case.golden["outputs"]}


CHAINS = [n for n in load_golden(MODEL)["cases"] if n.startswith("motion.") and n != "motion.animal"]


@parametrize(dict.fromkeys(CHAINS, chain))
def test_motion_chains(name, runner):
    check(MODEL, name, runner)


def rotated(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"R": rotation(*(inputs[name][:, 0] for name in ("pitch", "yaw", "roll")))}


def transformed(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    person = Person(parameters(inputs, ""))
    return {"x_s": person.keypoints}


def scaled(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    pairs = [(inputs[f"source{i}"][0], inputs[f"driving{i}"][0]) for i in range(4)]
    return {"multiplier": [movement_scale(source, driving) for source, driving in pairs]}


def measured(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    source, driving = (openings(inputs[f"{who}_lmk"]) for who in ("source", "driving"))
    eyes = torch.cat([source.eyes, driving.eyes[:, :1]], dim=1)
    return {
        "eyes": driving.eyes,
        "lip": driving.lip,
        "combined_eyes": eyes,
        "combined_lip": torch.cat([source.lip, driving.lip], dim=1),
    }


def smoothed(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    variance = 3e-7 if case.name == "smooth.R" else float(case.name.split(".", 2)[2])
    return {"smooth": smooth(inputs["x"][:, 0], variance)}


def animal(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    options = options_of(transfer="displacement", stitching=False, **case.golden["options"])
    person, driver = Person(parameters(inputs, "source_")), parameters(inputs, "driving_")
    first = {name: value[:1] for name, value in driver.items()}
    moved = Mover(person, options, perceptrons(), sliders_of(options)).driven(first, "sequence")(driver)
    return {"kp_source": person.keypoints.expand_as(moved), "kp_driving": moved}


def slid(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    found = {}
    for output, value in case.golden["options"].items():
        name = output.rsplit("_", 1)[0]
        pair = {"gaze": ("gaze_x", "gaze_y"), "mov": ("mov_x", "mov_y")}.get(name)
        given = dict(zip(pair, value, strict=True)) if pair else {name: value}
        sliders = {n: torch.tensor([v]) for n, v in (NEUTRAL | given).items()}
        found[output] = inputs["exp"] + expression_change(sliders)
    return found


def edited_picture(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    options = options_of(
        pitch=8, yaw=-11, roll=5, mov_x=0.05, mov_y=-0.03, mov_z=1.1, smile=0.5, wink=9, eyebrow=-6, pouting=0.03,
        pursing=-4, grin=3, lip_open=25, gaze_x=7, gaze_y=-12, eyes_open_ratio=0.45, lip_open_ratio=0.22,
    )  # fmt: skip
    measured = openings(inputs["source_lmk"][None])
    person = Person(parameters(inputs, ""), measured.eyes, measured.lip)
    eyes, lip = ratios_of(person.parameters, options)
    moved = Mover(person, options, perceptrons(case), sliders_of(options)).posed(eyes, lip)
    return {
        "kp_source": person.keypoints,
        "kp_driving": moved,
        "kp_driving_minus_source": moved - person.keypoints,
    }


NUMERICS = {
    "rotation_matrix": rotated,
    "transform_keypoint": transformed,
    "motion_multiplier": scaled,
    "ratios": measured,
    **{name: smoothed for name in load_golden(MODEL)["cases"] if name.startswith("smooth.")},
    "motion.animal": animal,
    "edit.sliders": slid,
    "edit.image": edited_picture,
}


@parametrize(NUMERICS)
def test_numerics(name, runner):
    check(MODEL, name, runner)
