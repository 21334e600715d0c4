"""Video in: every frame once, at its time, upright; nothing left running."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_files import AWKWARD_NAMES, ffmpeg, number_of, numbered_frame, numbered_video, numbers_of
from thg_zoo.errors import MediaError, MediaLimitError
from thg_zoo.media.ffmpeg import Process
from thg_zoo.media.limits import Limits
from thg_zoo.media.video import VideoReader

N = 200

CODECS: dict[str, list[str]] = {
    ".mp4": ["-c:v", "libx264", "-bf", "3", "-g", "23"],
    ".mov": ["-c:v", "mpeg4", "-bf", "2"],
    ".mkv": ["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=30"],
    ".webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "1"],
    ".avi": ["-c:v", "mpeg4"],
    ".gif": [],
    ".ts": ["-c:v", "libx264"],
    ".flv": ["-c:v", "flv1"],
}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The numbers 0..199 in every container, at 30000/1001 frames per second (gif: 25)."""
    folder = tmp_path_factory.mktemp("videos")
    return {
        suffix: numbered_video(folder / f"v{suffix}", N, "25" if suffix == ".gif" else "30000/1001", *options)
        for suffix, options in CODECS.items()
    }


def threads_left() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("thg-zoo-producer", "ffmpeg-stderr")]


@pytest.mark.parametrize("suffix", CODECS)
def test_every_frame_once_in_order(videos: dict[str, Path], suffix: str) -> None:
    with VideoReader(videos[suffix]) as reader:
        assert reader.fps == (25 if suffix == ".gif" else Fraction(30000, 1001))
        assert reader.size == (48, 64)
        frames = list(reader)
    assert numbers_of(frames) == list(range(N))
    assert reader.n_frames == N
    assert {(frame.dtype, frame.shape) for frame in frames} == {(np.dtype(np.uint8), (48, 64, 3))}
    assert not threads_left()


@pytest.mark.parametrize("suffix", CODECS)
def test_ranges_are_exact(videos: dict[str, Path], suffix: str) -> None:
    with VideoReader(videos[suffix]) as reader:
        for start, stop in ((0, 3), (1, 2), (7, 7), (59, 61), (64, 70), (93, 97), (150, 153), (199, None), (195, 500)):
            expected = list(range(start, N if stop is None else min(stop, N)))
            assert numbers_of(reader.frames(start, stop)) == expected
        assert list(reader.frames(N, N + 5)) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_every_single_seek_is_exact(videos: dict[str, Path], suffix: str) -> None:
    with VideoReader(videos[suffix]) as reader:
        for start in range(62, N, 11):
            assert numbers_of(reader.frames(start, start + 1)) == [start]


def test_seeks_in_an_uneven_rate_are_exact(tmp_path: Path) -> None:
    """Every other frame is 8 ms early: it is none of those that a seek to its regular time passes over."""
    path = numbered_video(tmp_path / "v.mp4", 120, "25", "-vf", "settb=1/1000,setpts='(N*0.04-0.008*mod(N,2))/TB'",
                          "-fps_mode", "passthrough", "-enc_time_base", "1/1000")  # fmt: skip
    with VideoReader(path) as reader:
        assert reader.info.constant_rate
        for start in range(55, 120, 5):
            assert "-ss" in reader._arguments(start, start + 2)
            assert numbers_of(reader.frames(start, start + 2)) == [start, start + 1][: 120 - start]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_seeks_at_another_rate_are_exact(videos: dict[str, Path], suffix: str) -> None:
    with VideoReader(videos[suffix], Fraction(25)) as reader:
        whole = numbers_of(reader)
        for start in range(51, len(whole), 13):
            assert "-ss" in reader._arguments(start, start + 2)
            assert numbers_of(reader.frames(start, start + 2)) == whole[start : start + 2]


def test_seeks_in_a_wandering_rate_are_exact(tmp_path: Path) -> None:
    """Frames of 20 to 60 ms, as a telephone makes them, and one that lasts three seconds."""
    wander = "settb=1/1000,setpts='(N*0.04+0.01*sin(N*N)+if(gt(N,150),3,0))/TB'"
    path = numbered_video(tmp_path / "v.mp4", 240, "25", "-vf", wander, "-g", "40",
                          "-fps_mode", "vfr", "-enc_time_base", "1/1000")  # fmt: skip
    with VideoReader(path) as reader:
        assert not reader.info.constant_rate
        whole = numbers_of(reader)
        for start in range(55, len(whole), 7):
            assert "-ss" in reader._arguments(start, start + 3)
            assert numbers_of(reader.frames(start, start + 3)) == whole[start : start + 3]


def test_other_rates(videos: dict[str, Path]) -> None:
    for fps in (Fraction(25), Fraction(15), Fraction(60)):
        with VideoReader(videos[".mp4"], fps) as reader:
            numbers = numbers_of(reader)
            own = Fraction(30000, 1001)
            # the last source frame whose time, rounded to a multiple of 1 / fps, is not later
            ticks = [int(Fraction(k) / own * fps + Fraction(1, 2)) for k in range(N)]
            expected = [sum(tick <= i for tick in ticks) - 1 for i in range(len(numbers))]
            assert numbers == expected
            assert abs(len(numbers) - N / own * fps) <= 1
            assert reader.n_frames == len(numbers)
            assert numbers_of(reader.frames(40, 45)) == expected[40:45]


def test_variable_rate_keeps_time(tmp_path: Path) -> None:
    """Frames 0..49 at 50 frames/s, then 50..99 at 12.5: the mean is 20."""
    path = numbered_video(tmp_path / "v.mp4", 100, "50", "-vf", "setpts='if(lt(N,50),N/50,1+(N-50)/12.5)/TB'",
                          "-fps_mode", "vfr", "-enc_time_base", "1/1000")  # fmt: skip
    with VideoReader(path) as reader:
        assert not reader.info.constant_rate
        assert abs(float(reader.fps) - 99 / 4.92) < 0.01
        numbers = numbers_of(reader)
    for i, number in enumerate(numbers):
        shown_from = number / 50 if number < 50 else 1 + (number - 50) / 12.5
        assert abs(i / reader.fps - shown_from) < 0.08 + 0.5 / reader.fps
    assert len(numbers) == reader.n_frames
    assert abs(len(numbers) / reader.fps - 5) < 2 / reader.fps


@pytest.mark.parametrize("fps", [None, Fraction(50)])
def test_late_pictures_keep_their_place(tmp_path: Path, fps: Fraction | None) -> None:
    """The picture track begins 0.4 s after the sound: its first frame is shown until then."""
    raw = b"".join(numbered_frame(number).tobytes() for number in range(1, 51))
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", "25"]
    sound = ["-f", "lavfi", "-i", "sine=440:duration=2.4"]
    ffmpeg("-itsoffset", "0.4", *form, "-i", "-", *sound, "-c:v", "mpeg4", tmp_path / "v.mkv", data=raw)
    with VideoReader(tmp_path / "v.mkv", fps) as reader:
        assert reader.n_frames == 60 * reader.fps / 25
        numbers = numbers_of(reader)
        expected = [max(1, 1 + i * 25 // reader.fps - 10) for i in range(int(reader.n_frames))]
        assert numbers == expected
        for start, stop in ((0, 4), (3, 15), (9, 12), (10, 12), (25, 27)):
            assert numbers_of(reader.frames(start, stop)) == expected[start:stop]


def test_rotation(tmp_path: Path) -> None:
    plain = numbered_video(tmp_path / "v.mp4", 5, "25")
    for degrees, turns in ((90, 1), (180, 2), (270, 3)):
        path = tmp_path / f"turned{degrees}.mp4"
        ffmpeg("-display_rotation", str(degrees), "-i", plain, "-c", "copy", path)
        frame = next(iter(VideoReader(path)))
        assert number_of(np.rot90(frame, -turns)) == 0
        assert np.abs(np.rot90(frame, -turns).astype(int) - next(iter(VideoReader(plain)))).max() <= 1


def test_size_that_changes_on_the_way(tmp_path: Path) -> None:
    small = numbered_video(tmp_path / "a.ts", 10, "25", "-c:v", "libx264")
    large = numbered_video(tmp_path / "b.ts", 10, "25", "-c:v", "libx264", "-vf", "scale=128:96:flags=neighbor")
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    assert {frame.shape for frame in VideoReader(tmp_path / "both.ts")} == {(48, 64, 3)}


def test_odd_size_and_grey_and_alpha(tmp_path: Path) -> None:
    for name, options in {
        "odd.mkv": ["-vf", "crop=33:47", "-c:v", "ffv1"],
        "grey.mkv": ["-pix_fmt", "gray", "-c:v", "ffv1"],
        "alpha.mkv": ["-pix_fmt", "yuva420p", "-c:v", "ffv1"],
        "deep.mkv": ["-pix_fmt", "yuv444p10le", "-c:v", "ffv1"],
    }.items():
        frames = list(VideoReader(numbered_video(tmp_path / name, 4, "25", *options)))
        assert len(frames) == 4
        assert frames[0].shape == ((47, 33, 3) if name == "odd.mkv" else (48, 64, 3))
        if name != "odd.mkv":
            assert numbers_of(frames) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_name(tmp_path: Path, name: str) -> None:
    path = numbered_video(tmp_path / "v.mp4", 3, "25").rename(tmp_path / f"{name}.mp4")
    assert numbers_of(VideoReader(path)) == [0, 1, 2]


def test_closing_early_ends_process_and_thread(videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def watched(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    with VideoReader(videos[".mp4"]) as reader:
        frames = reader.frames()
        assert numbers_of(itertools.islice(frames, 3)) == [0, 1, 2]
        frames.close()  # type: ignore[attr-defined]
        assert not threads_left()
        abandoned = reader.frames()
        next(abandoned)
    assert len(list(abandoned)) <= 8  # what had been read ahead
    assert not threads_left()
    assert len(started) >= 3
    assert all(process.poll() is not None for process in started)


def test_a_machine_without_memory_is_said(videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that reads ahead cannot get a frame: whoever waits for it must hear of it."""

    def no_memory(*_: object) -> None:
        raise MemoryError("no memory")

    reader = VideoReader(videos[".mp4"])
    monkeypatch.setattr("thg_zoo.media.video.np.empty", no_memory)
    with pytest.raises(MemoryError):
        next(reader.frames())
    assert not threads_left()


@pytest.mark.skipif(sys.platform == "win32", reason="signals one process")
def test_an_interrupted_wait_ends_ffmpeg() -> None:
    process = Process(["-re", "-f", "lavfi", "-i", "anullsrc", "-t", "30", "-f", "null", "-"])
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        process.wait()
    assert not process.running


def test_wrong_files_and_arguments(tmp_path: Path, videos: dict[str, Path]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    ffmpeg("-f", "lavfi", "-i", "sine=440:duration=1", tmp_path / "a.wav")
    with pytest.raises(MediaError, match=r"p\.png is a picture, not a video"):
        VideoReader(tmp_path / "p.png")
    with pytest.raises(MediaError, match=r"a\.wav is a sound, not a video"):
        VideoReader(tmp_path / "a.wav")
    with pytest.raises(MediaLimitError):
        VideoReader(videos[".mp4"], limits=Limits(max_pixels=100))
    for fps in (Fraction(0), Fraction(-25), Fraction(1000)):
        with pytest.raises(MediaError, match="frames per second"):
            VideoReader(videos[".mp4"], fps)
    with pytest.raises(MediaError, match="Count from 0"):
        VideoReader(videos[".mp4"]).frames(-1)


def test_damage_in_the_middle_says_how_far_it_came(videos: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    path.write_bytes(videos[".mkv"].read_bytes())
    reader = VideoReader(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # cut after it was opened
    read = 0
    with pytest.raises(MediaError, match=r"v\.mkv is damaged: it can be decoded up to \d\.\d s of 6\.7 s"):  # noqa: PT012
        for _ in reader:
            read += 1
    assert 20 < read < 180
    assert not threads_left()
