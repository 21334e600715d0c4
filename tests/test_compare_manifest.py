"""Many pairs: one line each, a table with mean and spread, and a restart that does again only what is missing."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from thg_zoo.cli.main import _main
from thg_zoo.comparison.manifest import _pairs, compare_many
from thg_zoo.comparison.summaries import ModelSummary, Spread, missing_metrics, table_csv, table_markdown
from thg_zoo.errors import ManifestError
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import write_image
from thg_zoo.media.writer import VideoWriter

SETTING: dict[str, Any] = {"device": "cpu", "workers": 1, "metrics": ["psnr", "cpbd"]}


class Interrupted(Exception):
    """Stands for Ctrl-C after the first finished pair."""


@pytest.fixture
def manifest(face: NDArray[np.uint8], short_speech: Audio, face_clip: Clip, tmp_path: Path) -> Path:
    """Two good pairs, one with a reference, and one whose source shows no face."""
    write_image(tmp_path / "face.png", face)
    write_image(tmp_path / "wall.png", np.full_like(face, 128))
    soundfile.write(tmp_path / "a.wav", short_speech.samples[:4000], short_speech.sample_rate)
    soundfile.write(tmp_path / "b.wav", short_speech.samples[4000:8000], short_speech.sample_rate)
    with VideoWriter(tmp_path / "true.mp4", face_clip.fps, (256, 256)) as writer:
        writer.write(face_clip.frames)
    path = tmp_path / "pairs.csv"
    path.write_text("source,driver,reference\nface.png,a.wav,true.mp4\nface.png,b.wav,\nwall.png,a.wav,\n")
    return path


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_an_interrupted_run_goes_on_and_does_nothing_twice(manifest: Path) -> None:
    output = manifest.parent / "out"

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "job":
            raise Interrupted

    with pytest.raises(Interrupted):
        compare_many("warp", manifest, output, notify=interrupt, **SETTING)
    (first,) = lines(output)
    videos = {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")}
    (summary,) = compare_many("warp", manifest, output, **SETTING)
    after = lines(output)
    assert len(after) == 3
    assert after[0] == first
    assert {path: path.stat().st_mtime_ns for path in videos if path.exists()} == videos
    assert (summary.done, summary.failed) == (2, 1)
    assert summary.values["cpbd"].n == 2
    assert summary.values["psnr"].n == 1
    scores = [line["value"]["scores"]["cpbd"] for line in after if line["status"] == "done"]
    assert summary.values["cpbd"].mean == pytest.approx(np.mean(scores))
    assert summary.values["cpbd"].deviation == pytest.approx(np.std(scores, ddof=1))
    assert (
        "no reference"
        in next(line for line in after if "psnr" in line["value"].get("not_computed", {}))["value"]["not_computed"][
            "psnr"
        ]
    )
    assert summary.skipped == {}, "both metrics have values of some pairs"
    (cause,) = summary.causes
    assert "FaceError" in cause
    rows = list(csv.DictReader((output / "models.csv").open()))
    assert rows[0]["model"] == "warp"
    assert float(rows[0]["cpbd_mean"]) == summary.values["cpbd"].mean
    assert {path.name for path in output.iterdir()} >= {"models.csv", "results.jsonl", "summary.json", "videos"}
    assert not (output / ".thg-zoo-work").exists(), "what was unfinished is cleared away"
    begin = (output / "results.jsonl").read_bytes()
    assert compare_many("warp", manifest, output, **SETTING) == [summary]
    assert (output / "results.jsonl").read_bytes() == begin


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("source,driver\nface.png,missing.wav\n", "missing.wav"),
        ("source,driver,rating\nface.png,a.wav,5\n", "rating"),
        ("source,driver\n", "no lines"),
        ("source\nface.png\n", "driver"),
    ],
)
def test_a_wrong_manifest_starts_nothing(manifest: Path, text: str, problem: str) -> None:
    manifest.write_text(text)
    with pytest.raises(ManifestError, match=problem):
        compare_many("warp", manifest, manifest.parent / "out", **SETTING)
    assert not (manifest.parent / "out" / "results.jsonl").exists()
    assert _main(["compare", "warp", "--manifest", str(manifest), "-o", str(manifest.parent / "out")]) == 2


def test_a_line_without_a_reference_has_none(manifest: Path) -> None:
    manifest = manifest.with_suffix(".jsonl")
    manifest.write_text('{"source": "face.png", "driver": "a.wav", "reference": null}\n')
    assert [set(pair) for pair in _pairs(manifest)] == [{"source", "driver"}]


def test_tables() -> None:
    summaries = [
        ModelSummary("a", 3, 0, {"psnr": Spread(30.0, 1.5, 3), "s_per_frame": Spread(0.02, 0.0, 3)}, {}),
        ModelSummary("b", 1, 2, {"cpbd": Spread(0.5, 0.0, 1)}, {"FaceError: no face": 2}),
    ]
    skipped = {"niqe": "needs pyiqa", "fid": "no reference video was given", "cpbd": "no frames"}
    summaries[0] = dataclasses.replace(summaries[0], skipped=skipped)
    assert missing_metrics(summaries) == {"no reference video was given": ["FID"], "needs pyiqa": ["NIQE"]}
    text = table_csv(summaries).splitlines()
    assert text[0] == (
        "model,done,failed,s_per_frame_mean,s_per_frame_std,s_per_frame_n,"
        "psnr_mean,psnr_std,psnr_n,cpbd_mean,cpbd_std,cpbd_n"
    )
    assert text[1] == "a,3,0,0.02,0.0,3,30.0,1.5,3,,,0"
    assert "| a | 3 | 0 | 0.02 ± 0 | 30 ± 1.5 | - |" in table_markdown(summaries)
