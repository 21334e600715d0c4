"""LivePortrait from files of the published layout and a real motion template to frames, against the published code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import thg_zoo
from golden_cases import Case, Outputs, check
from liveportrait_files import write_files
from parity import GOLDEN
from thg_zoo.adapters.liveportrait.networks import build
from thg_zoo.inputs import open_driver
from thg_zoo.media.image import read_image
from thg_zoo.run import Run
from thg_zoo.weights.seeded import fill_state_dict

# The frames of the template that were rendered, and how the motion extractor was seeded for them.
FRAMES = [0, 30, 60]
MOTION_BASE, MOTION_GAIN = 7, 0.5


def seeded(case: Case) -> dict[str, torch.nn.Module]:
    networks = {name: network if name == "M" else case.fill(network) for name, network in build().items()}
    shapes = {name: tuple(value.shape) for name, value in networks["M"].state_dict().items()}
    state = fill_state_dict(shapes, base=MOTION_BASE, gain=MOTION_GAIN)
    networks["M"].load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return networks


def cut_template(name: str, frames: list[int], path: Path) -> Path:
    """Some frames of a template of the authors'."""
    with np.load(GOLDEN / f"liveportrait-{name}.npz") as whole:
        arrays = {key: whole[key][frames] if whole[key].ndim else whole[key] for key in whole.files}
    np.savez(path, **arrays)
    return path


@pytest.mark.slow
def test_template_drives_a_picture_as_published(face_path, tmp_path):
    def run(case: Case, _: dict[str, Tensor]) -> Outputs:
        weights = write_files(tmp_path / "weights", seeded(case), "pth")
        model = thg_zoo.load("liveportrait", weights=weights, device="cpu", batch_size=len(FRAMES))
        options = model.model.resolve({"do_crop": False, "pasteback": False})
        portrait = model.prepare(read_image(face_path)[0:256, 96:352], do_crop=False, pasteback=False)
        driver = open_driver(cut_template("talking", FRAMES, tmp_path / "motion.npz"), model.spec.drivers)
        motion = next(model.read_driver(driver, portrait.identity, options, Run()).batches(len(FRAMES)))
        batch = portrait.still_batch()
        images = model.render(portrait.identity, batch, motion, options)
        driving = motion["driving"]
        return {
            "feature_3d_first": batch.encoded.volume,
            "kp_source": portrait.identity.person.keypoints.expand_as(driving),
            "kp_driving": driving,
            "kp_driving_minus_first": driving[1:] - driving[:1],
            **{f"image_{i}": image[None] for i, image in enumerate(images)},
            "frame_last_uint8": model.compose(images.clone(), portrait.identity, batch, options)[-1],
        }

    check("liveportrait", "chain.template", run)
