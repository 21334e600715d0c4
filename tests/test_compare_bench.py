"""Timing models: settings, stages that add up, memory that is measured for each, and output for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thg_zoo.bench import Measurement, bench, chart, to_json
from thg_zoo.cli.main import _main
from thg_zoo.errors import Cancelled, UnknownModelError, UsageError
from thg_zoo.memory import MemoryMeter, release
from thg_zoo.plots import bars, curves, number, stacked_bars
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
        device="cpu",
        progress=states.append,
    )
    return list(found), states


def test_every_setting_is_measured(measured: tuple[list[Measurement], list[Progress]]) -> None:
    found, states = measured
    assert [(m.batch_size, m.precision, m.error) for m in found] == [(1, "float32", ""), (8, "float32", "")]
    for m in found:
        assert m.frames == 10
        assert m.size == (128, 128)
        assert m.fps == pytest.approx(m.frames / m.warm)
        assert 0 < sum(m.stages.values()) * m.frames / 1000 + sum(m.once.values()) <= m.warm * 1.05
        assert m.memory is not None
        assert m.memory.peak >= m.memory.before > 0
    assert [(s.done, s.total) for s in states] == [(0, 2), (1, 2), (2, 2)]


def test_what_cannot_run_is_said(face_path: Path, speech_path: Path) -> None:
    (found,) = bench(["warp"], face_path, speech_path, seconds=0.2, precisions=["float8"], device="cpu")
    assert "float8" in found.error
    with pytest.raises(UnknownModelError):
        next(bench(["warpp"], face_path, speech_path))
    with pytest.raises(UsageError, match="timed"):
        next(bench(["warp"], face_path, speech_path, seconds=0.01))
    with pytest.raises(Cancelled):
        next(bench(["warp"], face_path, speech_path, cancel=lambda: True))


def test_json_and_chart(measured: tuple[list[Measurement], list[Progress]]) -> None:
    found, _ = measured
    data = json.loads(to_json(found))
    assert data["versions"]["torch"]
    assert data["measurements"][1]["batch_size"] == 8
    page = chart([*found, Measurement("fomm", 1, "float32", error="no")])
    assert page.count("<svg") == 2
    assert "warp b8 float32" in page
    assert "fomm" not in page


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "bench.json", tmp_path / "bench.html"]
    given = ["bench", "warp", "--seconds", "0.2", "--size", "128", "--device", "cpu"]
    assert _main([*given, "--json", str(files[0]), "--chart", str(files[1])]) == 0
    assert "warp" in capsys.readouterr().out
    assert all(path.stat().st_size > 300 for path in files)
    assert _main([*given, "--batch-sizes", "1,zero"]) == 2
    assert _main([*given, "--json", str(tmp_path / "missing" / "a.json")]) == 4


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


def test_charts_draw_what_they_are_given() -> None:
    drawn = bars({"a": 2.0, "b": -1.0, "c<": 0.0}, "ms", best="a")
    widths = [float(part.split('"')[0]) for part in drawn.split(' width="')[2:]]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    assert widths[2] == 1
    assert "c&lt;" in drawn
    stacked = stacked_bars({"a": {"x": 1.0, "y": 3.0}}, "s")
    assert "y: 3 s" in stacked
    assert ">4 s<" in stacked
    line = curves({"opening": np.array([0, 0.5, np.nan, 1, 0.2])}, 2.0)
    assert line.count("M") == 2, "a gap interrupts the curve"
    assert [number(v) for v in (0.01234, 12.345, 12345.6)] == ["0.0123", "12.3", "12346"]
