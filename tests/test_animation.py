"""Saving: one complete file or nothing, sound in step, marked as synthetic, reported."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thg_zoo import clip
from thg_zoo.errors import OutputError
from thg_zoo.media.audio import read_audio
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader
from thg_zoo.motion import MotionTable
from thg_zoo.provenance import DIGITAL_SOURCE_TYPES
from toy import ToyAdapter, toy


def picture() -> NDArray[np.uint8]:
    return np.full((32, 48, 3), 40, np.uint8)


def tone(seconds: float, rate: int = 16000) -> tuple[NDArray[np.float32], int]:
    return np.sin(np.arange(int(seconds * rate)) * 0.1).astype(np.float32) * 0.5, rate


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out"])
def test_every_kind_of_output_has_all_frames(tmp_path: Path, name: str) -> None:
    animation = toy().animate(picture(), tone(1))
    written = animation.save(tmp_path / name)
    assert written == tmp_path / name
    assert [p.name for p in tmp_path.iterdir()] == [name]
    if name == "out":
        assert len(list(written.glob("*.png"))) == 25
        assert read_audio(written / "audio.wav").duration == pytest.approx(1, abs=0.01)
    else:
        assert sum(1 for _ in VideoReader(written)) == 25


def test_frames_survive_encoding(tmp_path: Path) -> None:
    animation = toy().animate(picture(), tone(1))
    animation.save(tmp_path / "out.mp4")
    decoded = [float(frame.mean()) for frame in VideoReader(tmp_path / "out.mp4")]
    assert decoded == pytest.approx([40 + i for i in range(25)], abs=2.5)


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.013, 7.4])
def test_sound_and_picture_end_within_a_frame(tmp_path: Path, seconds: float) -> None:
    toy().animate(picture(), tone(seconds)).save(tmp_path / "out.mp4")
    video = VideoReader(tmp_path / "out.mp4")
    frames = sum(1 for _ in video)
    sound = read_audio(tmp_path / "out.mp4").duration
    assert 0 <= frames / video.fps - Fraction(seconds).limit_denominator(16000) < Fraction(1, 25)
    # AAC comes in blocks of 1024 samples.
    assert float(sound) == pytest.approx(seconds, abs=0.065)


def test_the_sound_of_the_driver_is_the_sound_of_the_output(tmp_path: Path, speech_path: Path) -> None:
    toy().animate(picture(), speech_path).save(tmp_path / "out")
    original, kept = read_audio(speech_path), read_audio(tmp_path / "out" / "audio.wav")
    n = min(len(original.samples), len(kept.samples))
    assert abs(len(original.samples) - len(kept.samples)) <= 1
    assert np.abs(original.samples[:n] - kept.samples[:n]).max() < 1e-3


def test_a_source_video_keeps_its_sound_under_a_silent_driver(tmp_path: Path) -> None:
    toy().animate(picture(), tone(1)).save(tmp_path / "talk.mp4")
    silent = clip(np.stack([picture()] * 10), 25)
    animation = toy().animate(tmp_path / "talk.mp4", silent)
    assert animation.audio == tmp_path / "talk.mp4"
    animation.save(tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").has_audio


def test_cut_ends_the_sound_with_the_picture(tmp_path: Path) -> None:
    source = clip(np.stack([picture()] * 10), 25)
    toy().animate(source, tone(2), extend="cut").save(tmp_path / "out.mp4")
    assert sum(1 for _ in VideoReader(tmp_path / "out.mp4")) == 10
    assert float(read_audio(tmp_path / "out.mp4").duration) == pytest.approx(0.4, abs=0.065)


def test_cut_leaves_the_sound_alone_where_the_source_goes_on(tmp_path: Path) -> None:
    """As with motions that end a little before their sound: five frames of one of 0.3 s, over a source of 0.4 s."""
    for source in (clip(np.stack([picture()] * 10), 25), picture()):
        animation = toy().animate(source, tone(0.3), extend="cut")
        animation.motion = MotionTable({"step": torch.zeros(5)}, Fraction(25), "cut")
        written = animation.save(tmp_path / "out", overwrite=True)
        assert len(list(written.glob("*.png"))) == 5
        assert float(read_audio(written / "audio.wav").duration) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out"])
def test_outputs_say_that_they_are_synthetic(tmp_path: Path, name: str) -> None:
    written = toy().animate(picture(), tone(0.2)).save(tmp_path / name)
    file = written / "000000.png" if name == "out" else written
    content = file.read_bytes()
    assert (DIGITAL_SOURCE_TYPES + "compositeSynthetic").encode() in content
    assert b"thg-zoo" in content


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    animation = toy(batch_size=4).animate(picture(), tone(1), offset=3, seed=11)
    animation.save(tmp_path / "out.mp4", report=tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["options"]["offset"] == 3
    assert (report["seed"], report["batch_size"], report["frames"], report["fps"]) == (11, 4, 25, "25")
    assert report["size"] == [32, 48]
    assert report["versions"]["torch"]
    assert report["timings"]["render"] > 0
    assert report["synthetic_media"]["digital_source_type"].startswith(DIGITAL_SOURCE_TYPES)


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render, calls = ToyAdapter.render, iter(range(100))

    def fail_third(self: ToyAdapter, *arguments: object) -> object:
        if next(calls) == 2:
            raise RuntimeError("network broke")
        return render(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ToyAdapter, "render", fail_third)
    with pytest.raises(RuntimeError, match="network broke"):
        toy(batch_size=5).animate(picture(), tone(1)).save(tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_the_report_folder_must_exist_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        toy().animate(picture(), tone(0.2)).save(tmp_path / "out.mp4", report=tmp_path / "nowhere" / "report.json")
    with pytest.raises(OutputError, match="report"):
        toy().animate(picture(), tone(0.2)).save(tmp_path / "out.mp4", report=tmp_path / ("r" * 300))
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_utf_8_do_not_cost_the_report(tmp_path: Path) -> None:
    animation = toy().animate(picture(), tone(0.2))
    animation.save(tmp_path / "out.mp4")
    assert animation.report is not None
    dataclasses.replace(animation.report, source="\udcff.png").write(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["source"] == "\udcff.png"
    with pytest.raises(OutputError, match="cannot be written"):
        animation.report.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "report.json"]
