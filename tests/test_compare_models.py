"""Comparing models: files, rows, failures, options, and that nothing is left of what did not finish."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import thg_zoo
from thg_zoo.cli.compare import options_by_model
from thg_zoo.cli.main import _main
from thg_zoo.comparison import trial
from thg_zoo.comparison.page import best_of
from thg_zoo.comparison.results import Row, to_csv
from thg_zoo.errors import (
    Cancelled,
    MediaError,
    OptionError,
    OutputError,
    ThgZooError,
    UnknownModelError,
    UsageError,
)
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import write_image
from thg_zoo.media.probe import probe
from thg_zoo.run import Progress

SETTING: dict[str, Any] = {"weights": "random", "device": "cpu", "metric_weights": "random"}
FEW = ("cpbd", "jitter", "lip_loudness")


@pytest.fixture(scope="module")
def done(
    face: NDArray[np.uint8], short_speech: Audio, tmp_path_factory: pytest.TempPathFactory
) -> tuple[thg_zoo.Comparison, list[Progress]]:
    """Two that take speech, one that does not; measured, with random weights."""
    output = tmp_path_factory.mktemp("compare") / "compare.mp4"
    states: list[Progress] = []
    comparison = thg_zoo.compare(
        "warp,fomm,wav2lip",
        face,
        short_speech,
        output,
        options={"wav2lip": {"detector": "mtcnn"}, "warp": {"head_motion": 0.5}},
        metrics=FEW,
        progress=states.append,
        **SETTING,
    )
    return comparison, states


def test_rows_and_files(done: tuple[thg_zoo.Comparison, list[Progress]]) -> None:
    comparison, states = done
    warp, fomm, wav2lip = comparison.rows
    assert [row.model for row in comparison.rows] == ["warp", "fomm", "wav2lip"]
    assert [row.status for row in comparison.rows] == ["ok", "failed", "ok"]
    assert "audio" in fomm.error
    assert fomm.remedy
    assert fomm.exit_code == 3
    for row in (warp, wav2lip):
        assert row.file is not None
        assert probe(row.file).n_frames == row.frames
        assert row.file.parent.parent == comparison.folder
        assert row.timings is not None
        assert row.timings.cold == row.timings.load + row.timings.file_to_file
        assert row.timings.per_frame == pytest.approx(row.timings.file_to_file / row.frames)
        assert row.timings.warm is None
        assert row.memory is not None
        assert row.memory.peak >= row.memory.before > 0
        assert set(row.scores) | set(row.skipped) == set(FEW)
    assert (warp.random_weights, wav2lip.random_weights) == (False, True)
    assert warp.run["options"]["head_motion"] == 0.5
    for path in (comparison.grid, comparison.contact_sheet, comparison.report):
        assert path.stat().st_size > 1000
    assert probe(comparison.grid).has_audio
    names = {path.name for path in comparison.grid.parent.iterdir()}
    assert names == {"compare.mp4", "compare"}
    stages = {state.stage for state in states}
    assert {"warp: load", "warp: render", "wav2lip: measure: frames", "grid"} <= stages


def test_results_as_json_and_csv(done: tuple[thg_zoo.Comparison, list[Progress]]) -> None:
    comparison, _ = done
    data = json.loads(comparison.results_json.read_text())
    assert data["codec"].startswith("H.264")
    assert data["versions"]["torch"]
    assert [m["status"] for m in data["models"]] == ["ok", "failed", "ok"]
    assert (comparison.folder / data["models"][0]["file"]).is_file()
    assert data["models"][0]["scores"] == dict(comparison.rows[0].scores)
    lines = list(csv.DictReader(comparison.results_csv.open()))
    assert [line["model"] for line in lines] == ["warp", "fomm", "wav2lip"]
    assert float(lines[0]["cpbd"]) == comparison.rows[0].scores["cpbd"]
    assert lines[1]["cpbd"] == ""


def test_the_report_stands_alone(done: tuple[thg_zoo.Comparison, list[Progress]]) -> None:
    comparison, _ = done
    text = comparison.report.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text), "it needs no other file"
    assert "http" not in re.sub(r'xmlns="[^"]*"|&quot;http[^&]*', "", text).split("<h2>Conditions")[0]
    for needed in ("Random weights", "fomm failed", "CPBD", "Mouth and sound", "not measured", "H.264", "numpy"):
        assert needed in text
    assert text.count("<svg") >= 6


def test_best_values_follow_the_direction() -> None:
    rows = [
        Row("a", "ok", scores={"psnr": 30, "lse_d": 9, "av_offset": -1, "ear": 0.3}),
        Row("b", "ok", scores={"psnr": 20, "lse_d": 7, "av_offset": 4, "ear": 0.2}),
    ]
    found = {name: best_of(name, rows) for name in ("psnr", "lse_d", "av_offset", "ear", "ssim")}
    untrained = [*rows, Row("c", "ok", scores={"psnr": 50}, random_weights=True)]
    assert best_of("psnr", untrained) == "a", "values of random weights mean nothing"
    assert found == {"psnr": "a", "lse_d": "b", "av_offset": "a", "ear": None, "ssim": None}
    assert to_csv(rows).splitlines()[0].endswith("psnr,lse_d,av_offset,ear")


def test_a_bug_in_one_model_does_not_stop_the_others(
    face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = trial.load

    def broken(name: str, **arguments: Any) -> Any:
        if name == "wav2lip":
            raise RuntimeError("shapes differ")
        return load(name, **arguments)

    monkeypatch.setattr(trial, "load", broken)
    found = thg_zoo.compare(["wav2lip", "warp"], face, short_speech, tmp_path / "a.gif", metrics=(), **SETTING)
    assert [row.status for row in found.rows] == ["failed", "ok"]
    assert "shapes differ" in found.rows[0].error
    assert found.grid.suffix == ".gif"
    monkeypatch.undo()
    missing = {**SETTING, "weights": tmp_path / "missing"}
    with pytest.raises(ThgZooError, match=r"wav2lip: .*missing do not exist") as caught:
        thg_zoo.compare(["wav2lip"], face, short_speech, tmp_path / "b.mp4", **missing)
    assert caught.value.exit_code == 5
    assert {p.name for p in tmp_path.iterdir()} == {"a.gif", "a"}


def test_another_driver_for_one_model_and_a_video_source(
    face: NDArray[np.uint8], face_clip: Clip, short_speech: Audio, tmp_path: Path
) -> None:
    """A video of another size as source, speech as driver, and the video as the driver of one model."""
    large = Clip(np.repeat(face_clip.frames, 2, axis=1), face_clip.fps)
    found = thg_zoo.compare(
        ["warp"], large, short_speech, tmp_path / "a.mp4", drivers={"warp": face_clip}, metrics=["cpbd"], **SETTING
    )
    (row,) = found.rows
    assert row.ok
    assert row.driver == "the driving clip"
    assert row.size == (512, 256)


def test_refusals_before_any_work(
    face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def attempt(models: Any, output: Any = tmp_path / "out.mp4", driver: Any = short_speech, **more: Any) -> None:
        thg_zoo.compare(models, face, driver, output, **{**SETTING, **more})

    with pytest.raises(UnknownModelError, match="warpp"):
        attempt("warpp")
    with pytest.raises(UsageError, match="twice"):
        attempt("warp,warp")
    with pytest.raises(UsageError, match="No model"):
        attempt(" , ")
    with pytest.raises(OptionError, match="head_motions"):
        attempt("warp", options={"warp": {"head_motions": 1}})
    with pytest.raises(UsageError, match="not among"):
        attempt("warp", options={"fomm": {}})
    with pytest.raises(UsageError, match="metric"):
        attempt("warp", metrics=["beauty"])
    with pytest.raises(MediaError):
        attempt("warp", driver=tmp_path / "missing.wav")
    with pytest.raises(MediaError):
        attempt("warp", reference=tmp_path / "missing.mp4")
    with pytest.raises(OutputError, match="suffix"):
        attempt("warp", tmp_path / "frames")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    with pytest.raises(OutputError, match="in the way"):
        attempt("warp", tmp_path / "mine.mp4", overwrite=True)
    with pytest.raises(Cancelled):
        attempt("warp", cancel=lambda: True)
    with pytest.raises(Cancelled):
        attempt("warp", None, cancel=lambda: True)
    assert {p.name for p in tmp_path.iterdir()} == {"mine"}


def test_overwriting_replaces_both(face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path) -> None:
    output = tmp_path / "a.mp4"
    first = thg_zoo.compare("warp", face, short_speech, output, metrics=(), **SETTING)
    before = first.results_json.read_text()
    with pytest.raises(OutputError, match="exists"):
        thg_zoo.compare("warp", face, short_speech, output, metrics=(), **SETTING)
    again = thg_zoo.compare("warp", face, short_speech, output, metrics=(), warm=True, overwrite=True, **SETTING)
    assert again.rows[0].timings is not None
    assert again.rows[0].timings.warm is not None
    assert again.results_json.read_text() != before
    assert {p.name for p in tmp_path.iterdir()} == {"a.mp4", "a"}


def test_options_on_the_command_line() -> None:
    found = options_by_model(["wav2lip", "warp"], ["wav2lip.detector=mtcnn", "head_motion=0.5"])
    assert found == {"wav2lip": {"detector": "mtcnn"}, "warp": {"head_motion": 0.5}}
    both = options_by_model(["fomm", "facevid2vid"], ["crop=none"])
    assert both == {"fomm": {"crop": "none"}, "facevid2vid": {"crop": "none"}}
    with pytest.raises(UsageError, match="head_motionn"):
        options_by_model(["warp"], ["head_motionn=1"])
    with pytest.raises(UsageError, match="not among"):
        options_by_model(["warp"], ["fomm.crop=none"])


@pytest.fixture
def files(face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path) -> Path:
    write_image(tmp_path / "face.png", face)
    soundfile.write(tmp_path / "speech.wav", short_speech.samples, short_speech.sample_rate)
    return tmp_path


def test_the_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = [f"{files}/face.png", f"{files}/speech.wav", "--weights", f"{files}/missing"]
    given = ["compare", "warp,fomm", *inputs]
    output = ["-o", f"{files}/out.mp4", "--metrics", "cpbd"]
    assert _main([*given, *output]) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [f"{files}/out.mp4", f"{files}/out/report.html"]
    assert "CPBD" in shown.err
    assert "fomm" in shown.err
    assert _main([*given, *output]) == 4
    assert _main(["compare", "wav2lip", *inputs, "-o", f"{files}/no.mp4"]) == 5
    assert _main(["compare", "fomm", *inputs, "-o", f"{files}/no.mp4"]) == 3, "the driver, before its weights"
    assert _main(["compare", "warp", f"{files}/face.png"]) == 2
    assert _main([*given, "--driver", "warp"]) == 2
    assert not (files / "no").exists()
