"""Files of one model of the family given to another: the message names what the file is."""

from __future__ import annotations

import pytest
import torch

from layouts import load_layout
from thg_zoo.weights.layout import looks_like
from thg_zoo.zoo import describe

DEPTH_50 = {
    "encoder.pth": {"encoder.layer1.0.conv3.weight": (256, 64, 1, 1)},
    "depth.pth": {"decoder.0.conv.conv.weight": (256, 2048, 3, 3)},
}
# Variant, its file, and the file that is given instead (model, file, part, prefix in it), with what is said.
WRONG = [
    ("fomm", "vox-adv", ("dagan", "DaGAN_vox_adv_256.pth.tar", "generator", ""), "DaGAN"),
    ("fomm", "vox-adv", ("mcnet", "00000099-checkpoint.pth.tar", "generator", ""), "MCNet"),
    ("fomm", "vox-adv", ("mcnet", "00000099-checkpoint.pth.tar", "kp_detector", ""), "15 key points"),
    ("fomm", "vox-adv", ("facevid2vid", "00000189-checkpoint.pth.tar", "generator", ""), "face-vid2vid"),
    ("dagan", "generator", ("dagan", "DaGAN_vox_adv_256.pth.tar", "generator", ""), "variant dagan-plain"),
    ("dagan", "kp_detector", ("fomm", "vox-cpk.pth.tar", "kp_detector", ""), "10 key points"),
    ("dagan", "kp_detector", ("mcnet", "00000099-checkpoint.pth.tar", "kp_detector", ""), "sees no depth"),
    (
        "dagan-plain",
        "DaGAN",
        ("dagan", "SPADE_DaGAN_vox_adv_256.pth.tar", "generator", ""),
        "with SPADE .variant dagan",
    ),
    ("mcnet", "00000099", ("fomm", "vox-cpk.pth.tar", "generator", ""), "a file of FOMM"),
    ("mcnet", "00000099", ("dagan", "DaGAN_vox_adv_256.pth.tar", "generator", ""), "DaGAN"),
    ("facevid2vid", "00000189", ("facevid2vid", "vox-256-beta", "generator", ""), "variant facevid2vid-beta"),
    ("facevid2vid", "00000189", ("fomm", "vox-cpk.pth.tar", "kp_detector", ""), "FOMM"),
    ("facevid2vid-beta", "vox", ("facevid2vid", "00000189-checkpoint.pth.tar", "generator", ""), "variant facevid2vid"),
]
SADTALKER = ("sadtalker", "SadTalker_V0.0.2_256.safetensors", "kp_extractor", "kp_extractor.")
LIVEPORTRAIT = [
    ("liveportrait", f"liveportrait/base_models/{file}.pth", part, "")
    for file, part in (("warping_module", "W"), ("spade_generator", "G"), ("motion_extractor", "M"))
]
DESCENDANTS = [(SADTALKER, "SadTalker"), *((file, "LivePortrait") for file in LIVEPORTRAIT)]


def said(variant: str, file: str, state: dict[str, tuple[int, ...]]) -> str:
    (chosen,) = (f for f in describe(variant).variant.files if f.name.startswith(file))
    tensors = {name: torch.empty(shape, device="meta") for name, shape in state.items()}
    return looks_like(tensors, chosen.lookalikes)


def entries(model: str, file: str, part: str, prefix: str) -> dict[str, tuple[int, ...]]:
    return {prefix + name: tuple(shape) for name, shape in load_layout(model)[file][part].items()}


@pytest.mark.parametrize(("variant", "file", "given", "message"), WRONG)
def test_a_file_of_a_relative_is_named(variant, file, given, message):
    import re

    assert re.search(message, said(variant, file, entries(*given)))


@pytest.mark.parametrize(("given", "name"), DESCENDANTS)
@pytest.mark.parametrize(
    ("variant", "file"),
    [("fomm", "vox-adv"), ("dagan", "generator"), ("mcnet", "00000099"), ("facevid2vid", "00000189")],
)
def test_files_of_the_descendants_are_named(variant, file, given, name):
    assert name in said(variant, file, entries(*given))


@pytest.mark.parametrize("file", DEPTH_50)
def test_the_depth_network_of_fifty_layers_is_named(file):
    assert "50 layers" in said("dagan", file, DEPTH_50[file])


def test_the_right_files_are_not_mistaken():
    assert said("facevid2vid", "00000189", entries("facevid2vid", "00000189-checkpoint.pth.tar", "generator", "")) == ""
    assert said("mcnet", "00000099", entries("mcnet", "00000099-checkpoint.pth.tar", "generator", "")) == ""
    assert said("fomm", "vox-adv", entries("fomm", "vox-cpk.pth.tar", "generator", "")) == ""
