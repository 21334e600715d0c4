"""LIA from file to frames: the published chain, motion along directions, levels, templates, variants."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

import thg_zoo
from golden_cases import Case, check
from thg_zoo.adapters.lia.adapter import LiaAdapter, stretched
from thg_zoo.adapters.lia.networks import Generator
from thg_zoo.adapters.lia.options import DIRECTIONS, LiaOptions
from thg_zoo.errors import LicenceError, OptionError
from thg_zoo.inputs import Clip
from thg_zoo.keypoints.keyframes import Keyframes
from thg_zoo.zoo import describe

Pictures = NDArray[np.uint8]
WHOLE: dict[str, Any] = {"crop": "none", "driver_crop": "none"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file laid out like a published one, with what training leaves in it."""
    network = Case("lia", "chain").fill(Generator())
    path = tmp_path_factory.mktemp("weights") / "vox.pt"
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-3, "params": [0]}]}
    carried = {"gen": network.state_dict(), "dis": {"convs.0.0.weight": torch.zeros(3)}, "g_optim": optimiser}
    torch.save({**carried, "args": Namespace(size=256, exp_name="v1")}, path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def model(weights: Path) -> LiaAdapter:
    loaded = thg_zoo.load("lia", weights=weights, device="cpu", batch_size=2, accept_licence=True)
    assert isinstance(loaded, LiaAdapter)
    return loaded


@pytest.fixture(scope="module")
def drive(face: Pictures) -> Clip:
    """Three frames at 24 per second, the portrait elsewhere in each; neither square nor of the networks' size."""
    return Clip(np.stack([np.roll(face, 9 * k, axis=1)[:200] for k in range(3)]), Fraction(24))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that take no time: motion is read from coarse colours, and shown by a ramp."""

    def motion(_: Generator, pictures: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(pictures, (1, 7)).flatten(1)[:, :20]

    def render(_: Generator, __: Any, alpha: torch.Tensor) -> torch.Tensor:
        return (0.3 * alpha[:, :3, None, None] + torch.linspace(-0.4, 0.6, 256)).expand(-1, -1, 256, -1)

    monkeypatch.setattr(Generator, "motion", motion)
    monkeypatch.setattr(Generator, "render", render)


def levels(value: torch.Tensor) -> Pictures:
    return value.numpy().astype(np.uint8)


def alphas(animation: Any) -> torch.Tensor:
    return torch.cat([batch["alpha"] for batch in animation.motion.batches(2)])


@pytest.mark.slow
def test_the_chain_is_the_published_one(model):
    def chain(_, inputs):
        portrait = model.prepare(levels(inputs["source"]), crop="none")
        clip = Clip(levels(inputs["driving"]), Fraction(25))
        found = {}
        for name, relative in (("frames", True), ("absolute", False)):
            animation = portrait.animate(clip, driver_crop="none", relative=relative, levels="stretched")
            made = model._generator.render(portrait.still_batch().encoded, alphas(animation))
            found[f"{name}_float"] = made.permute(1, 0, 2, 3)[None]
            found[f"{name}_u8"] = animation.to_array()
        return found

    check("lia", "chain", chain)


def test_pictures_are_prepared_as_published(model):
    def prepared(_, inputs):
        return {"x": model.squeeze(levels(inputs["image"]), LiaOptions()) * 2 - 1}

    check("lia", "preprocess_image", prepared)


def test_levels_are_stretched_as_published():
    def quantised(_, inputs):
        video = inputs["video"].clamp(-1, 1)
        frames = stretched(video[0].transpose(0, 1), video.min(), video.max())
        return {"frames": (frames * 255).round().permute(0, 2, 3, 1)}

    check("lia", "quantise_video", quantised)


@pytest.mark.usefixtures("quick")
def test_stretched_levels_take_the_extremes_of_the_whole_clip(model, face, drive):
    portrait = model.prepare(face, **WHOLE)
    plain = portrait.animate(drive).to_array().astype(float)
    found = portrait.animate(drive, levels="stretched").to_array()
    assert 0 < plain.min() < plain.max() < 255
    expected = (plain - plain.min()) / (plain.max() - plain.min()) * 255
    assert np.abs(found - expected).max() <= 3
    assert (found.min(), found.max()) == (0, 255)
    # Extremes beyond the levels of pictures are those of pictures.
    steps = {"d0": 5.0, "d1": -5.0}
    beyond = portrait.animate(drive, **steps).to_array().astype(int)
    assert np.abs(portrait.animate(drive, levels="stretched", **steps).to_array() - beyond).max() <= 1


@pytest.mark.usefixtures("quick")
def test_movement_is_relative_or_absolute(model, face, drive):
    portrait = model.prepare(face, **WHOLE)
    own = portrait.identity.points["alpha"]
    relative, absolute = (alphas(portrait.animate(drive, relative=choice)) for choice in (True, False))
    torch.testing.assert_close(relative[:1], own)
    torch.testing.assert_close(relative - own, absolute - absolute[:1])
    assert (absolute[1] - absolute[0]).abs().max() > 0.01
    third = alphas(portrait.animate(drive, best_frame="2"))
    torch.testing.assert_close(third[2:], own)
    still = portrait.animate(drive.frames[2])
    torch.testing.assert_close(alphas(still), absolute[2:], atol=1e-4, rtol=1e-4)
    assert any("one picture" in warning for warning in still.run.warnings)


@pytest.mark.usefixtures("quick")
def test_steps_are_added_to_whatever_moves(model, face, drive):
    portrait = model.prepare(face, **WHOLE)
    own = portrait.identity.points["alpha"]
    step = torch.zeros(20)
    step[2] = 1.5
    edited = portrait.animate(None, d2=1.5)
    assert edited.n_frames == 1
    torch.testing.assert_close(alphas(edited), own + step)
    torch.testing.assert_close(alphas(portrait.animate(drive, d2=1.5)), alphas(portrait.animate(drive)) + step)
    assert np.abs(edited.to_array().astype(int) - portrait.animate(None).to_array()).max() > 0


@pytest.mark.usefixtures("quick")
def test_a_sweep_is_the_published_tool(model, face):
    portrait = model.prepare(face, crop="none")
    sweep = portrait.animate(None, sweep=7)
    moved = alphas(sweep) - portrait.identity.points["alpha"]
    assert (sweep.n_frames, sweep.fps) == (16, 10)
    torch.testing.assert_close(moved[:, 7], torch.arange(16) * 6 / 16 - 3, atol=1e-5, rtol=0)
    moved[:, 7] = 0
    assert moved.abs().max() < 1e-5
    assert portrait.animate(None, sweep=0, range=4, save_fps=29.97).fps == Fraction(30000, 1001)


@pytest.mark.usefixtures("quick")
def test_keyframes_set_steps_over_time(model, face):
    portrait = model.prepare(face, crop="none")
    keyframes = Keyframes((0, 0.2), ({}, {"d19": 2.0}), interpolation="linear")
    moved = alphas(portrait.animate(keyframes, d0=1.0, d19=-1.0)) - portrait.identity.points["alpha"]
    torch.testing.assert_close(moved[:, 19], torch.linspace(-1, 2, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[:, 0], torch.ones(6), atol=1e-5, rtol=0)
    with pytest.raises(OptionError, match="'smile', which is no slider"):
        portrait.animate(Keyframes((0,), ({"smile": 1.0},)))
    with pytest.raises(OptionError, match="out of range"):
        portrait.animate(Keyframes((0,), ({"d1": 99.0},)))


@pytest.mark.usefixtures("quick")
def test_a_template_moves_as_its_video(model, face, drive, tmp_path):
    portrait = model.prepare(face, **WHOLE)
    path = model.save_motion(drive, tmp_path / "motion.npz", **WHOLE)
    driven = portrait.animate(path)
    assert (driven.fps, driven.n_frames) == (24, 3)
    torch.testing.assert_close(alphas(driven), alphas(portrait.animate(drive)))


def test_bodies_are_taken_whole(weights):
    for name, relative in (("lia-ted", False), ("lia-taichi", True)):
        options = describe(name).resolve({})
        assert (options.crop, options.driver_crop, options.relative) == ("none", "none", relative)
    assert describe("lia").resolve({}).crop == "auto"


def test_the_licence_is_asked_for(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THG_ZOO_ACCEPT_LICENSES", raising=False)
    with pytest.raises(LicenceError, match="CC-BY-NC"):
        thg_zoo.load("lia", weights=weights, device="cpu")


def test_every_direction_is_an_option():
    assert [name for name in LiaOptions.__dataclass_fields__ if name[1:].isdecimal()] == list(DIRECTIONS)
