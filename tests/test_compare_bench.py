"""Timing models: settings, the plain loop beside them, memory measured for each, output for people and programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

import thg_zoo
from thg_zoo.bench import Measurement, Timed, bench, chart, page, to_json
from thg_zoo.bench.inputs import square_picture, write_inputs
from thg_zoo.bench.plain import run_plain
from thg_zoo.bench.timing import run_as_used
from thg_zoo.cli.main import _main
from thg_zoo.errors import Cancelled, UnknownModelError, UsageError
from thg_zoo.media.audio import read_audio
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader
from thg_zoo.memory import MemoryMeter, release
from thg_zoo.nn.as_written import as_written
from thg_zoo.nn.winograd import WinogradConv
from thg_zoo.run import Progress


@pytest.fixture(scope="module")
def measured(face_path: Path, speech_path: Path) -> tuple[list[Measurement], list[Progress]]:
    states: list[Progress] = []
    found = bench(
        ["warp"],
        face_path,
        speech_path,
        size=128,
        seconds=0.4,
        batch_sizes=(1, 8),
        rounds=2,
        device="cpu",
        progress=states.append,
    )
    return list(found), states


def test_every_setting_is_measured_and_the_plain_loop_once(
    measured: tuple[list[Measurement], list[Progress]],
) -> None:
    found, states = measured
    assert [(m.batch_size, m.precision, m.error, m.plain_error) for m in found] == [
        (1, "float32", "", ""),
        (8, "float32", "", ""),
    ]
    for m in found:
        assert m.timed is not None
        assert m.timed.frames == 10
        assert m.timed.size == (128, 128)
        assert m.timed.per_frame == pytest.approx(1000 * m.timed.warm / 10)
        assert 0 < sum(m.timed.stages.values()) * 10 / 1000 + sum(m.timed.once.values()) <= m.timed.warm * 1.05
        assert m.timed.processor > 0
        assert m.timed.memory is not None
        assert m.timed.memory.peak >= m.timed.memory.before > 0
        assert m.plain is not None
        assert m.times_plain == pytest.approx(m.plain.warm / m.timed.warm)
    plain = found[0].plain
    assert plain is found[1].plain
    assert plain is not None
    assert (plain.batch_size, plain.frames, plain.size) == (1, 10, (128, 128))
    assert sum(plain.stages.values()) * 10 / 1000 + sum(plain.once.values()) <= plain.warm
    assert [(s.stage, s.done, s.total) for s in states] == [
        ("warp", 0, 2),
        ("warp: plain loop", 0, 2),
        ("warp", 1, 2),
        ("bench", 2, 2),
    ]


@pytest.mark.parametrize(
    ("model", "options"), [("warp", {}), ("wav2lip", {"detector": "mtcnn"}), ("fomm", {"size": "128"})]
)
def test_the_plain_loop_makes_the_same_video(
    model: str, options: dict[str, Any], face_path: Path, speech_path: Path, tmp_path: Path
) -> None:
    """Layers are those of the file, the source is encoded for every frame where that is published, and nothing else."""
    seconds = 0.16 if model == "fomm" else 0.32
    inputs = write_inputs(tmp_path, square_picture(face_path, 192), read_audio(speech_path), seconds)
    seen = []
    for plain in (False, True):
        if plain:
            with as_written():
                adapter = thg_zoo.load(model, weights="random", device="cpu")
                encode, calls = adapter.encode, []
                adapter.encode = lambda *a, encode=encode, calls=calls: (calls.append(1), encode(*a))[1]  # type: ignore[method-assign]
                made = run_plain(adapter, inputs, options)
                # Once when the source is prepared.
                assert len(calls) == (1 + made.frames if adapter.encodes_every_frame else 1)
        else:
            adapter = thg_zoo.load(model, weights="random", device="cpu")
            made = run_as_used(adapter, inputs, options)
        layers = [layer for network in adapter.networks.values() for layer in network.modules()]
        if model == "fomm":
            assert any(isinstance(layer, WinogradConv) for layer in layers) is not plain
            assert any(isinstance(layer, nn.Identity) for layer in layers) is not plain
        reader = VideoReader(inputs.output)
        assert reader.info.has_audio is ("audio" in adapter.spec.drivers)
        seen.append(np.stack(list(reader)).astype(int))
        assert (made.frames, made.size) == (len(seen[-1]), seen[-1].shape[1:3])
    assert np.abs(seen[0] - seen[1]).mean() < 0.1, "up to rounding, which encoding spreads"
    assert probe(inputs.output).n_frames == len(seen[0])


def test_a_plain_loop_can_be_left_out_or_fail(
    face_path: Path, speech_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"seconds": 0.2, "size": 96, "device": "cpu"}
    (found,) = bench(["warp"], face_path, speech_path, plain=False, **given)
    assert found.timed is not None
    assert found.plain is found.times_plain is None

    def broken(setting: object) -> Timed:
        raise UsageError("It has none.", "")

    monkeypatch.setattr("thg_zoo.bench.measuring.time_plain", broken)
    (found,) = bench(["warp"], face_path, speech_path, **given)
    assert found.timed is not None
    assert found.plain is None
    assert "It has none" in found.plain_error


def test_what_cannot_run_is_said(face_path: Path, speech_path: Path) -> None:
    (found,) = bench(["warp"], face_path, speech_path, seconds=0.2, precisions=["float8"], device="cpu")
    assert "float8" in found.error
    assert found.timed is found.plain is None
    with pytest.raises(UnknownModelError):
        next(bench(["warpp"], face_path, speech_path))
    with pytest.raises(UsageError, match="timed"):
        next(bench(["warp"], face_path, speech_path, seconds=0.01))
    with pytest.raises(Cancelled):
        next(bench(["warp"], face_path, speech_path, cancel=lambda: True))


def test_json_and_charts(measured: tuple[list[Measurement], list[Progress]]) -> None:
    found, _ = measured
    data = json.loads(to_json(found))
    assert data["versions"]["torch"]
    assert [m["timed"]["batch_size"] for m in data["measurements"]] == [1, 8]
    assert data["measurements"][0]["times_plain"] == pytest.approx(found[0].times_plain)
    assert data["measurements"][0]["plain"]["per_frame"] > 0
    text = page([*found, Measurement("fomm", 1, "float32", error="no")])
    assert text.count("<svg") == 4
    for needed in ("warp, 8 at once, float32", "warp, plain loop, float32", "Times as fast"):
        assert needed in text
    assert "fomm" not in text
    assert chart(found, "a.html").decode() == page(found)
    assert chart(found, "a.SVG").startswith(b"<svg")
    picture = np.array(Image.open(io.BytesIO(chart(found, "a.png"))))
    assert min(picture.shape[:2]) > 800
    assert picture[0, 0].tolist() == [255, 255, 255]
    with pytest.raises(UsageError, match=r"\.png"):
        chart(found, "a.pdf")
    nothing = [Measurement("fomm", 1, "float32", error="no")]
    assert "Nothing could be measured" in page(nothing)
    assert chart(nothing, "a.png")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "bench.json", tmp_path / "bench.png"]
    given = ["bench", "warp", "--seconds", "0.2", "--size", "128", "--device", "cpu"]
    assert _main([*given, "--json", str(files[0]), "--chart", str(files[1])]) == 0
    shown = capsys.readouterr().out
    assert "warp" in shown
    assert "plain" in shown
    assert Image.open(files[1]).size[0] > 800
    assert json.loads(files[0].read_text())["measurements"][0]["plain"]["frames"] == 5
    assert _main([*given, "--no-plain"]) == 0
    assert "plain" not in capsys.readouterr().out
    assert _main([*given, "--batch-sizes", "1,zero"]) == 2
    assert _main([*given, "--precisions", "float32,float8"]) == 2
    assert _main([*given, "--device", "tpu"]) == 2
    assert _main([*given, "--chart", str(tmp_path / "a.pdf")]) == 2
    assert _main([*given, "--json", str(tmp_path / "missing" / "a.json")]) == 4


def test_an_interrupted_command_keeps_what_it_has_measured(
    measured: tuple[list[Measurement], list[Progress]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[Measurement]:
        yield measured[0][0]
        raise KeyboardInterrupt

    monkeypatch.setattr("thg_zoo.bench.bench", interrupted)
    file = tmp_path / "a.json"
    assert _main(["bench", "warp", "--quiet", "--json", str(file)]) == 130
    assert measured[0][0].model in capsys.readouterr().out
    assert [row["model"] for row in json.loads(file.read_text())["measurements"]] == [measured[0][0].model]


def test_memory_is_measured_for_each_and_given_back() -> None:
    meter = MemoryMeter()
    block = np.ones(40_000_000, np.uint8)
    first = meter.result()
    if not first.resettable:
        pytest.skip("this system keeps one maximum for the life of a process")
    assert first.peak - first.before >= 35e6
    del block
    release()
    second = MemoryMeter().result()
    assert second.peak < first.peak - 30e6
