"""LivePortrait through the public calls: pictures and videos, editing, crops, sound, and from the hub to the file."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import thg_zoo
from liveportrait_fakes import (  # noqa: F401 (fixtures)
    D1,
    TALKING,
    Blinking,
    Picture,
    different,
    fake,
    keypoints,
    landmark_model,
    onnx,
)
from thg_zoo.adapters.liveportrait.landmark_network import read_landmark_network
from thg_zoo.adapters.liveportrait.networks import build
from thg_zoo.cli.main import _main
from thg_zoo.errors import CheckpointError, FaceError, MediaError, OptionError, UsageError
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import read_image
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.memory import MemoryMeter
from thg_zoo.spec import WeightFile
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe
from weights_setup import Machine, machine, saved  # noqa: F401 (fixture)


def test_relative_movement_begins_at_the_source(face: Picture) -> None:
    portrait = fake().prepare(face)
    moved = keypoints(portrait, TALKING, stitching=False)
    assert len(moved) == 100
    assert portrait.animate(TALKING).fps == 20
    own = portrait.identity.person.keypoints
    assert torch.allclose(moved[:1], own, atol=1e-5)
    assert (moved - own).abs().amax() > 0.02
    # So the published factor of expression-friendly, source over first driven key points, is 1.
    friendly = keypoints(portrait, TALKING, stitching=False, driving_option="pose-friendly")
    assert torch.allclose(moved, friendly, atol=1e-5)


def test_speech_is_refused_with_the_models_that_take_it(face: Picture, short_speech: Audio) -> None:
    with pytest.raises(MediaError, match=r"audio.*wav2lip"):
        fake().prepare(face).animate(short_speech)


def test_nothing_outside_the_crop_changes(face: Picture) -> None:
    portrait = fake().prepare(face, scale=1.5)
    frame = next(portrait.animate(D1).frames())
    assert frame.shape == face.shape
    assert np.array_equal(frame[180:], face[180:])
    # Inside, the fake frame is the crop itself, brighter: the centre of the face is where it was.
    centre = np.s_[70:100, 90:130]
    assert np.corrcoef(frame[centre].ravel(), face[centre].ravel())[0, 1] > 0.95
    assert next(portrait.animate(D1, pasteback=False).frames()).shape == (512, 512, 3)


def test_a_box_stands_for_the_face(face: Picture) -> None:
    portrait = fake("liveportrait-animals").prepare(face, crop_box=(40, 20, 200, 180), stitching=True)
    frame = next(portrait.animate(TALKING).frames())
    inside = np.zeros(frame.shape[:2], bool)
    inside[18:182, 38:202] = True
    assert np.array_equal(frame[~inside], face[~inside])
    assert not np.array_equal(frame[inside], face[inside])
    with pytest.raises(OptionError, match="crop box"):
        fake().prepare(face, crop_box=(40, 20, 300, 180))


def test_frames_without_a_face(face_clip: Clip) -> None:
    frames = np.concatenate([np.repeat(face_clip.frames[:1] // 30, 9, axis=0), face_clip.frames])
    clip = Clip(frames, face_clip.fps)

    def prepared(**options: Any) -> Any:
        adapter = fake()
        adapter._detector = Blinking()  # type: ignore[assignment]
        return adapter.prepare(clip, **options)

    with pytest.raises(FaceError, match="frame 0"):
        prepared()
    portrait = prepared(missing_face="pass")
    shown = portrait.animate(TALKING).to_array()
    assert len(shown) == len(frames)
    assert np.array_equal(shown[:9], frames[:9])
    assert not np.array_equal(shown[9:], frames[9:])
    with pytest.raises(OptionError, match="without a face"):
        portrait.animate(TALKING, pasteback=False)
    clip = Clip(frames[:9], clip.fps)
    with pytest.raises(FaceError, match="No face") as caught:
        prepared(missing_face="pass")
    assert "crop_box" in caught.value.remedy
    with pytest.raises(FaceError, match="Face 3, counted from the left"):
        prepared(missing_face="pass", face="3")


def test_a_video_source_lasts_as_long_as_both(face_clip: Clip) -> None:
    portrait = fake().prepare(face_clip)
    animation = portrait.animate(TALKING)
    assert (animation.fps, animation.n_frames, len(animation.to_array())) == (25, 7, 7)
    fast = fake().prepare(Clip(face_clip.frames, Fraction(2)))
    assert fast.animate(D1).n_frames == 2
    assert fast.animate(D1, sync="frame").n_frames == 7
    # A picture drives all of it.
    assert portrait.animate(face_clip.frames[0]).n_frames == 7


def test_smoothing_reaches_over_the_whole_video(face_clip: Clip) -> None:
    portrait = fake().prepare(face_clip)

    def trembling(variance: float) -> float:
        moved = keypoints(portrait, TALKING, driving_smooth_observation_variance=variance, stitching=False)
        return float(moved.diff(n=2, dim=0).abs().mean())

    assert trembling(1e-2) < trembling(1e-11) / 2


def test_the_face_that_is_meant(face: Picture) -> None:
    two = np.concatenate([face, face[:, ::-1]], axis=1)
    adapter = fake()
    adapter._detector = Mtcnn("cpu")
    first, second = (adapter.prepare(two, face=n).identity.sights[0].matrix for n in ("0", "1"))
    assert first[0, 2] - second[0, 2] > 100
    clip = Clip(two[None].repeat(2, axis=0), Fraction(25))
    portrait = adapter.prepare(face)
    views = []
    for n in ("0", "1"):
        adapter._networks.seen.clear()  # type: ignore[attr-defined]
        portrait.animate(clip, driving_face=n)
        views.append(adapter._networks.seen[0])  # type: ignore[attr-defined]
    assert different(*views)


def test_landmarks(tmp_path: Path, face: Picture, landmark_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    five, many = (fake().prepare(face, landmarks=n, landmark_model=str(landmark_model)).identity for n in ("5", "203"))
    assert five.person.eyes is None
    assert many.person.eyes is not None
    assert many.person.eyes[0, 0] == pytest.approx(1 / 3, rel=1e-3)
    assert many.person.lip is not None
    assert different(torch.from_numpy(five.sights[0].matrix), torch.from_numpy(many.sights[0].matrix))
    whole = fake().prepare(face, landmark_model=str(landmark_model), do_crop=False).identity
    assert whole.person.eyes is not None
    assert whole.person.eyes[0, 0] == pytest.approx(1 / 3, rel=1e-3)
    # Random weights fetch nothing.
    assert fake().prepare(face).identity.person.eyes is None
    wrong = tmp_path / "wrong.onnx"
    for content in (b"", b"no network", onnx({"points": np.zeros((1, 406), np.float32)})):
        wrong.write_bytes(content)
        with pytest.raises(CheckpointError, match="wrong"):
            read_landmark_network(wrong)
    with pytest.raises(CheckpointError, match="none"):
        read_landmark_network(tmp_path / "none.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"thg-zoo\[landmarks\]"):
        fake().prepare(face, landmarks="203", landmark_model=str(landmark_model))


def test_the_command_line_edits_without_a_driver(
    face_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from thg_zoo.cli import run as command

    monkeypatch.setattr(command, "load", lambda *_, **__: fake())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moves.yaml").write_text("keyframes: [{time: 0}, {time: 0.2, yaw: 9}]")
    assert _main(["run", "liveportrait", str(face_path), "yaw=10", "smile=0.5", "-q"]) == 0
    assert read_image(tmp_path / "astronaut-liveportrait.png").shape == read_image(face_path).shape
    assert _main(["run", "liveportrait", str(face_path), "moves.yaml", "smile=0.5", "-q"]) == 0
    assert (tmp_path / "astronaut-moves-liveportrait.mp4").is_file()
    assert _main(["run", "liveportrait", str(face_path), str(TALKING), "-o", "one.png"]) == 4
    assert "100 frames" in " ".join(capsys.readouterr().err.split())
    assert _main(["run", "wav2lip", str(face_path)]) == 2
    assert "needs a driver" in capsys.readouterr().err


# From the hub to the file, with real networks.


@pytest.fixture
def served(machine: Machine, landmark_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published layout on the local hub, with seeded weights and the small landmark network."""
    described = describe("liveportrait")
    with empty_networks():
        networks = build()
    fill_networks(networks, described.variant, "random")

    def on_hub(file: WeightFile) -> WeightFile:
        content = landmark_model.read_bytes()
        if file.parts:
            states = {name: networks[name].state_dict() for name in file.parts}
            content = saved(states if len(states) > 1 else next(iter(states.values())))
        source = next(s for s in file.sources if s.kind == "huggingface")
        sha256 = machine.hub.add(source.repo_id, source.path, content)
        pinned = (dataclasses.replace(source, revision=machine.hub.commit),)
        return dataclasses.replace(file, sha256=sha256, size=len(content), sources=pinned)

    variant = dataclasses.replace(described.variant, files=tuple(map(on_hub, described.variant.files)))
    extras = {name: on_hub(file) for name, file in described.spec.extras.items()}
    model = dataclasses.replace(described, spec=dataclasses.replace(described.spec, extras=extras), variant=variant)
    monkeypatch.setattr("thg_zoo.zoo._registry", lambda: {"liveportrait": model})
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000_000)


@pytest.mark.slow
def test_from_the_hub_to_the_file(
    served: None, machine: Machine, face: Picture, face_path: Path, face_clip: Clip, short_speech: Audio, tmp_path: Path
) -> None:
    driving, template, report = tmp_path / "driving.mp4", tmp_path / "template.npz", tmp_path / "report.json"
    with VideoWriter(driving, 25, face.shape[:2], audio=short_speech) as writer:
        writer.write(face_clip.frames[:2])
    with np.load(TALKING) as arrays:
        np.savez(template, **{name: value[:60:30] if value.ndim else value for name, value in arrays.items()})
    runs = {
        "template.mp4": [face_path, template],
        "video.mp4": [face_path, driving, "lip_retargeting=true"],
        "moving.mp4": [driving, template],
        "edited.png": [face_path, "yaw=20", "eyes_open_ratio=0.1"],
    }
    for name, arguments in runs.items():
        out = tmp_path / name
        command = ["run", "liveportrait", *map(str, arguments), "-o", str(out), "--device", "cpu"]
        assert _main([*command, "--report", str(report), "-q"]) == 0
        assert report.read_text(encoding="utf-8").count('"verified": "sha256"') == 5
        if name.endswith(".png"):
            frames = [read_image(out)]
        else:
            with VideoReader(out) as reader:
                frames = list(reader)
            assert len(frames) == 2
            assert probe(out).has_audio == (name != "template.mp4")
        source = read_image(face_path) if arguments[0] == face_path else face_clip.frames[0]
        changed = np.abs(frames[0].astype(int) - source).mean(axis=2) > 24
        assert 0.05 < changed.mean() < 0.8
        assert changed[-40:, -40:].mean() < 0.01
    assert len(machine.hub.bodies("liveportrait/landmark.onnx")) == 1


@pytest.mark.slow
def test_compiled_networks_make_the_same_frames(face: Picture) -> None:
    model = thg_zoo.load("liveportrait", weights="random", device="cpu")
    expected = next(model.prepare(face).animate(D1).frames()).astype(int)
    found = next(model.prepare(face, compile=True).animate(D1).frames()).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.slow
def test_more_of_a_source_video_takes_no_more_memory(face_clip: Clip, tmp_path: Path) -> None:
    template = tmp_path / "long.npz"
    with np.load(TALKING) as arrays:
        np.savez(template, **{name: np.concatenate([v] * 10) if v.ndim else v for name, v in arrays.items()})
    peaks = []
    for seconds in (15, 45):
        path = tmp_path / f"{seconds}.mp4"
        with VideoWriter(path, 25, face_clip.frames.shape[1:3]) as writer:
            for i in range(25 * seconds):
                writer.write(face_clip.frames[i % 7])
        meter = MemoryMeter()
        portrait = fake().prepare(path)
        animation = portrait.animate(template)
        animation.save(tmp_path / f"{seconds}-out.mp4")
        assert animation.report is not None
        assert animation.report.frames == 25 * seconds
        peaks.append(meter.result().peak)
    # Kept, the further frames would take 147 MB.
    assert peaks[1] - peaks[0] < 70e6
