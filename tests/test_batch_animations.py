"""Manifests that become videos, with the model that needs no download: files, restarts, storages, the command."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
from PIL import Image

import thg_zoo
from kill_runs import needs_proc, run_under_fire
from thg_zoo.cli.main import _main
from thg_zoo.errors import LicenceError, MediaError
from thg_zoo.jobs import Job, Place, WorkerFactory, read_records
from thg_zoo.jobs.animator import Animator, AnimatorSettings, clean, work_folder
from thg_zoo.jobs.batch import state_folder
from thg_zoo.jobs.engine import Finished, Message, Ready
from thg_zoo.jobs.performing import perform
from thg_zoo.jobs.storage import LocalCopies
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader

SOUNDS = 3


def make_inputs(folder: Path, faces: int, sounds: int, face_path: Path, speech_path: Path) -> None:
    """faces of about 96 x 96 pixels, sounds of a quarter of a second, and a manifest of every pair."""
    for k in range(faces):
        Image.open(face_path).convert("RGB").resize((96 + 2 * k, 96 + 2 * k)).save(folder / f"face{k}.png")
    samples, rate = soundfile.read(speech_path)
    for k in range(sounds):
        start = int((0.5 + 0.1 * k) * rate)
        soundfile.write(folder / f"line{k}.wav", samples[start : start + rate // 5], rate)
    rows = [f"face{i}.png,line{k}.wav" for k in range(sounds) for i in range(faces)]
    (folder / "m.csv").write_text("source,driver\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, face_path: Path, speech_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder, 2, SOUNDS, face_path, speech_path)
    (folder / "broken.png").write_text("no picture")
    with (folder / "m.csv").open("a") as file:
        file.write("broken.png,line0.wav\n")
    return folder


class Inline:
    """An engine without processes: one worker, here and now."""

    retries, workers, timeout = 0, 1, None

    def open(self, factory: WorkerFactory) -> Inline:
        self.messages: list[Message] = []
        self.factory, self.place = factory, Place("here", "cpu", 1)
        return self

    def start(self, worker: int) -> None:
        self.function = self.factory(self.place)
        self.messages.append(Ready(worker))

    def submit(self, worker: int, job: Job) -> None:
        self.messages.append(Finished(worker, perform(self.function, job, self.place)))

    def wait(self, seconds: float) -> list[Message]:
        ready, self.messages = self.messages, []
        return ready

    def stop(self, worker: int) -> None: ...

    def kill(self, worker: int) -> None: ...

    def close(self) -> None: ...

    def describe(self) -> str:
        return "here"


@pytest.fixture(scope="module")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command with two workers, with one job that fails."""
    output = tmp_path_factory.mktemp("batch") / "out"
    command = ["batch", str(inputs / "m.csv"), "-o", str(output), "--model", "warp", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "thg_zoo", *command, "--device", "cpu", "--json", "mouth=0.8"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert "1 of 7 jobs failed" in done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["event"] for event in events} == {"start", "worker", "started", "job", "end"}
    assert (events[-1]["done"], events[-1]["failed"], events[-1]["left"]) == (6, 1, 0)
    return output


def test_every_line_becomes_a_video_like_that_of_one_run(finished: Path, inputs: Path) -> None:
    records = {record.id: record for record in read_records(finished)}
    assert len(records) == 2 * SOUNDS + 1
    videos = sorted(p.name for p in finished.glob("*.mp4"))
    assert videos == sorted(name for name, record in records.items() if record.done)
    assert sorted(p.name for p in finished.iterdir() if p.suffix != ".mp4") == [
        ".thg-zoo-lock",
        "results.jsonl",
        "summary.json",
    ]
    record = records[videos[0]]
    single = thg_zoo.load("warp", device="cpu").animate(record.value["source"], record.value["driver"], mouth=0.8)
    alone = single.save(inputs / "alone.mp4", overwrite=True)
    frames = [np.stack(list(VideoReader(probe(path)).frames())) for path in (finished / videos[0], alone)]
    assert np.array_equal(*frames)
    assert record.value["frames"] == len(frames[0])


def test_the_failure_says_why(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failure = next(record.failure for record in read_records(finished) if not record.done)
    assert failure is not None
    assert failure.kind == "MediaError"
    assert "broken.png" in failure.message
    assert _main(["batch", "--status", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert "finished: 6 of 7 jobs done, 1 failed, 0 left" in shown
    assert "1 x MediaError" in shown
    assert "worker seconds per minute of video" in shown
    assert _main(["batch", "--status", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 1


def test_a_restart_makes_again_what_is_missing_or_damaged(
    finished: Path, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *others = sorted(finished.glob("*.mp4"))
    before = {path: path.read_bytes() for path in (first, second, *others)}
    times = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    second.write_bytes(b"cut off")
    for path in inputs.glob("face*.png"):
        os.utime(path)  # the same content at another time is the same input
    events: list[dict[str, Any]] = []
    summary = thg_zoo.batch(inputs / "m.csv", finished, model="warp", engine=Inline(), notify=events.append, mouth=0.8)
    assert {event["id"] for event in events if event["event"] == "job"} == {first.name, second.name}
    assert (summary["done"], summary["skipped"], summary["failed"]) == (6, 4, 1)
    assert {path: path.stat().st_mtime_ns for path in others} == times
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(thg_zoo.ThgZooError):
        thg_zoo.batch([{"source": "nothing.png", "driver": "x.wav"}], finished, model="warp")


def test_a_source_is_prepared_once(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    original = thg_zoo.Adapter.prepare

    def prepare(self: Any, source: str, **options: Any) -> Any:
        prepared.append(Path(source).name)
        return original(self, source, **options)

    monkeypatch.setattr(thg_zoo.Adapter, "prepare", prepare)
    rows = [
        {"source": str(inputs / f"face{i}.png"), "driver": str(inputs / f"line{k}.wav"), "mouth": 0.5 + k / 10}
        for k in range(SOUNDS)
        for i in range(2)
    ]
    summary = thg_zoo.batch(rows, tmp_path / "out", model="warp", engine=Inline(), suffix=".gif")
    assert summary["done"] == 2 * SOUNDS
    assert sorted(prepared) == ["face0.png", "face1.png"]
    assert len(list((tmp_path / "out").glob("*.gif"))) == 2 * SOUNDS


@pytest.fixture
def bucket(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A storage with the inputs in memory://in, and a home for the state of runs."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    fs = fsspec.filesystem("memory")
    fs.put(str(inputs), "/in", recursive=True)
    yield fs
    fs.rm("/", recursive=True)


def test_inputs_and_outputs_may_lie_on_a_storage(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    bucket.pipe("/in/two.csv", b"source,driver\nface0.png,line*.wav\nmemory://in/face1.png,line0.wav\n")
    summary = thg_zoo.batch("memory://in/two.csv", "memory://bucket/out", model="warp", engine=Inline())
    assert summary["done"] == 4
    names = {Path(path).name for path in bucket.ls("/bucket/out", detail=False)}
    assert {"results.jsonl", "summary.json"} < names
    assert sum(name.endswith(".mp4") for name in names) == 4
    assert (state_folder("memory://bucket/out") / "results.jsonl").is_file()
    # Another machine, which has nothing but the storage: one output is gone, one input has changed.
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "another"))
    bucket.rm(next(path for path in bucket.ls("/bucket/out", detail=False) if "face0-line1" in path))
    bucket.pipe("/in/face1.png", bucket.cat("/in/face0.png"))
    summary = thg_zoo.batch("memory://in/two.csv", "memory://bucket/out", model="warp", engine=Inline())
    assert (summary["done"], summary["skipped"]) == (4, 2)


def test_a_storage_without_its_package_says_which(tmp_path: Path) -> None:
    rows = [{"source": "s3://bucket/a.png", "driver": "gs://bucket/x.wav"}]
    with pytest.raises(thg_zoo.ThgZooError, match=r"s3fs|gcsfs"):
        thg_zoo.batch(rows, tmp_path / "out", model="warp", engine=Inline())


def test_copies_of_remote_files_are_bounded(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    for k in range(5):
        fs.pipe(f"/copies/{k}", bytes(100))
    copies = LocalCopies(tmp_path, limit=250)
    paths = [copies.path(f"memory://copies/{k}") for k in (0, 1, 0, 2, 3, 4)]
    assert paths[0] == paths[2]
    assert [Path(path).exists() for path in paths[1:]] == [False, False, False, True, True]
    with pytest.raises(MediaError, match="There is no file"):
        copies.path("memory://copies/none")
    long = f"copies/a.wav?{'signature' * 40}"
    fs.pipe(f"/{long}", b"content")
    assert Path(copies.path(f"memory://{long}")).read_bytes() == b"content"
    fs.rm("/copies", recursive=True)


def test_unfinished_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    host, gone = socket.gethostname(), subprocess.Popen(["true"])
    gone.wait()
    for name in (f"{host}-{gone.pid}", f"{host}-{os.getpid()}", "elsewhere-1"):
        (tmp_path / "work" / name).mkdir(parents=True)
    clean(tmp_path / "work")
    assert {p.name for p in (tmp_path / "work").iterdir()} == {f"{host}-{os.getpid()}", "elsewhere-1"}


def test_a_work_folder_that_vanishes_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, made, mkdir = AnimatorSettings(str(tmp_path)), [], Path.mkdir

    def meddled(path: Path, *arguments: Any, **named: Any) -> None:
        mkdir(path, *arguments, **named)
        made.append(path)
        if len(made) == 1:  # what a worker that leaves does between a parent's making and its child's
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", meddled)
    worker = Animator(settings, Place("here", "cpu", 1))
    monkeypatch.undo()
    assert len({path.name for path in made}) < len(made)
    assert [p.name for p in work_folder(str(tmp_path)).iterdir()] == [f"{socket.gethostname()}-{os.getpid()}"]
    del worker


def test_a_model_that_cannot_be_loaded_is_tried_once(inputs: Path, tmp_path: Path) -> None:
    worker = Animator(AnimatorSettings(str(tmp_path), weights=str(tmp_path)), Place("here", "cpu", 1))
    job = Job("a.mp4", "", {"model": "wav2lip"})
    errors, depths = [], []
    for _ in range(3):
        with pytest.raises(thg_zoo.ThgZooError) as raised:
            worker(job)
        errors.append(raised.value)
        depths.append(len(list(traceback.walk_tb(raised.value.__traceback__))))
    assert errors[0] is errors[1] is errors[2]
    assert depths[1] == depths[2], "what is kept of the error does not grow from job to job"


def test_licences_are_asked_for_before_anything_starts(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THG_ZOO_ACCEPT_LICENSES", raising=False)
    with pytest.raises(LicenceError):
        thg_zoo.batch(inputs / "m.csv", tmp_path / "out", model="wav2lip", engine=Inline())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["m.csv"], 2, "Add -o OUTDIR"),
        (["-o", "out"], 2, "There is no manifest"),
        (["mouth=1", "-o", "out"], 2, "There is no manifest"),
        (["--source", "*.png", "-o", "out"], 2, "belong together"),
        (["m.csv", "-o", "out", "--model", "wrap"], 2, "Did you mean 'warp'"),
        (["m.csv", "-o", "out", "--model", "warp", "--engine", "spark"], 2, "There is no engine"),
        (["m.csv", "-o", "out", "--model", "warp", "--suffix", ".avi"], 2, "cannot be written"),
        (["m.csv", "-o", "out", "--model", "warp", "--device", "tpu"], 2, "is not a device"),
        (["--status", "."], 3, "holds no results"),
    ],
)
def test_wrong_calls(
    arguments: list[str],
    code: int,
    words: str,
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    assert _main(["batch", *arguments]) == code
    assert words in capsys.readouterr().err
    assert not Path("out").exists()


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_two_hundred_jobs_survive_twenty_kills(tmp_path: Path, face_path: Path, speech_path: Path, engine: str) -> None:
    """SIGKILL of the run and of its workers: every video in the end equal to that of an undisturbed run."""
    if engine == "ray":
        pytest.importorskip("ray")
    make_inputs(tmp_path, 10, 20, face_path, speech_path)
    base = [sys.executable, "-m", "thg_zoo", "batch", str(tmp_path / "m.csv"), "--model", "warp", "--workers", "2"]
    base += ["--device", "cpu", "--quiet", "--retry-failed", "--engine", engine]
    begin = time.monotonic()
    subprocess.run([*base, "-o", str(tmp_path / "calm")], check=True)
    # Often enough that all kills come before the end, and some when jobs are running.
    longest = (time.monotonic() - begin) / 5
    out, log = tmp_path / "fire", tmp_path / "events"
    script = f"{' '.join(base)} -o {out} --json >> {log}"

    def begun() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)["job"] for line in lines if '"event": "started"' in line]

    fire = run_under_fire(
        ["bash", "-c", f"exec {script}"],
        out,
        lambda: len(begun()),
        kills=20,
        longest=longest,
        seed=random.randrange(99),
    )
    assert fire.main_kills + fire.worker_kills == 20
    made, wanted = ({p.name: p.read_bytes() for p in (tmp_path / n).glob("*.mp4")} for n in ("fire", "calm"))
    assert len(wanted) == 200
    assert made == wanted
    done = [record.id for record in read_records(out) if record.done]
    assert len(done) == len(set(done)) == 200
    for position, finished in fire.starts:
        assert not finished & set(begun()[position:])
    assert len(begun()) <= 200 + 2 * fire.main_kills + fire.worker_kills
    assert not [p for p in out.rglob("*") if p.suffix not in (".mp4", ".jsonl", ".json") and p.name != ".thg-zoo-lock"]
