"""The grid: where cells go, what is in them at which time, and that sizes and rates of all kinds fit together."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thg_zoo.comparison.cells import Cell, driver_cell, model_cell, scaled, source_cell, waveform, without_folders
from thg_zoo.comparison.grid import contact_sheet, key_frames, labelled_canvas, write_grid
from thg_zoo.comparison.layout import GAP, fitted, plan
from thg_zoo.comparison.lettering import PANEL, WARNING, label, notice
from thg_zoo.comparison.results import Row, Timings
from thg_zoo.comparison.trial import Watch
from thg_zoo.errors import Cancelled
from thg_zoo.inputs import Clip, Driver, open_source
from thg_zoo.media.audio import Audio, read_audio
from thg_zoo.media.video import VideoReader
from thg_zoo.memory import Memory
from thg_zoo.provenance import synthetic_tags
from thg_zoo.zoo import describe

TAGS = synthetic_tags(describe("warp").spec, "warp")


def ramp(n: int, size: tuple[int, int], fps: Fraction, top: int = 240) -> Clip:
    """A video whose grey level says its frame number: level = top * k // n."""
    levels = np.array([top * k // n for k in range(n)], np.uint8)
    return Clip(np.broadcast_to(levels[:, None, None, None], (n, *size, 3)).copy(), fps)


def row(model: str, clip: Clip) -> Row:
    size = (clip.frames.shape[1], clip.frames.shape[2])
    times = Timings(load=1.0, prepare=0.1, file_to_file=2.0, per_frame=0.04)
    return Row(
        model, "ok", fps=clip.fps, frames=len(clip.frames), size=size, timings=times, memory=Memory(1, 2, None, True)
    )


def cell(clip: Clip, name: str = "model") -> Cell:
    return model_cell(row(name, clip), open_source(clip, ("video",)))


@pytest.mark.parametrize("models", [1, 2, 5, 9])
@pytest.mark.parametrize("aspect", [0.6, 1.0, 16 / 9])
def test_layouts_fit_the_screen_and_hold_all_cells(models: int, aspect: float) -> None:
    cells = models + 2
    layout = plan([(512, round(512 * aspect))] * cells)
    height, width = layout.size
    assert layout.rows * layout.columns >= cells
    assert (layout.rows - 1) * layout.columns < cells
    assert height <= 1080 + 2
    assert width <= 1920 + 2
    assert height % 2 == width % 2 == 0
    taken = np.zeros(layout.size, int)
    for k in range(cells):
        y, x = layout.corner(k)
        taken[y - layout.label : y + layout.height, x : x + layout.width] += 1
    assert taken.max() == 1
    assert taken.sum() == cells * (layout.height + layout.label) * layout.width
    # No more than a third of the places is empty.
    assert layout.rows * layout.columns - cells <= cells / 2


def test_sizes_of_all_kinds_share_one_height() -> None:
    layout = plan([(512, 512), (100, 700), (300, 100)])
    assert layout.width == 2 * layout.height
    assert fitted((512, 512), layout) == (layout.height, layout.height)
    wide = fitted((100, 700), layout)
    assert wide[1] == layout.width
    assert wide[0] < layout.height
    assert plan([(64, 64)] * 3, height=200).height == 200
    assert plan([(512, 200), None, None]) == plan([(512, 200)] * 3), "what is drawn for the cell has no say"
    assert fitted(None, layout) == (layout.height, layout.width)


@pytest.mark.parametrize(("fps", "wanted"), [(25, 30), (30, 25), (Fraction(30000, 1001), 50)])
def test_cells_show_the_frame_of_the_moment(fps: Fraction, wanted: Fraction) -> None:
    fps, wanted = Fraction(fps), Fraction(wanted)
    clip = ramp(40, (16, 16), fps)
    shown = list(itertools.islice(cell(clip).pictures(wanted, (16, 16)), 90))
    for i, picture in enumerate(shown):
        index = min(int(i / wanted * fps), 39)  # the last one stays
        assert picture[0, 0, 0] == 240 * index // 40
    assert shown[-1] is shown[-2]


def test_the_grid_video(tmp_path: Path, face: NDArray[np.uint8], short_speech: Audio) -> None:
    """Two models at different rates and sizes, one that failed, a picture, and speech: each where it belongs."""
    slow, fast = ramp(5, (64, 48), Fraction(10)), ramp(12, (90, 90), Fraction(24))
    speech = Driver("speech", "audio", audio=short_speech)
    failed = model_cell(Row("broken", "failed", error="'/tmp/x/a.wav' is no video."), None)
    cells = [
        source_cell(open_source(face, ("image",))),
        driver_cell(speech),
        cell(slow, "slow"),
        cell(fast, "fast"),
        failed,
    ]
    layout = plan([c.size for c in cells], height=96)
    path = tmp_path / "grid.mp4"
    kept = write_grid(path, cells, layout, Fraction(24), 12, audio=short_speech, tags=TAGS, keys=[0, 6], watch=Watch())
    reader = VideoReader(path)
    assert (reader.size, reader.fps, reader.n_frames) == (layout.size, 24, 12)
    assert reader.info.has_audio
    frames = np.stack(list(reader))
    for k, clip in ((2, slow), (3, fast)):
        y, x = layout.corner(k)
        middle = frames[:, y + layout.height // 2, x + layout.width // 2, 0]
        expected = [
            240 * min(int(Fraction(i, 24) * clip.fps), len(clip.frames) - 1) // len(clip.frames) for i in range(12)
        ]
        assert np.abs(middle.astype(int) - expected).max() <= 6
    y, x = layout.corner(4)
    empty = frames[0, y : y + layout.height, x : x + layout.width].reshape(-1, 3).astype(int)
    assert np.abs(empty - PANEL).max(axis=1).min() <= 6
    assert (np.abs(empty - WARNING).max(axis=1) < 60).any()
    assert [len(pictures) for pictures in kept] == [2] * 5
    sheet = contact_sheet(cells, kept, [Fraction(0), Fraction(1, 4)])
    assert sheet.shape[0] > 5 * 160
    line = sheet[-100:-40].astype(int)
    assert (np.abs(line - WARNING).max(axis=2) < 60).any(), "the reason"
    assert np.array_equal(line[:, 140:144], np.broadcast_to(PANEL, (60, 4, 3))), "once, across all columns"
    assert sheet.dtype == np.uint8


def test_a_cancelled_grid_leaves_nothing(tmp_path: Path) -> None:
    cells = [cell(ramp(30, (32, 32), Fraction(25)))]
    with pytest.raises(Cancelled):
        write_grid(
            *(tmp_path / "grid.mp4", cells, plan([(32, 32)]), Fraction(25), 30),
            audio=None,
            tags=TAGS,
            keys=[],
            watch=Watch(cancel=lambda: True),
        )
    assert not list(tmp_path.iterdir())


def test_the_line_on_the_sound_moves_with_the_time(short_speech: Audio) -> None:
    size = (60, 220)
    pictures = driver_cell(Driver("speech", "audio", audio=short_speech)).pictures(Fraction(25), size)
    columns = [
        np.flatnonzero((picture == WARNING).all(axis=(0, 2))).max() for picture in itertools.islice(pictures, 11)
    ]
    assert columns[0] == 0
    assert np.allclose(columns, [i / 25 / 0.44 * 220 for i in range(11)], atol=1.5)
    curve = waveform(np.array([0.0, 1.0, 0.0], np.float32), (60, 30))
    assert (curve[5, 10:20] != PANEL).any()
    assert (curve[5, :10] == PANEL).all()


def test_labels_are_cut_and_messages_wrapped() -> None:
    for width in (40, 200):
        picture = label("a-model-with-a-rather-long-name", "512 x 512, 25 fps", (40, width))
        assert picture.shape == (40, width, 3)
    long = notice("The source cannot be used. " * 20, (120, 160))
    assert long.shape == (120, 160, 3)
    assert (long[:4] == PANEL).all(), "the text fits"
    assert without_folders("'/a/b c/d.wav' is no video of /x/y/z.png.") == "d.wav is no video of z.png."
    assert without_folders("either and/or both") == "either and/or both"


def test_key_frames_lie_in_the_middles_of_equal_parts() -> None:
    assert key_frames(60, 6) == [5, 15, 25, 35, 45, 55]
    assert key_frames(2, 6) == [0, 1]


def test_scaling_keeps_what_fits(face: NDArray[np.uint8]) -> None:
    assert scaled(face, face.shape[:2]) is face
    assert scaled(face, (100, 50)).shape == (100, 50, 3)
    canvas = labelled_canvas([cell(ramp(3, (32, 32), Fraction(25)))], plan([(32, 32)]))
    assert (canvas[:GAP] == canvas[0, 0]).all()


def test_the_speech_can_be_a_file(speech_path: Path) -> None:
    found = driver_cell(Driver("speech", "audio", audio=speech_path))
    assert found.duration is not None
    assert abs(found.duration - read_audio(speech_path).duration) < Fraction(1, 50)


def test_an_edit_has_a_cell_too() -> None:
    cell = driver_cell(Driver("'turn.yaml'", "edit"))
    assert (cell.subtitle, cell.size) == ("edit", None)
    assert next(cell.pictures(Fraction(25), (64, 96))).shape == (64, 96, 3)
