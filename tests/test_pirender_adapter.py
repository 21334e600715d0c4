"""PIRenderer as a model of the zoo: frames through the public calls, drivers of every kind, options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from torch import Tensor

import thg_zoo
from thg_zoo.adapters.pirender.adapter import PIRenderAdapter
from thg_zoo.adapters.pirender.coefficients import crop_ratio, rescaled
from thg_zoo.adapters.pirender.control import CONTROLS, edited
from thg_zoo.adapters.pirender.driver import smoothed, squeezed
from thg_zoo.adapters.pirender.networks import FaceGenerator
from thg_zoo.adapters.pirender.options import PIRenderOptions
from thg_zoo.adapters.pirender.tables import read_table
from thg_zoo.errors import FaceError, MediaError, OptionError
from thg_zoo.face3d.mapping import REACH
from thg_zoo.inputs import Clip
from thg_zoo.keypoints.keyframes import Keyframes
from thg_zoo.keypoints.template import read_template
from thg_zoo.media.planes import to_planes
from thg_zoo.weights import empty_networks, fill_networks

WHOLE = {"crop": "none", "driver_crop": "none"}


@pytest.fixture(scope="module")
def model() -> PIRenderAdapter:
    loaded = thg_zoo.load("pirender", weights="random", device="cpu", batch_size=2)
    assert isinstance(loaded, PIRenderAdapter)
    return loaded


@pytest.fixture(scope="module")
def portrait(model: PIRenderAdapter, face: NDArray[np.uint8]) -> Any:
    return model.prepare(face, **WHOLE)


@pytest.fixture(scope="module")
def drive(face: NDArray[np.uint8]) -> Clip:
    """Three frames at 24 per second: the portrait, further to the right from frame to frame."""
    return Clip(np.stack([np.roll(face, 9 * k, axis=1) for k in range(3)]), Fraction(24))


def described(portrait: Any, driver: Any, **options: Any) -> Tensor:
    """What the network is told of all frames."""
    batches = portrait.animate(driver, **options).motion.batches(7)
    with torch.inference_mode():
        return torch.cat([batch["descriptors"] for batch in batches])


def rows_of(model: PIRenderAdapter, driver: Any, path: Path, **options: Any) -> Tensor:
    """The coefficients that the model reads from a driver."""
    written = model.save_motion(driver, path, overwrite=True, **WHOLE, **options)
    return read_template(written, "pirender").parameters["coefficients"]


# Frames.


@torch.inference_mode()
def test_frames_equal_a_plain_loop(model, portrait, face, drive, tmp_path):
    """Frame by frame with a window for each, by the network as published."""
    with empty_networks():
        networks = model.build_networks()
    fill_networks(networks, model.model.variant, "random")
    network = networks["net_G_ema"]
    assert isinstance(network, FaceGenerator)
    rows, own = rows_of(model, drive, tmp_path / "m.npz"), portrait.identity.coefficients
    rows = rescaled(rows, crop_ratio(own, rows))
    source = network.encode(to_planes([squeezed(face)], torch.device("cpu")) * 2 - 1)
    found = portrait.animate(drive)
    assert found.fps == 24
    frames = found.to_array().astype(int)
    assert frames.shape == (3, 256, 256, 3)
    for i, frame in enumerate(frames):
        window = rows[torch.arange(i - REACH, i + REACH + 1).clamp(0, 2)].T[None]
        fake, _ = network(source, network.mapping_net(window).squeeze(2))
        expected = ((fake[0].clamp(-1, 1) + 1) / 2 * 255).round().permute(1, 2, 0).numpy()
        assert np.abs(frame - expected).max() <= 1


def test_paste_back_changes_the_crop_alone(model, face):
    box = (60, 10, 200, 170)
    portrait = model.prepare(face, crop_box=box)
    pasted = portrait.animate(None, paste_back=True, feather=0.0).to_array()[0]
    assert pasted.shape == face.shape
    outside = np.ones(face.shape[:2], bool)
    outside[box[1] - 1 : box[3] + 1, box[0] - 1 : box[2] + 1] = False
    assert np.array_equal(pasted[outside], face[outside])
    crop = portrait.animate(None).to_array()[0]
    inner = pasted[box[1] + 20 : box[3] - 20, box[0] + 20 : box[2] - 20].mean(axis=(0, 1))
    assert np.abs(inner - crop[32:-32, 37:-37].mean(axis=(0, 1))).max() < 2


# Drivers.


def test_a_template_gives_the_same_motion(model, portrait, drive, tmp_path):
    path = model.save_motion(drive, tmp_path / "motion.npz", **WHOLE)
    assert portrait.animate(path).fps == 24
    torch.testing.assert_close(described(portrait, path), described(portrait, drive))
    with pytest.raises(MediaError, match="'pirender' read"):
        read_template(path, "fomm")


def test_one_picture_is_one_frame(portrait, drive):
    assert portrait.animate(drive.frames[1]).n_frames == 1
    still = Clip(drive.frames[1:2].repeat(3, axis=0), Fraction(25))
    told = described(portrait, still)
    torch.testing.assert_close(described(portrait, drive.frames[1]).expand(3, -1), told, atol=1e-5, rtol=1e-5)


def test_crop_scales_are_normalised_where_wanted(model, portrait, face, drive, tmp_path):
    rows, own = rows_of(model, drive, tmp_path / "m.npz"), portrait.identity.coefficients
    generator = model.networks["net_G_ema"]
    ratio = crop_ratio(own, rows)
    distances = [
        0.3 * (row[:64] - own[0, :64]).abs().mean() + 0.7 * (row[64:67] - own[0, 64:67]).abs().mean() for row in rows
    ]
    assert ratio == own[0, 70] / rows[int(np.argmin(distances)), 70]
    with torch.inference_mode():
        for norm, told in ((True, rescaled(rows, ratio)), (False, rows)):
            padded = torch.cat([told[:1].expand(13, -1), told, told[-1:].expand(13, -1)])
            found = described(portrait, drive, norm_crop_param=norm)
            torch.testing.assert_close(found, generator.describe(padded), atol=1e-4, rtol=1e-4)


def test_a_driver_is_read_as_it_is_needed(model, portrait, face, monkeypatch):
    read = []
    seen = model._reader(PIRenderOptions(), None).coefficients.measure

    def measure(self: Any, pictures: Sequence[Any], found: Any) -> Tensor:
        read.append(len(pictures))
        return torch.zeros(len(pictures), 73)

    monkeypatch.setattr(type(seen.__self__), "measure", measure)
    monkeypatch.setattr(type(seen.__self__), "find", lambda self, pictures, *_: [None] * len(pictures))
    long = Clip(np.repeat(face[None], 200, axis=0), Fraction(25))
    for norm, ahead in ((False, 33), (True, 201)):
        read.clear()
        batches = portrait.animate(long, norm_crop_param=norm).motion.batches(2)
        with torch.inference_mode():
            next(batches)
        # One frame for the beginning, then as many as the first window reaches.
        assert sum(read) <= ahead
        assert (sum(read) == 201) == norm


def test_a_face_that_is_lost_keeps_its_points(model, portrait, face, tmp_path):
    grey = np.full_like(face, 128)
    rows = rows_of(model, Clip(np.stack([face, grey, face]), Fraction(25)), tmp_path / "m.npz")
    assert torch.equal(rows[0, 70:], rows[1, 70:])
    animation = portrait.animate(Clip(np.stack([grey, grey]), Fraction(25)))
    assert any("No face was found in the part" in warning for warning in animation.run.warnings)


def test_no_face_is_an_error_where_it_has_to_be_found(model, face, portrait):
    grey = np.full_like(face, 128)
    with pytest.raises(FaceError, match="No face"):
        model.prepare(grey)
    with pytest.raises(FaceError, match="No face"):
        portrait.animate(Clip(grey[None], Fraction(25)), driver_crop="auto")


def test_published_landmarks_can_be_asked_for(model):
    from thg_zoo.faces.retinaface import RetinaFace

    def search(landmarks: str) -> Any:
        return model._reader(PIRenderOptions(landmarks=landmarks), None).coefficients.search._in_cut

    assert isinstance(search("published"), RetinaFace)
    assert not isinstance(search("auto"), RetinaFace), "random networks find no face"


# Tables.


def table(columns: int, n: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(columns).uniform(0.1, 1, (n, columns)).astype(np.float32)


def test_tables_of_every_known_kind_are_read(tmp_path):
    full, place = table(257), table(5)
    expected = np.concatenate([full[:, 80:144], full[:, 224:227], full[:, 254:257], place[:, 2:]], axis=1)
    kinds: dict[str, dict[str, Any]] = {
        "a": {"anything": expected},
        "b": {"coeff_3dmm": expected, "other": np.zeros((4, 4))},
        "c": {"x": np.concatenate([full, place[:, 2:]], axis=1)},
        "d": {"x": np.concatenate([full, place], axis=1), "fps": np.array(30.0)},
        "e": {"coeff": full, "transform_params": place},
    }
    for name, arrays in kinds.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        savemat(tmp_path / f"{name}.mat", arrays)
        for path in (tmp_path / f"{name}.npz", tmp_path / f"{name}.mat"):
            template = read_table(path, "pirender")
            assert np.array_equal(template.parameters["coefficients"].numpy(), expected), path
            assert template.fps == (30 if name == "d" else 25)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": table(257)}, "place of the face"),
        ({"coeff_3dmm": table(70)}, "place of the face"),
        ({"x": table(75)}, r"shape \(5, 75\)"),
        ({"x": table(73), "y": table(73)}, "2 tables among x, y"),
        ({}, "0 tables"),
        ({"x": np.full((3, 73), np.nan, np.float32)}, "no number"),
        ({"x": table(73), "fps": np.array(0.0)}, "no table"),
        ({"x": np.array([["a"] * 73] * 2)}, "no table"),
    ],
)
def test_other_tables_are_refused(tmp_path, portrait, arrays, message):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(MediaError, match=message) as refused:
        portrait.animate(tmp_path / "t.npz")
    assert "t.npz" in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize("name", ["t.npz", "t.mat"])
def test_damaged_tables_are_refused(tmp_path, portrait, name):
    (tmp_path / name).write_bytes(b"MATLAB 7.3 or no such thing" * 20)
    with pytest.raises(MediaError, match="no table"):
        portrait.animate(tmp_path / name)


def test_a_table_drives(portrait, tmp_path):
    np.savez(tmp_path / "t.npz", table(73, 40))
    assert described(portrait, tmp_path / "t.npz").shape == (40, 256)
    assert portrait.animate(tmp_path / "t.npz").n_frames == 40


# Control.


def test_options_replace_what_they_name(model, portrait):
    own = portrait.identity.coefficients
    generator = model.networks["net_G_ema"]
    given = {"yaw": 20.0, "move_z": 0.4, "expression_scale": 0.5}
    expected = own.clone()
    expected[:, 65], expected[:, 69] = math.radians(20), 0.4
    expected[:, :64] *= 0.5
    with torch.inference_mode():
        told = generator.describe_still(expected)
    animation = portrait.animate(None, **given)
    assert animation.n_frames == 1
    torch.testing.assert_close(described(portrait, None, **given), told)
    assert not torch.allclose(described(portrait, None), told)


def test_every_control_and_smoothing_change_a_driver(portrait, tmp_path):
    np.savez(tmp_path / "t.npz", table(73))
    usual = described(portrait, tmp_path / "t.npz")
    for name in CONTROLS:
        assert not torch.allclose(described(portrait, tmp_path / "t.npz", **{name: 1.5}), usual), name
    assert not torch.allclose(described(portrait, tmp_path / "t.npz", smooth=1.0), usual)


def test_keyframes_change_what_they_name():
    own = torch.arange(73.0)[None]
    keyframes = Keyframes((0, 0.4), ({"yaw": 0, "expression_scale": 2}, {"yaw": 10}), interpolation="linear")
    rows = edited(own, keyframes, PIRenderOptions(expression_scale=0.5, pitch=30))
    assert rows.shape == (11, 73)
    torch.testing.assert_close(rows[:, 65], torch.deg2rad(torch.arange(11.0)))
    torch.testing.assert_close(rows[:, 64], torch.full((11,), math.radians(30)))
    torch.testing.assert_close(rows[0, :64], own[0, :64] * 2)
    torch.testing.assert_close(rows[-1, :64], own[0, :64] * 0.5)
    assert torch.equal(rows[:, 66:], own[:, 66:].expand(11, -1))
    halves = edited(own, Keyframes((0, 0.4), ({"yaw": 0}, {})), PIRenderOptions(expression_scale=0.5))
    torch.testing.assert_close(halves[:, :64], own[:, :64].expand(11, -1) / 2)
    torch.testing.assert_close(halves[-1, 65], own[0, 65])


def test_wrong_keyframes_are_refused(portrait):
    with pytest.raises(OptionError, match="'yav'"):
        portrait.animate(Keyframes((0,), ({"yav": 1},)))
    with pytest.raises(OptionError, match="yaw"):
        portrait.animate(Keyframes((0,), ({"yaw": 100},)))


def test_the_published_track_is_for_no_driver(portrait, drive):
    animation = portrait.animate(None, track="rotation")
    assert (animation.n_frames, animation.fps) == (120, 25)
    for driver in (drive, Keyframes((0,), ({"yaw": 1},))):
        with pytest.raises(OptionError, match="track"):
            portrait.animate(driver, track="rotation")


def test_smoothing_is_a_gaussian_over_time():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    weights = np.exp(-0.5 * (np.arange(-6, 7) / 2) ** 2)
    padded = np.pad(rows.numpy(), ((6, 6), (0, 0)), mode="edge")
    expected = np.stack([np.convolve(column, weights / weights.sum(), "valid") for column in padded.T], axis=1)
    for size in (1, 7, 50):
        found = torch.cat(list(smoothed(rows.split(size), 2.0)))
        torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-6, rtol=1e-5)
    assert torch.equal(torch.cat(list(smoothed(rows.split(7), 0.0))), rows)
