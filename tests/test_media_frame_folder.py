"""Folders of pictures as videos: order, rate, sizes, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thg_zoo
from thg_zoo.cli import run as command
from thg_zoo.errors import MediaError, MediaLimitError, UsageError
from thg_zoo.inputs import frame_folder, open_driver
from thg_zoo.media.frame_folder import FrameFolder
from thg_zoo.media.limits import Limits
from thg_zoo.media.video import VideoReader

SIZE = (24, 32)


def write_frame(path: Path, level: int, size: tuple[int, int] = SIZE) -> None:
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eleven frames whose names sort wrongly as text, and files that are no frames."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(11):
        write_frame(frames / (f"Frame{i}.PNG" if i % 2 else f"frame{i}.png"), 10 * i)
    (frames / "notes.txt").write_text("shot on Monday")
    (frames / ".frame99.png").write_bytes(b"half a picture")
    (frames / "frame5").mkdir()
    return frames


def levels(frames: FrameFolder, start: int = 0, stop: int | None = None) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames.frames(start, stop)]


def test_frames_come_in_natural_order(folder):
    frames = FrameFolder(folder)
    assert (frames.n_frames, frames.size, frames.fps) == (11, SIZE, 25)
    assert levels(frames) == [10 * i for i in range(11)]
    assert levels(frames, 2, 4) == [20, 30]
    assert levels(frames, 9) == [90, 100]
    assert levels(frames, 11) == []
    reading = frames.frames()
    assert next(reading)[0, 0, 0] == 0
    reading.close()


def test_a_folder_drives_like_a_video(folder):
    driver = open_driver(str(folder), ("video", "image"))
    assert (driver.kind, driver.frames.fps, driver.frames.n_frames, driver.audio) == ("video", 25, 11, None)
    assert driver.frames.size == SIZE
    ntsc = open_driver(frame_folder(folder, 29.97), ("video",))
    assert ntsc.frames.fps == Fraction(30000, 1001)
    with pytest.raises(MediaError, match="of kind video without sound; this model is driven by audio"):
        open_driver(folder, ("audio",))
    with pytest.raises(MediaError, match="of kind video without sound; audio is asked for"):
        open_driver(folder, ("audio", "video"), "audio")
    with pytest.raises(UsageError, match="frame rate"):
        frame_folder(folder, "quick")
    with pytest.raises(UsageError, match="frame rate"):
        frame_folder(folder, 0)


def test_unusable_folders_are_refused(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "clip.mp4").write_bytes(b"0")
    with pytest.raises(MediaError, match="holds no pictures"):
        open_driver(empty, ("video",))
    with pytest.raises(MediaError, match="not a folder"):
        frame_folder(folder / "frame0.png", 30)
    with pytest.raises(MediaLimitError, match="s long"):
        FrameFolder(folder, limits=Limits(max_seconds=0.1))
    with pytest.raises(MediaLimitError, match="frames per second"):
        FrameFolder(folder, Fraction(1000))
    write_frame(folder / "frame7b.png", 0, (24, 30))
    with pytest.raises(MediaError, match=r"frame0\.png has 32 x 24 pixels, frame7b\.png 30 x 24"):
        FrameFolder(folder)
    (folder / "frame7b.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    with pytest.raises(MediaError, match=r"frame7b\.png is a damaged PNG"):
        FrameFolder(folder)


def test_a_frame_that_changes_while_it_is_read(folder):
    frames = FrameFolder(folder)
    write_frame(folder / "frame8.png", 0, (24, 30))
    with pytest.raises(MediaError, match="different sizes"):
        list(frames.frames())


def test_a_picture_on_its_side_counts_as_it_is_shown(tmp_path):
    turned = Image.fromarray(np.zeros((32, 24, 3), np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "1.jpg", exif=exif)
    write_frame(tmp_path / "2.jpg", 0)
    assert FrameFolder(tmp_path).size == SIZE


def test_the_command_takes_a_folder(face, face_path, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(3):
        Image.fromarray(np.roll(face, 2 * i, axis=1)).save(frames / f"{i}.png")
    target = tmp_path / "out.mp4"
    command.run("warp", str(face_path), str(frames), output=str(target), driver_fps="12", quiet=True)
    with VideoReader(target) as reader:
        assert (reader.fps, reader.n_frames) == (12, 3)
    by_path = thg_zoo.load("warp").animate(face, frames)
    assert (by_path.fps, by_path.n_frames) == (25, 3)
    with pytest.raises(MediaError, match="not a folder"):
        command.run("warp", str(face_path), str(target), output=str(tmp_path / "b.mp4"), driver_fps="12", quiet=True)
