"""Video out: formats, exact times, tags, and nothing left behind when something fails."""

from __future__ import annotations

import errno
import gc
import stat
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from media_files import AWKWARD_NAMES, click, ffmpeg, left_behind, number_of, numbered_frame, numbers_of, onset
from thg_zoo.errors import MediaError, OutputError
from thg_zoo.media import ffmpeg as ffmpeg_module
from thg_zoo.media.audio import Audio, read_audio
from thg_zoo.media.image import XMP_KEYWORD
from thg_zoo.media.outputs import OutputKind, check_output
from thg_zoo.media.probe import probe
from thg_zoo.media.tagging import XMP_UUID
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter

SIZE = (48, 64)
KINDS = ["v.mp4", "v.webm", "v.gif", "frames"]
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>ünï</rdf></x:xmpmeta>'
TAGS = {"software": "thg-zoo", "comment": "synthetic = ünï 'q'\nsecond line"}


def write(path: Path, n: int = 30, fps: Fraction = Fraction(25), **options: Any) -> Path:
    with VideoWriter(path, fps, SIZE, **options) as writer:
        for number in range(n):
            writer.write(numbered_frame(number % 256))
    return path


def read_numbers(path: Path) -> list[int]:
    if path.is_dir():
        return [number_of(np.asarray(Image.open(file))) for file in sorted(path.glob("*.png"))]
    with VideoReader(path) as reader:
        return numbers_of(reader)


@pytest.mark.parametrize("name", KINDS)
def test_frames_come_back(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    assert read_numbers(path) == list(range(30))
    assert not left_behind(tmp_path)
    if path.is_dir():
        assert sorted(file.name for file in path.iterdir())[:2] == ["000000.png", "000001.png"]
    else:
        assert probe(path).fps == 25


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("stem", AWKWARD_NAMES)
def test_any_name(tmp_path: Path, name: str, stem: str) -> None:
    folder = tmp_path / stem
    folder.mkdir()
    path = write(folder / f"{stem.replace('.', '')}{Path(name).suffix}", 2)
    assert read_numbers(path) == [0, 1]


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(15), Fraction(50)])
@pytest.mark.parametrize("name", ["v.mp4", "v.webm"])
def test_exact_rates(tmp_path: Path, fps: Fraction, name: str) -> None:
    info = probe(write(tmp_path / name, 40, fps))
    assert info.fps == fps
    assert info.n_frames == 40


def test_gif_time_does_not_drift(tmp_path: Path) -> None:
    for fps, n, kept in ((Fraction(30), 31, 31), (Fraction(100), 40, 20)):
        path = write(tmp_path / "v.gif", n, fps, overwrite=True)
        with Image.open(path) as image:
            assert image.n_frames == kept  # type: ignore[attr-defined]
            assert image.info["loop"] == 0
            total = 0
            for index in range(kept):
                image.seek(index)
                assert image.info["duration"] >= 20
                total += image.info["duration"]
        assert abs(total - 1000 * n / fps) <= 10


@pytest.mark.parametrize("name", ["v.mp4", "v.webm", "frames"])
@pytest.mark.parametrize("form", ["wav", "mp3", "delayed", "array", "resampled"])
def test_sound_keeps_its_time(tmp_path: Path, name: str, form: str) -> None:
    soundfile.write(tmp_path / "a.wav", click(2, 1), 16_000)
    audio: Path | Audio = tmp_path / "a.wav"
    at = 1.0
    if form == "mp3":
        ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.mp3")
        audio = tmp_path / "a.mp3"
    elif form == "delayed":
        video = ["-f", "lavfi", "-i", "color=size=64x48:rate=25:duration=3"]
        ffmpeg(*video, "-itsoffset", "0.5", "-i", tmp_path / "a.wav", tmp_path / "a.mp4")
        audio, at = tmp_path / "a.mp4", 1.5
    elif form == "array":
        audio = read_audio((click(2, 1), 16_000))
    elif form == "resampled":
        audio = read_audio(tmp_path / "a.wav", 8000)
    path = write(tmp_path / name, 50, audio=audio)
    heard = read_audio(path / "audio.wav" if path.is_dir() else path)
    assert abs(onset(heard.samples, heard.sample_rate) - at) < 0.004
    # the AAC of the delayed file comes in blocks of 64 ms
    assert abs(heard.duration - Fraction(at) - 1) < Fraction(8 if form == "delayed" else 4, 100)
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("name", ["v.mp4", "v.webm", "frames"])
def test_duration_ends_the_sound(tmp_path: Path, name: str) -> None:
    sound = read_audio((click(5, 1), 16_000))
    path = write(tmp_path / name, 50, audio=sound, duration=Fraction(2))
    heard = read_audio(path / "audio.wav" if path.is_dir() else path)
    assert abs(heard.duration - 2) < Fraction(1, 50)
    if not path.is_dir():
        assert read_numbers(path) == list(range(50))


def test_neither_cuts_the_other(tmp_path: Path) -> None:
    short = write(tmp_path / "short.mp4", 100, audio=read_audio((click(1, 0.5), 16_000)))
    assert len(read_numbers(short)) == 100
    long = write(tmp_path / "long.mp4", 10, audio=read_audio((click(5, 1), 16_000)))
    assert abs(read_audio(long).duration - 5) < Fraction(1, 20)
    assert len(read_numbers(long)) == 10


def test_ten_minutes_stay_in_step(tmp_path: Path) -> None:
    fps = Fraction(30000, 1001)
    n = round(600 * fps)
    sound = np.zeros(600 * 16_000, np.float32)
    sound[-16_000:] = click(1, 0.5)
    batch = np.zeros((500, 16, 16, 3), np.uint8)
    with VideoWriter(tmp_path / "v.mp4", fps, (16, 16), read_audio((sound, 16_000)), duration=n / fps) as writer:
        for start in range(0, n, 500):
            writer.write(batch[: min(500, n - start)])
    info = probe(tmp_path / "v.mp4")
    heard = read_audio(tmp_path / "v.mp4")
    assert info.n_frames == n
    assert info.fps == fps
    assert abs(heard.duration - n / fps) < 1 / (2 * fps)
    assert abs(onset(heard.samples, heard.sample_rate) - 599.5) < 0.005


def test_odd_size_is_padded_by_its_edge(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (4, 5, 3)).astype(np.uint8).repeat(12, 0).repeat(11, 1)[:47]
    assert frame.shape == (47, 55, 3)
    with caplog.at_level("INFO"), VideoWriter(tmp_path / "v.mp4", 25, (47, 55)) as writer:
        writer.write(frame)
    assert "padded to 56x48" in caplog.text
    read = next(iter(VideoReader(tmp_path / "v.mp4"))).astype(int)
    assert read.shape == (48, 56, 3)
    assert np.abs(read[47, :55] - frame[46]).mean() < 12
    assert np.abs(read[:47, 55] - frame[:, 54]).mean() < 12


@pytest.mark.parametrize("name", ["v.mp4", "v.webm"])
def test_colours(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8).repeat(32, 0).repeat(32, 1)
    with VideoWriter(tmp_path / name, 25, (128, 128)) as writer:
        for _ in range(5):
            writer.write(frame)
    centres = next(iter(VideoReader(tmp_path / name)))[16::32, 16::32].astype(int)
    assert np.abs(centres - frame[16::32, 16::32]).max() <= 5
    header = probe(tmp_path / name).header
    assert header is not None
    assert header.video is not None
    assert "bt709" in header.video.colours


def test_mp4_is_playable_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", audio=read_audio((click(1, 0.5), 16_000)), metadata=TAGS, xmp=XMP)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    said = subprocess.run([ffmpeg_module.executable(), "-i", path], capture_output=True, text=True).stderr
    assert "h264 (High)" in said
    assert "yuv420p(tv, bt709" in said
    assert "aac (LC)" in said


def tags_of(path: Path) -> str:
    return ffmpeg("-i", f"file:{path}", "-f", "ffmetadata", "-").decode()


def test_tags_and_xmp(tmp_path: Path) -> None:
    mp4 = write(tmp_path / "v.mp4", metadata=TAGS, xmp=XMP)
    assert "software=thg-zoo" in tags_of(mp4)
    assert "ünï 'q'" in tags_of(mp4)
    box = mp4.read_bytes()
    at = box.index(XMP_UUID)
    assert box[at - 4 : at] == b"uuid"
    assert int.from_bytes(box[at - 8 : at - 4], "big") == len(box) - at + 8
    assert box[at + 16 :].decode() == XMP
    assert read_numbers(mp4) == list(range(30))

    webm = write(tmp_path / "v.webm", metadata=TAGS, xmp=XMP)
    assert "software=thg-zoo" in tags_of(webm).lower()
    assert XMP.encode() in webm.read_bytes()

    gif = write(tmp_path / "v.gif", metadata={**TAGS, "long": "x" * 1000}, xmp=XMP)
    assert XMP.encode() in gif.read_bytes()
    with Image.open(gif) as image:
        assert b"software: thg-zoo" in image.info["comment"]
        assert image.info["comment"].endswith(b"x" * 1000)
    assert read_numbers(gif) == list(range(30))

    folder = write(tmp_path / "frames", 2, metadata=TAGS, xmp=XMP)
    with Image.open(folder / "000001.png") as image:
        assert image.info["software"] == "thg-zoo"
        assert image.info[XMP_KEYWORD] == XMP


def test_tags_of_the_sound_file_stay_behind(tmp_path: Path) -> None:
    tone = ["-f", "lavfi", "-i", "sine=440:duration=1"]
    ffmpeg(*tone, "-metadata", "title=private", tmp_path / "a.mp3")
    assert "private" not in tags_of(write(tmp_path / "v.mp4", audio=tmp_path / "a.mp3"))


@pytest.mark.parametrize("tags", [{"a=b": "c"}, {"": "c"}, {"a": "\0"}, {"a": "x" * 200_000}])
def test_impossible_tags(tmp_path: Path, tags: dict[str, str]) -> None:
    with pytest.raises(OutputError, match="metadata"):
        VideoWriter(tmp_path / "v.mp4", 25, SIZE, metadata=tags)


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_left_by_an_exception(tmp_path: Path, name: str) -> None:
    sound = read_audio((click(1, 0.5), 16_000))
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / name, 25, SIZE, sound) as writer:  # noqa: PT012
        writer.write(numbered_frame(1))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_left_by_a_forgotten_or_empty_writer(tmp_path: Path, name: str) -> None:
    writer = VideoWriter(tmp_path / name, 25, SIZE)
    writer.write(numbered_frame(1))
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="no frames"):
        VideoWriter(tmp_path / name, 25, SIZE).close()
    assert list(tmp_path.iterdir()) == []


def test_closed_and_aborted_writers(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", 25, SIZE)
    writer.write(np.stack([numbered_frame(0), numbered_frame(1)]))
    assert writer.n_frames == 2
    assert writer.close() == writer.close() == tmp_path / "v.mp4"
    writer.abort()
    assert read_numbers(tmp_path / "v.mp4") == [0, 1]
    with pytest.raises(OutputError, match="closed"):
        writer.write(numbered_frame(0))


def test_wrong_frames(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer:
        for wrong in (np.zeros((64, 48, 3), np.uint8), np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.float32)):
            with pytest.raises(ValueError, match="promised"):
                writer.write(wrong)  # type: ignore[arg-type]
        writer.write(numbered_frame(0))


@pytest.mark.skipif(sys.platform == "win32", reason="needs an executable script")
@pytest.mark.parametrize("feed", [True, False])
def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feed: bool) -> None:
    """An encoder that dies of it while frames come, and one that dies at the end."""
    script = tmp_path / "full-disk"
    eat = "" if feed else "cat > /dev/null\n"
    noise = (
        "i=0; while [ $i -lt 3000 ]; do echo 'much to say about nothing at all, line after line' >&2; i=$((i+1)); done"
    )
    script.write_text(f"#!/bin/sh\n{noise}\n{eat}echo 'Error writing: No space left on device' >&2\nexit 228\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(ffmpeg_module, "executable", lambda: str(script))
    folder = tmp_path / "out"
    folder.mkdir()
    full = pytest.raises(OutputError, match=r"v\.mp4.*the disk is full \(\d+\.\d MB free")
    with full, VideoWriter(folder / "v.mp4", 25, SIZE) as writer:
        for _ in range(200):
            writer.write(numbered_frame(0))
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize("limit", [10, 500, 9000])
@pytest.mark.parametrize("name", ["v.gif", "v.mp4"])
def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path, name: str, limit: int) -> None:
    """The picture's own file, which is written through a buffer, and that of a sound from memory."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 256, (20, *SIZE, 3), dtype=np.uint8)
    sound = Audio(np.zeros(16_000, np.float32), 16_000) if name == "v.mp4" else None
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with (
            pytest.raises(OutputError, match="File too large"),
            VideoWriter(tmp_path / name, 25, SIZE, sound) as writer,
        ):
            writer.write(noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_gif_has_a_largest_size(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="65535"):
        VideoWriter(tmp_path / "v.gif", 25, (16, 70_000))
    assert not list(tmp_path.iterdir())


def test_failing_encoder_is_quoted(tmp_path: Path) -> None:
    refused = pytest.raises(OutputError, match=r"v\.webm cannot be written: .+")
    with refused, VideoWriter(tmp_path / "v.webm", 25, (1, 70_000)) as writer:  # wider than VP9 can be
        for _ in range(20):
            writer.write(np.zeros((1, 70_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_unusable_sound(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.mp4", 2)
    (tmp_path / "text.wav").write_text("text")
    for source, words in ((silent, "has no sound"), (tmp_path / "text.wav", "holds text")):
        with pytest.raises(MediaError, match=words):
            VideoWriter(tmp_path / "v.mp4", 25, SIZE, source)
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("fps", [0, -25, Fraction(1, 2**40)])
def test_impossible_rates(tmp_path: Path, fps: Fraction) -> None:
    with pytest.raises(OutputError, match="frames per second"):
        VideoWriter(tmp_path / "v.mp4", fps, SIZE)


def test_check_output(tmp_path: Path) -> None:
    for name, kind in {
        "v.mp4": "MP4",
        "V.WebM": "WEBM",
        "v.gif": "GIF",
        "v.png": "PNG",
        "folder": "PNG_FOLDER",
    }.items():
        assert check_output(tmp_path / name) is OutputKind[kind]
    (tmp_path / "there.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert check_output(tmp_path / "empty") is OutputKind.PNG_FOLDER
    assert check_output(tmp_path / "there.mp4", overwrite=True) is OutputKind.MP4
    for name, words in {
        "v.mov": r"\.mov cannot be written.*\.mp4, \.webm, \.gif",
        "v.bmp": r"\.bmp cannot",
        "none/v.mp4": "does not exist",
        "there.mp4": "exists already",
        "folder.mp4": "is a folder",
        "file": "is a file",
        ".mp4": "no name",
        "there.mp4/v.mp4": "does not exist",
        f"{'v' * 300}.mp4": "too long",
    }.items():
        with pytest.raises(OutputError, match=words):
            check_output(tmp_path / name)


def test_one_frame_as_a_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "v.png", 1, metadata=TAGS, xmp=XMP)
    with Image.open(path) as image:
        assert number_of(np.asarray(image)) == 0
        assert image.info["comment"] == TAGS["comment"]
        assert image.info[XMP_KEYWORD] == XMP
    with pytest.raises(OutputError, match="one frame"):
        write(tmp_path / "two.png", 2)
    assert not left_behind(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["v.png"]


def test_overwriting(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", 3)
    write(tmp_path / "v.mp4", 5, overwrite=True)
    assert len(read_numbers(tmp_path / "v.mp4")) == 5
    write(tmp_path / "frames", 5)
    write(tmp_path / "frames", 3, overwrite=True)
    assert len(list((tmp_path / "frames").iterdir())) == 3
    (tmp_path / "frames" / "thesis.txt").touch()
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        check_output(tmp_path / "frames", overwrite=True)
    assert not left_behind(tmp_path)


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "frames", 5)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target == path and ".thg-zoo" in self.name and len(list(self.iterdir())) == 3:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Input/output error"):
        write(path, 3, overwrite=True)
    assert len(list(path.iterdir())) == 5
    assert not left_behind(tmp_path)


def test_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", 25, SIZE)
    writer.write(numbered_frame(0))
    (tmp_path / "v.mp4").write_text("somebody else's")
    with pytest.raises(OutputError, match="exists already"):
        writer.close()
    assert (tmp_path / "v.mp4").read_text() == "somebody else's"
    assert not left_behind(tmp_path)
