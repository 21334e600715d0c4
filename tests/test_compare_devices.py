"""Models of one comparison at the same time, in worker processes: the same results, and failures, cancelling and lost
processes as one after another.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import thg_zoo
from job_workers import Fatal
from thg_zoo.comparison.at_once import engine_for, run_at_once
from thg_zoo.comparison.results import Row
from thg_zoo.comparison.trial import Setting, Watch
from thg_zoo.errors import Cancelled, DeviceError, ThgZooError, UsageError
from thg_zoo.inputs import Clip
from thg_zoo.jobs import LocalEngine
from thg_zoo.jobs.local import cores
from thg_zoo.media.audio import Audio
from thg_zoo.media.video import VideoReader
from thg_zoo.run import Progress

SETTING: dict[str, Any] = {
    "weights": "random",
    "options": {"wav2lip": {"detector": "mtcnn"}},
    "metrics": ["cpbd", "lip_loudness"],
}
MODELS = ["warp", "fomm", "wav2lip"]
# What is measured by the clock, and what says where it was.
MEASURED = {"timings", "memory", "seconds", "created", "output", "device", "versions", "load_s"}


def without_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_measured(v) for key, v in value.items() if key not in MEASURED}
    return [without_measured(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def both(
    face: NDArray[np.uint8], short_speech: Audio, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[thg_zoo.Comparison], list[Progress]]:
    """One after another, then at the same time in two processes; sources in memory."""
    states: list[Progress] = []

    def compared(device: str) -> thg_zoo.Comparison:
        folder = tmp_path_factory.mktemp("devices")
        progress = states.append if "," in device else None
        return thg_zoo.compare(
            MODELS, face, short_speech, folder / "out.mp4", device=device, progress=progress, **SETTING
        )

    # Workers share the cores; sums round by the number of threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // 2))
    try:
        return [compared("cpu"), compared("cpu,cpu")], states
    finally:
        torch.set_num_threads(threads)


def test_the_results_are_the_same(both: tuple[list[thg_zoo.Comparison], list[Progress]]) -> None:
    (one, many), _ = both
    assert [row.model for row in many.rows] == MODELS
    assert [row.status for row in many.rows] == ["ok", "failed", "ok"]
    before, after = (json.loads(c.results_json.read_text())["models"] for c in (one, many))
    assert without_measured(before) == without_measured(after)
    for a, b in zip(one.rows, many.rows, strict=True):
        if a.file is not None and b.file is not None:
            np.testing.assert_array_equal(np.stack(list(VideoReader(a.file))), np.stack(list(VideoReader(b.file))))
            assert (a.fps, a.size, a.frames, a.scores) == (b.fps, b.size, b.frames, b.scores)
    assert many.rows[1] == one.rows[1], "the same reason"


def test_each_model_is_measured_in_its_own_process(both: tuple[list[thg_zoo.Comparison], list[Progress]]) -> None:
    (_, many), states = both
    for row in many.rows:
        if row.ok:
            assert row.timings is not None
            assert row.timings.file_to_file > 0
            assert row.memory is not None
            assert row.memory.peak > row.memory.before > 0
            assert row.run["device"].startswith("cpu (")
    assert "cpu and cpu at the same time" in many.report.read_text()
    assert "cpu and cpu at the same time" in json.loads(many.results_json.read_text())["device"]
    stages = {state.stage for state in states}
    assert {"models", "warp: run", "wav2lip: run", "warp: measure: frames", "grid"} <= stages
    assert {state.total for state in states if state.stage == "models"} == {3}


def test_rows_survive_being_written(both: tuple[list[thg_zoo.Comparison], list[Progress]]) -> None:
    (one, _), _ = both
    for row in one.rows:
        again = Row.from_json(json.loads(json.dumps(row.to_json())))
        assert again.to_json() == row.to_json()
        assert (again.file, again.fps, again.size, again.timings, again.memory) == (
            *(row.file, row.fps, row.size, row.timings, row.memory),
        )


def test_cancelling_ends_the_processes_and_leaves_nothing(
    face: NDArray[np.uint8], face_clip: Clip, short_speech: Audio, tmp_path: Path
) -> None:
    seen: list[str] = []

    def cancel() -> bool:
        return "warp: run" in seen

    with pytest.raises(Cancelled):
        thg_zoo.compare(
            ["warp", "wav2lip"],
            face_clip,
            short_speech,
            tmp_path / "out.mp4",
            device="cpu,cpu",
            progress=lambda state: seen.append(state.stage),
            cancel=cancel,
            **SETTING,
        )
    assert not list(tmp_path.iterdir())
    assert not _children()


def test_a_lost_process_is_a_failed_model(face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path) -> None:
    engine = engine_for("cpu,cpu")
    assert engine is not None
    trials = Fatal(face, short_speech, tmp_path, Setting(weights={"warp": "random", "wav2lip": "random"}))
    lost, warp = run_at_once(["wav2lip", "warp"], trials, engine, Watch())
    assert not lost.ok
    assert "SIGKILL" in lost.error
    assert "memory" in lost.remedy
    assert warp.ok
    assert not _children()


def test_all_of_them_failing_is_the_first_ones_error(
    face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path
) -> None:
    given = {**SETTING, "options": {}, "device": "cpu,cpu"}
    with pytest.raises(ThgZooError, match=r"fomm: .*audio.* facevid2vid: ") as caught:
        thg_zoo.compare("fomm,facevid2vid", face, short_speech, tmp_path / "out.mp4", **given)
    assert caught.value.exit_code == 3
    assert not list(tmp_path.iterdir())


def test_devices_are_checked_before_any_work(face: NDArray[np.uint8], short_speech: Audio, tmp_path: Path) -> None:
    assert engine_for("cpu") is None
    assert engine_for("auto") is None
    engine = LocalEngine(device="cpu, cpu,cpu")
    assert (engine.devices, engine.workers) == (["cpu"] * 3, 3)
    assert LocalEngine(2, device="cpu,cpu,cpu").workers == 2
    for device, error in (("cpu,gpu", UsageError), ("cpu,cuda:99", DeviceError)):
        with pytest.raises(error):
            thg_zoo.compare("warp", face, short_speech, tmp_path / "out.mp4", device=device, metrics=())
    assert not list(tmp_path.iterdir())


def _children() -> list[int]:
    """Worker processes of this one that still run."""
    return [child.pid or 0 for child in multiprocessing.active_children() if child.name.startswith("thg-zoo-")]
