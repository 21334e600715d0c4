"""The command line: everything a user can get wrong ends in one clear line, its exit code, and nothing left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from thg_zoo.cli import console
from thg_zoo.cli.main import _main
from thg_zoo.cli.run import _speed
from thg_zoo.media.audio import read_audio
from thg_zoo.media.probe import probe
from thg_zoo.zoo import describe

Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, face_path: Path, speech_path: Path) -> Files:
    """Good and bad inputs by name."""
    folder = tmp_path_factory.mktemp("inputs")
    made = {name: folder / name for name in BAD_FILES}
    for name, make in BAD_FILES.items():
        make(made[name])
    small = folder / "face.png"
    Image.open(face_path).resize((192, 192)).save(small)
    samples, rate = soundfile.read(speech_path, frames=11025, start=11025)
    soundfile.write(folder / "speech.wav", samples, rate)
    (folder / "cut.jpg").write_bytes(_jpeg(face_path)[:9000])
    return made | {
        "face.png": small,
        "speech.wav": folder / "speech.wav",
        "cut.jpg": folder / "cut.jpg",
        "missing.png": folder / "missing.png",
        "folder": folder,
    }


def _jpeg(path: Path) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def _sound(samples: np.ndarray) -> Callable[[Path], object]:
    return lambda path: soundfile.write(path, samples.astype(np.float32), 16000, subtype="FLOAT")


def _picture(width: int, height: int) -> Callable[[Path], object]:
    return lambda path: Image.new("RGB", (width, height), (90, 120, 150)).save(path)


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _huge(path: Path) -> None:
    """A valid PNG of 30000 x 30000 pixels, small on disk."""
    Image.new("1", (30000, 30000)).save(path)


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "empty.png": _bytes(b""),
    "text.png": _bytes(b"This is a letter, not a picture.\n"),
    "playlist.mp4": _bytes(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"),
    "concat.wav": _bytes(b"ffconcat version 1.0\nfile '/etc/hostname'\n"),
    "cut.mp4": _bytes(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(5000)),
    "tiny.png": _picture(1, 1),
    "noface.png": _picture(256, 256),
    "huge.png": _huge,
    "none.wav": _sound(np.zeros(0)),
    "nan.wav": _sound(np.full(16000, np.nan)),
    "brief.wav": _sound(np.zeros(160)),
    "silent.wav": _sound(np.zeros(8000)),
}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where output goes; nothing else may be there afterwards."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "out.mp4"


def run(*arguments: str | Path) -> int:
    return _main([str(a) for a in ("run", "warp", *arguments, "--device", "cpu")])


@pytest.mark.parametrize(
    ("source", "driver", "extra", "code", "words"),
    [
        ("missing.png", "speech.wav", [], 3, "missing.png"),
        ("folder", "speech.wav", [], 3, "folder"),
        ("empty.png", "speech.wav", [], 3, "empty"),
        ("text.png", "speech.wav", [], 3, "text.png"),
        ("cut.jpg", "speech.wav", [], 3, "cut.jpg"),
        ("tiny.png", "speech.wav", [], 3, "1 x 1"),
        ("huge.png", "speech.wav", [], 3, "900000000 pixels"),
        ("noface.png", "speech.wav", [], 3, "face"),
        ("playlist.mp4", "speech.wav", [], 3, "playlist.mp4"),
        ("face.png", "concat.wav", [], 3, "concat.wav"),
        ("face.png", "cut.mp4", [], 3, "cut.mp4"),
        ("face.png", "none.wav", [], 3, "none.wav"),
        ("face.png", "nan.wav", [], 3, "nan.wav"),
        ("face.png", "missing.png", [], 3, "missing.png"),
        ("face.png", "speech.wav", ["face=3"], 3, "face"),
        ("face.png", "speech.wav", ["moth=2"], 2, "'mouth'"),
        ("face.png", "speech.wav", ["mouth=-7"], 2, "mouth"),
        ("face.png", "speech.wav", ["mouth"], 2, "key=value"),
        ("face.png", "speech.wav", ["--device", "cuda:99"], 6, "cuda:99"),
        ("face.png", "speech.wav", ["--device", "tpu"], 2, "tpu"),
        ("face.png", "speech.wav", ["--batch-size", "0"], 2, "0"),
        ("face.png", "speech.wav", ["--precision", "float8"], 2, "float16"),
        ("face.png", "speech.wav", ["--options", "nowhere.yaml"], 2, "nowhere.yaml"),
        ("face.png", "speech.wav", ["--no-such-flag"], 2, "no-such-flag"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    files: Files,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    driver: str,
    extra: list[str],
    code: int,
    words: str,
) -> None:
    assert _main(["run", "warp", str(files[source]), str(files[driver]), "-o", str(target), *extra]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert not list(target.parent.iterdir())
    lines = said.err.splitlines()
    assert [line for line in lines if line.startswith("error:")] == lines[-1:]
    assert code != 2 or len(lines) == 1


def test_unknown_models_offer_the_nearest(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["run", "warpp", str(files["face.png"]), str(files["speech.wav"]), "-o", str(target)]) == 2
    assert "'warp'" in capsys.readouterr().err


@pytest.mark.parametrize("driver", ["silent.wav", "brief.wav"])
def test_silence_and_ten_milliseconds_work(files: Files, target: Path, driver: str) -> None:
    assert run(files["face.png"], files[driver], "-o", target, "--quiet") == 0
    made = probe(target)
    sound = probe(files[driver]).duration
    assert made.kind == "video"
    assert made.duration is not None
    assert sound is not None
    assert float(made.duration) == pytest.approx(max(0.04, float(sound)), abs=0.04)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [("out.mkv", 4, ".mkv"), ("nowhere/out.mp4", 4, "nowhere"), ("out.mp4/", 4, "out.mp4")],
)
def test_impossible_outputs_are_refused_before_work(
    files: Files, target: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, words: str
) -> None:
    begin = time.monotonic()
    if name.endswith("/"):
        target.mkdir()
    assert run(files["face.png"], files["speech.wav"], "-o", f"{target.parent}/{name}") == code
    assert words in capsys.readouterr().err
    assert time.monotonic() - begin < 2


def test_existing_outputs_are_kept_unless_told(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target.write_bytes(b"precious")
    assert run(files["face.png"], files["speech.wav"], "-o", target) == 4
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_bytes() == b"precious"
    assert run(files["face.png"], files["speech.wav"], "-o", target, "--overwrite") == 0
    assert probe(target).kind == "video"
    assert [p.name for p in target.parent.iterdir()] == ["out.mp4"]


def test_a_failing_run_keeps_the_old_output(files: Files, target: Path) -> None:
    target.write_bytes(b"precious")
    assert run(files["noface.png"], files["speech.wav"], "-o", target, "--overwrite") == 3
    assert target.read_bytes() == b"precious"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folders_are_refused(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target.parent.chmod(0o555)
    assert run(files["face.png"], files["speech.wav"], "-o", target) == 4
    assert "permission" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "source", "driver", "says"),
    [
        ("liveportrait", "face.png", "speech.wav", "sadtalker"),
        ("wav2lip", "face.png", "face.png", "is of kind image"),
        ("sadtalker", "speech.wav", "speech.wav", "has to show a face"),
    ],
)
def test_inputs_of_the_wrong_kind_are_refused_before_weights_are_fetched(
    files: Files,
    target: Path,
    model: str,
    source: str,
    driver: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("thg_zoo.cli.run.load", lambda name, **_: fetched.append(name))
    assert _main(["run", model, str(files[source]), str(files[driver]), "-o", str(target), "--accept-license"]) == 3
    assert says in " ".join(capsys.readouterr().err.split())
    assert not fetched


def test_motion_of_the_wrong_kind_of_driver_is_refused_before_weights_are_fetched(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("thg_zoo.cli.motion.load", lambda name, **_: fetched.append(name))
    assert _main(["motion", "fomm", str(files["speech.wav"]), "-o", str(tmp_path / "motion.npz")]) == 3
    assert "is of kind audio; this model is driven by video or image" in " ".join(capsys.readouterr().err.split())
    assert not fetched


@pytest.mark.parametrize("stem", ["two words", "日本語-ñ", "-dash", "new\nline", "%03d", "a:b", 'it\'s "so"'])
def test_names_of_every_kind(files: Files, target: Path, stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = target.parent
    shutil.copy(files["face.png"], folder / f"{stem}.png")
    shutil.copy(files["speech.wav"], folder / f"{stem}.wav")
    monkeypatch.chdir(folder)
    assert _main(["run", "-o", f"{stem}.mp4", "--quiet", "--", "warp", f"{stem}.png", f"{stem}.wav"]) == 0
    assert {p.name for p in folder.iterdir()} == {f"{stem}.png", f"{stem}.wav", f"{stem}.mp4"}


def test_outputs_are_named_after_the_inputs(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(files["face.png"], files["speech.wav"], "--quiet") == 0
    assert [p.name for p in tmp_path.iterdir()] == ["face-speech-warp.mp4"]


def test_a_run_says_device_speed_and_path(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files["face.png"], files["speech.wav"], "-o", target) == 0
    said = capsys.readouterr()
    assert "warp on cpu" in said.err
    assert "frames/s" in said.err
    assert said.out.strip() == str(target)
    made = probe(target)
    assert made.duration is not None
    assert abs(float(made.duration) - float(read_audio(files["speech.wav"]).duration)) < 1 / 25


def test_one_frame_has_no_speed(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files["face.png"], files["brief.wav"], "-o", target) == 0
    assert "1 frame, 192 x 192" in capsys.readouterr().err.splitlines()


def test_slow_models_are_not_said_to_stand_still() -> None:
    assert [_speed(value) for value in (0.23456, 7.08, 153.4)] == ["0.23", "7.1", "153"]


def test_names_are_printed_as_they_are(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = target.with_name("a :dog: [bold].mp4")
    assert run(files["face.png"], files["brief.wav"], "-o", made) == 0
    assert capsys.readouterr().out == f"{made}\n"


def test_a_report_that_cannot_be_written_is_refused_before_the_model_is_loaded(
    files: Files, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thg_zoo.cli.run.load", lambda *_, **__: pytest.fail("loaded"))
    assert run(files["face.png"], files["brief.wav"], "-o", target, "--report", target.parent / "no" / "r.json") == 4


def test_quiet_is_quiet(files: Files, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files["face.png"], files["speech.wav"], "-o", target, "--quiet") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_debug_shows_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["info", "nothing", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list"], ["list", "--driver", "audio", "--commercial"], ["info", "warp"]])
def test_looking_around(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(arguments) == 0
    assert "warp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "error: No such command 'rnu'. Did you mean 'run'? See `thg-zoo --help`.\n"),
        (["run"], "error: Missing argument 'MODEL'. See `thg-zoo run --help`.\n"),
        (
            ["list", "--markdwon"],
            "error: No such option: --markdwon (Possible options: --markdown). See `thg-zoo list --help`.\n",
        ),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(arguments) == 2
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("run", "{MODEL} {SOURCE} [DRIVER] [KEY=VALUE]..."),
        ("batch", "[MANIFEST] [KEY=VALUE]..."),
        ("compare", "[SOURCE] [DRIVER] [KEY=VALUE]..."),
        ("bench", "[MODEL]..."),
        ("motion", "{MODEL} {DRIVER} [KEY=VALUE]..."),
    ],
)
def test_help_names_arguments_as_the_guide_does_and_ends_with_examples(
    command: str, usage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert _main([command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    # Some versions of typer put no braces around what is required, and no dots behind what may come again.
    plain = shown.replace("{", "").replace("}", "").replace("]...", "]")
    assert usage.replace("{", "").replace("}", "").replace("]...", "]") + " " in plain
    assert f"Examples: thg-zoo {command} " in shown


@pytest.fixture
def fresh_console() -> Iterator[None]:
    """Standard output whose width is looked up again, now and afterwards."""
    console.out.cache_clear()
    yield
    console.out.cache_clear()


@pytest.mark.usefixtures("fresh_console")
def test_tables_are_whole_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert _main(["weights", "list", "liveportrait"]) == 0
    files = describe("liveportrait").variant.files
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["liveportrait", file.name] for file in files]
    assert all(line.rstrip().endswith(f" {file.licence.name}") for line, file in zip(lines, files, strict=True))


@pytest.mark.usefixtures("fresh_console")
def test_narrow_tables_lose_no_column(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert _main(["weights", "list", "fomm"]) == 0
    assert {"751", "no", "yes", "MIT"} <= set(capsys.readouterr().out.split())
    assert _main(["list", "--driver", "edit"]) == 0
    shown = capsys.readouterr().out
    assert {"522", "liveportrait", "image,", "yes"} <= set(shown.split())
    assert "…" not in shown


def test_defaults_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["info", "liveportrait"]) == 0
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert re.search(r"crop_box +null", shown)


def test_info_lists_every_option_with_its_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["info", "warp"]) == 0
    shown = capsys.readouterr().out
    for option in describe("warp").options:
        assert option.name in shown


def test_doctor_reports_on_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _main(["doctor"])
    shown = capsys.readouterr().out
    for subject in ("ffmpeg", "device cpu", "device cuda", "faces", "cache", "disk", "hub", "torch"):
        assert subject in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(files: Files, target: Path, tmp_path: Path, number: int) -> None:
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 16000 * 300), 16000)
    command = [sys.executable, "-m", "thg_zoo", "run", "warp", str(files["face.png"]), str(tmp_path / "long.wav")]
    process = subprocess.Popen([*command, "-o", str(target)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(target.parent.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(target.parent.iterdir()), "the run never began to write"
    time.sleep(0.3)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert not list(target.parent.iterdir())


def test_a_full_disk_is_one_error(files: Files, tmp_path: Path) -> None:
    """In a mount namespace of its own, where a file system of 8 kB stands for the full disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=8k tmpfs '{disk}'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a file system")
    inputs = f"'{files['face.png']}' '{files['speech.wav']}'"
    command = f"'{sys.executable}' -m thg_zoo run warp {inputs} -o '{disk}/out.mp4' --quiet"
    script = f"{mount} && {{ {command}; echo code $?; ls -A '{disk}'; }}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["code", "4"], done.stderr
    assert "full" in done.stderr
