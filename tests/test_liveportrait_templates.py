"""Motion that LivePortrait reads from files and writes: templates of every form, and keyframes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from liveportrait_fakes import (  # noqa: F401 (fixtures)
    D1,
    KNOWN,
    TALKING,
    Picture,
    different,
    fake,
    keypoints,
    landmark_model,
    wide,
)
from thg_zoo.adapters.liveportrait.templates import read_motion
from thg_zoo.cli.main import _main
from thg_zoo.errors import InputError, MediaError, OptionError, OutputError
from thg_zoo.inputs import Clip
from thg_zoo.keypoints.keyframes import Keyframes
from thg_zoo.media.writer import VideoWriter


def test_templates_without_ratios_move_but_do_not_retarget(face: Picture) -> None:
    portrait = fake().prepare(face, **KNOWN)
    with pytest.raises(OptionError, match="the eyes of the driver"):
        keypoints(portrait, TALKING, eye_retargeting=True)
    assert len(keypoints(portrait, TALKING, lip_open_ratio=0.3)) == 100
    with pytest.raises(OptionError, match=r"the lips of the source.*landmarks"):
        keypoints(fake().prepare(face), TALKING, lip_open_ratio=0.3)


def as_published(arrays: Any, old: bool) -> dict[str, Any]:
    """The authors' layout of a template: a list of frames, every array with one entry."""
    rotation, eyes, lip = ("R_d", "c_d_eyes_lst", "c_d_lip_lst") if old else ("R", "c_eyes_lst", "c_lip_lst")
    names = {"scale": "scale", "R": rotation, "exp": "exp", "t": "t"}
    n = len(arrays["t"])
    return {
        "n_frames": n,
        "output_fps": int(arrays["output_fps"]),
        "motion": [{name: arrays[key][i : i + 1] for key, name in names.items()} for i in range(n)],
        eyes: [arrays["c_eyes"][i : i + 1] for i in range(n)],
        lip: [arrays["c_lip"][i : i + 1] for i in range(n)],
    }


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_authors_templates_are_read(tmp_path: Path, old: bool, protocol: int) -> None:
    with np.load(D1) as arrays:
        path = tmp_path / "d1.pkl"
        path.write_bytes(pickle.dumps(as_published(arrays, old), protocol=protocol))
    found, expected = read_motion(path), read_motion(D1)
    assert found.fps == expected.fps == 30
    assert len(found) == 16
    assert found.parameters.keys() == expected.parameters.keys()
    assert all(torch.equal(value, expected.parameters[name]) for name, value in found.parameters.items())


class Ran:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_templates_run_nothing_and_damage_is_named(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pkl"
    for evil in (Ran(trace), np.array([Ran(trace)], dtype=object), {"motion": [{"R": Ran(trace)}]}):
        path.write_bytes(pickle.dumps(evil))
        with pytest.raises(MediaError, match=r"evil\.pkl"):
            read_motion(path)
    assert not trace.exists()
    with np.load(D1) as file:
        arrays = dict(file)
    damaged = {
        "short": {**arrays, "exp": arrays["exp"][:3]},
        "lacking": {name: value for name, value in arrays.items() if name != "R"},
        "nan": {**arrays, "t": arrays["t"] * np.nan},
        "empty": {name: value[:0] if value.ndim else value for name, value in arrays.items()},
        "rate": {**arrays, "output_fps": np.array(0)},
    }
    for name, wrong in damaged.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **wrong)
        with pytest.raises(MediaError, match=name):
            read_motion(path)
    path.write_bytes(b"no template")
    with pytest.raises(MediaError):
        read_motion(path)


def test_a_recorded_driver_moves_like_the_driver(
    tmp_path: Path, face: Picture, wide: Clip, landmark_model: Path
) -> None:
    options = {"landmark_model": str(landmark_model)}
    path = fake().save_motion(wide, tmp_path / "motion.npz", **options)
    template = read_motion(path)
    assert template.fps == 20
    assert template.parameters["c_eyes"].shape == (3, 2)
    # What the fake networks say depends on how often they were asked.
    live = fake().prepare(face)
    direct = keypoints(live, wide)
    saved = fake().prepare(face)
    assert torch.allclose(keypoints(saved, path)[1:] - keypoints(saved, path)[:1], direct[1:] - direct[:1], atol=1e-2)
    # Every variant reads it.
    assert len(keypoints(fake("liveportrait-animals").prepare(face), path)) == 3
    with pytest.raises(OutputError):
        fake().save_motion(wide, path, **options)


def test_the_command_line_records_a_driver(
    tmp_path: Path, wide: Clip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thg_zoo.cli.motion.load", lambda *_, **__: fake())
    driving, out = tmp_path / "driving.mp4", tmp_path / "motion.npz"
    with VideoWriter(driving, wide.fps, wide.frames.shape[1:3]) as writer:
        writer.write(wide.frames)
    command = ["motion", "liveportrait", str(driving), "-o", str(out), "-q"]
    assert _main([*command, "crop_driving=never"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert (len(read_motion(out)), read_motion(out).fps) == (3, 20)
    assert _main(command) == 4


def test_a_picture_is_edited_by_options_alone(face: Picture) -> None:
    portrait = fake().prepare(face)
    still = portrait.animate(None)
    assert still.n_frames == 1
    turned = portrait.animate(None, yaw=20, smile=0.5)
    assert different(*(torch.from_numpy(animation.to_array()) for animation in (still, turned)))
    own = portrait.identity.person
    plain = portrait.animate(None, stitching=False).motion.parameters["driving"]
    # The page's editing keeps the translation's depth, which the source's key points lack.
    assert torch.allclose(plain[..., :2], own.keypoints[..., :2], atol=1e-5)


def test_keyframes_edit_over_time(tmp_path: Path, face: Picture, face_clip: Clip) -> None:
    path = tmp_path / "moves.yaml"
    path.write_text("fps: 10\nkeyframes: [{time: 0}, {time: 0.4, yaw: 20, eyes_open_ratio: 0.1}, {time: 0.8, yaw: 0}]")
    portrait = fake().prepare(face, **KNOWN)
    animation = portrait.animate(path, smile=0.3)
    assert (animation.n_frames, animation.fps) == (9, 10)
    over_time = keypoints(portrait, path, smile=0.3)
    assert torch.allclose(over_time[4:5], keypoints(portrait, None, smile=0.3, yaw=20, eyes_open_ratio=0.1), atol=1e-5)
    assert torch.allclose(over_time[0], over_time[8], atol=1e-5)
    assert different(over_time[1], over_time[0])
    moving = fake().prepare(face_clip, **KNOWN)
    assert moving.animate(path).n_frames == len(face_clip.frames)
    for keys, words in (({"yaw": 200}, "yaw"), ({"scale": 2}, "no slider"), ({"smiling": 1}, "smile")):
        with pytest.raises(OptionError, match=words):
            portrait.animate(Keyframes((0.0,), (keys,)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keyframes: [{time: 0}, {time: 0}]", "do not rise"),
        ("keyframes: [{time: 1}]", "do not rise"),
        ("keyframes: []", "do not rise"),
        ("keyframes: [{yaw: 3}]", "time"),
        ("keyframes: [{time: 0, yaw: much}]", "yaw"),
        ("keyframes: [{time: 0}]\nfps: -3", "-3"),
        ("keyframes: [{time: 0}]\ninterpolation: wild", "wild"),
        ("keyframes: [{time: 0}]\nframes: 3", "frames"),
        ("keyframes: [{time: 0}, {time: 1.0e+9}]", "hour"),
        ("[1, 2", "YAML"),
        ("3", "keyframes"),
    ],
)
def test_wrong_keyframes_are_named(tmp_path: Path, face: Picture, text: str, words: str) -> None:
    path = tmp_path / "moves.yaml"
    path.write_text(text)
    with pytest.raises((MediaError, InputError), match=words):
        fake().prepare(face).animate(path)
