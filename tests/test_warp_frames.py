"""Frames of `warp`: the picture at rest is the picture, fields do not fold, and batches change nothing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import thg_zoo
from thg_zoo.adapter import Adapter
from thg_zoo.adapters.warp.anatomy import LINE_SAMPLES, Anatomy, study
from thg_zoo.adapters.warp.canvas import Box, Canvas, make_canvas
from thg_zoo.adapters.warp.field import POSE, head_displacement, mouth_maps, widen
from thg_zoo.adapters.warp.painting import paint
from thg_zoo.adapters.warp.texture import make_texture
from thg_zoo.errors import FaceError, OptionError
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import read_image

Picture = NDArray[np.uint8]
# Five points of the example portrait in its full size, measured by hand.
POINTS = np.array([(203, 101), (246, 103), (222, 126), (203, 141), (244, 141)], np.float32)
STILL = {"head_motion": 0.0, "blink": 0.0}


@pytest.fixture(scope="module")
def model() -> Adapter[Any, Any]:
    return thg_zoo.load("warp", device="cpu")


@pytest.fixture(scope="module")
def picture(face_path: Path) -> Picture:
    return read_image(face_path)


@pytest.fixture(scope="module")
def anatomy(picture: Picture) -> Anatomy:
    return study(picture, POINTS)


@pytest.fixture(scope="module")
def canvas(picture: Picture, anatomy: Anatomy) -> Canvas:
    return make_canvas(torch.from_numpy(picture), anatomy)


def motion(
    *, jaw: float = 0, width: float = 0, closure: float = 0, lids: float = 0, brows: float = 0, **pose: float
) -> dict[str, Tensor]:
    return {
        "mouth": torch.tensor([[jaw, width, closure]]),
        "eyes": torch.tensor([[lids, brows]]),
        "pose": torch.tensor([[pose.get(name, 0.0) for name in POSE]]),
    }


def painted(canvas: Canvas, **values: float) -> Picture:
    return paint(canvas, motion(**values), True)[0].numpy()


def box_of(picture: Picture, canvas: Canvas) -> Picture:
    return picture[canvas.box.slices]


def lines_at_middle(anatomy: Anatomy) -> tuple[float, float]:
    middle = LINE_SAMPLES // 2
    return float(anatomy.upper_line[middle]), float(anatomy.lower_line[middle])


def to_pixels(anatomy: Anatomy, x: float, y: float) -> tuple[int, int]:
    p = np.linalg.inv(anatomy.matrix[:, :2]) @ (np.array([x, y]) - anatomy.matrix[:, 2])
    return round(float(p[0])), round(float(p[1]))


def test_the_smile_is_parted_between_teeth_and_lower_lip(anatomy: Anatomy) -> None:
    # In the picture the teeth of the smile reach from row 141 to row 149.
    upper, lower = lines_at_middle(anatomy)
    assert anatomy.teeth
    assert 138 <= to_pixels(anatomy, 0.0, upper)[1] <= 145
    assert 147 <= to_pixels(anatomy, 0.0, lower)[1] <= 152


def test_eyes_are_where_they_are(anatomy: Anatomy) -> None:
    for eye, (x, y) in zip(anatomy.eyes, POINTS[:2], strict=True):
        column, row = to_pixels(anatomy, eye.cx, eye.cy)
        assert abs(column - x) <= 3
        assert abs(row - y) <= 4


def test_rest_is_the_picture(picture: Picture, canvas: Canvas) -> None:
    np.testing.assert_array_equal(painted(canvas), box_of(picture, canvas))


def test_teeth_stay_and_the_lower_lip_falls(picture: Picture, canvas: Canvas, anatomy: Anatomy) -> None:
    upper, lower = lines_at_middle(anatomy)
    before, after = box_of(picture, canvas).astype(int), painted(canvas, jaw=0.6).astype(int)
    x, top = to_pixels(anatomy, 0.0, upper + 0.3 * (lower - upper))
    below = to_pixels(anatomy, 0.0, lower + 0.06)[1]
    row, column = top - canvas.box.y0, x - canvas.box.x0
    assert np.abs(after[row, column - 4 : column + 5] - before[row, column - 4 : column + 5]).mean() < 12
    cavity = after[below - canvas.box.y0, column - 3 : column + 4]
    assert cavity.mean() < 0.4 * before[below - canvas.box.y0, column - 3 : column + 4].mean()


def test_closure_covers_the_teeth(picture: Picture, canvas: Canvas, anatomy: Anatomy) -> None:
    upper, lower = lines_at_middle(anatomy)
    x, y = to_pixels(anatomy, 0.0, upper + 0.6 * (lower - upper))
    window = (slice(y - 1 - canvas.box.y0, y + 2 - canvas.box.y0), slice(x - 5 - canvas.box.x0, x + 6 - canvas.box.x0))
    open_, closed = box_of(picture, canvas)[window].astype(int), painted(canvas, closure=1.0)[window].astype(int)
    # Lips are redder than teeth.
    redness = [float((v[..., 0] - v[..., 1]).mean()) for v in (open_, closed)]
    assert redness[1] > redness[0] + 10


def test_a_blink_hides_the_eyes(picture: Picture, canvas: Canvas) -> None:
    shut, open_ = painted(canvas, lids=1.0), box_of(picture, canvas)
    for x, y in POINTS[:2].astype(int) - (canvas.box.x0, canvas.box.y0):
        window = (slice(y - 2, y + 3), slice(x - 3, x + 4))
        assert open_[window].min() < 80
        assert shut[window].mean() > open_[window].mean() + 30


def test_only_the_head_changes(picture: Picture, canvas: Canvas) -> None:
    moved = painted(canvas, jaw=0.8, width=-0.5, lids=1.0, yaw=0.06, xy=0.03, x1=-0.05, y1=0.03)
    assert np.abs(moved.astype(int) - box_of(picture, canvas)).max() > 60
    # Where the box ends, what is outside goes on without a seam.
    rim = np.concatenate([moved[0], moved[-1], moved[:, 0], moved[:, -1]])
    own = box_of(picture, canvas)
    np.testing.assert_array_equal(rim, np.concatenate([own[0], own[-1], own[:, 0], own[:, -1]]))


@pytest.mark.parametrize("values", [{"jaw": 1.0}, {"jaw": 0.5, "width": -1.0}, {"width": 1.0}, {"closure": 1.0}])
def test_mouth_maps_do_not_fold(canvas: Canvas, values: dict[str, float]) -> None:
    mouth = {"jaw": 0.0, "width": 0.0, "closure": 0.0} | values
    step = 0.01
    x, y = torch.meshgrid(torch.arange(-1.2, 1.2, step), torch.arange(-0.5, 2.9, step), indexing="xy")
    moved_x = widen(x, y, canvas.lines, mouth["width"], mouth["jaw"])
    maps = mouth_maps(moved_x, y, canvas.lines, mouth["jaw"], mouth["closure"])
    for source_y, side in ((maps.from_upper, y <= maps.upper_edge), (maps.from_lower, y >= maps.lower_edge)):
        jacobian = torch.gradient(moved_x, spacing=step, dim=1)[0] * torch.gradient(source_y, spacing=step, dim=0)[0]
        jacobian -= torch.gradient(moved_x, spacing=step, dim=0)[0] * torch.gradient(source_y, spacing=step, dim=1)[0]
        assert jacobian[side].min() > 0.05
    # Beyond the corners both maps are one: no tear goes on into the cheek.
    outside = maps.across.abs() > 1
    torch.testing.assert_close(maps.from_upper[outside], maps.from_lower[outside], atol=1e-3, rtol=0)


def test_edges_of_the_lips_meet_their_maps(canvas: Canvas) -> None:
    x = torch.linspace(-0.3, 0.3, 31)[None]
    maps = mouth_maps(x, torch.zeros_like(x), canvas.lines, 0.7, 0.2)
    at_lower = mouth_maps(x, maps.lower_edge, canvas.lines, 0.7, 0.2)
    at_upper = mouth_maps(x, maps.upper_edge, canvas.lines, 0.7, 0.2)
    torch.testing.assert_close(at_lower.from_lower, at_lower.rest_lower, atol=1e-5, rtol=0)
    torch.testing.assert_close(at_upper.from_upper, at_upper.rest_upper, atol=1e-5, rtol=0)


def test_head_motion_does_not_fold(canvas: Canvas) -> None:
    for pose in ([0.1, 0.06, 0, 0.05, -0.1, -0.05, 0, 0.05], [0, 0, 0.08, 0.1, -0.15, -0.1, 0.08, 0.05]):
        dx, dy = head_displacement(pose, canvas.head)
        x, y = canvas.points[0] + dx, canvas.points[1] + dy
        jacobian = torch.diff(x, dim=1)[:-1] * torch.diff(y, dim=0)[:, :-1]
        jacobian -= torch.diff(x, dim=0)[:, :-1] * torch.diff(y, dim=1)[:-1]
        assert jacobian.min() > 0


def test_textures_of_host_and_device_agree(picture: Picture) -> None:
    from thg_zoo.adapters.warp.texture import _DeviceTexture, _doubled

    part = torch.from_numpy(picture[60:160, 150:290].copy())
    host = make_texture(part)
    image = _doubled(_doubled(part.permute(2, 0, 1).float(), 1), 2)
    device = _DeviceTexture(image, 2, (100, 140))
    shift = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, (8, 9, 2)).astype(np.float32))
    results = []
    for texture in (host, device):
        out = torch.empty(100, 140, 3, dtype=torch.uint8)
        texture.warp(shift, out)
        results.append(out.float())
    assert (results[0] - results[1]).abs().mean() < 0.7
    assert (results[0] - results[1]).abs().max() < 12


def test_strips_cover_a_box() -> None:
    strips = list(Box(3, 20, 5, 15).strips(40))
    assert [s.y0 for s in strips] == [3, 7, 11, 15, 19]
    assert strips[-1] == Box(19, 20, 5, 15)
    assert not list(Box(4, 4, 0, 9).strips(10))


# Through the public interface.


def test_silence_without_blinks_is_the_picture(model: Adapter[Any, Any], face: Picture) -> None:
    frames = model.animate(face, (np.zeros(8000, np.float32), 16000), **STILL).to_array()
    assert len(frames) == 13
    for frame in frames:
        np.testing.assert_array_equal(frame, face)


def test_silence_still_lives(model: Adapter[Any, Any], face: Picture) -> None:
    frames = model.animate(face, (np.zeros(64000, np.float32), 16000)).to_array().astype(int)
    assert np.abs(np.diff(frames, axis=0)).max() > 20


def test_batch_size_changes_nothing(face: Picture, short_speech: Audio) -> None:
    results = [
        thg_zoo.load("warp", device="cpu", batch_size=size).animate(face, short_speech, seed=5).to_array()
        for size in (1, 3, 8)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_seeds(model: Adapter[Any, Any], face: Picture, short_speech: Audio) -> None:
    portrait = model.prepare(face)
    one, again, two = (portrait.animate(short_speech, seed=s).to_array() for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


def test_background_is_untouched(model: Adapter[Any, Any], face: Picture, short_speech: Audio) -> None:
    portrait = model.prepare(face)
    frames = portrait.animate(short_speech, head_motion=2.0).to_array()
    outside = np.ones(face.shape[:2], bool)
    outside[portrait.identity.canvas.box.slices] = False
    assert outside.mean() > 0.5
    assert (frames[:, outside] == face[outside]).all()
    assert (frames != face).any()


def test_frames_change_smoothly(model: Adapter[Any, Any], face: Picture, speech_path: Path) -> None:
    frames = model.animate(face, speech_path, blink=0.0).to_array().astype(np.int16)
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert change.max() < 2.0


def test_ten_milliseconds_make_a_frame(model: Adapter[Any, Any], face: Picture) -> None:
    assert len(model.animate(face, (np.full(160, 0.1, np.float32), 16000)).to_array()) == 1


def test_grey_and_dark_pictures_work(model: Adapter[Any, Any], face: Picture, short_speech: Audio) -> None:
    grey = np.repeat(face.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    frames = model.animate(grey, short_speech).to_array().astype(int)
    assert np.abs(frames - frames.mean(axis=3, keepdims=True)).max() < 30
    dark = (face * 0.35).astype(np.uint8)
    assert model.animate(dark, short_speech).to_array().max() <= dark.max() + 8


def test_a_driving_video_moves_the_mouth_in_step(model: Adapter[Any, Any], picture: Picture, canvas: Canvas) -> None:
    opened = 0.5 * (1 - np.cos(np.linspace(0, 4 * np.pi, 25)))
    frames = np.repeat(picture[None, 0:256, 96:352], 25, axis=0).copy()
    for frame, jaw in zip(frames, opened, strict=True):
        whole = picture.copy()
        whole[canvas.box.slices] = painted(canvas, jaw=float(jaw) * 0.8)
        frame[:] = whole[0:256, 96:352]
    animation = model.prepare(picture).animate(Clip(frames, Fraction(30)), drive_by="video")
    assert animation.fps == 30
    found = torch.cat([batch["mouth"] for batch in animation.motion.batches(8)])[:, 0].numpy()
    assert len(found) == 25
    assert np.corrcoef(found, opened)[0, 1] > 0.8
    assert found[0] < 0.1


def test_a_source_video_keeps_its_frames_around_the_mouth(
    model: Adapter[Any, Any], face_clip: Clip, short_speech: Audio
) -> None:
    frames = model.animate(face_clip, short_speech, extend="ping-pong").to_array()
    assert len(frames) == 11
    for i, k in enumerate([0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2]):
        np.testing.assert_array_equal(frames[i, :50], face_clip.frames[k, :50])
    assert any((frames[i] != face_clip.frames[i]).any() for i in range(7))


def test_no_face_is_an_error_that_names_the_source(model: Adapter[Any, Any]) -> None:
    with pytest.raises(FaceError, match="picture"):
        model.prepare(np.full((128, 128, 3), 120, np.uint8))


@pytest.mark.parametrize("options", [{"mouth": 3}, {"extend": "never"}, {"jaw": 1}, {"face": "smallest"}])
def test_options_are_checked(model: Adapter[Any, Any], face: Picture, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        model.prepare(face, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(face: Picture, short_speech: Audio) -> None:
    host, device = (thg_zoo.load("warp", device=d).animate(face, short_speech).to_array() for d in ("cpu", "cuda"))
    assert np.abs(host.astype(int) - device).mean() < 0.7


def test_a_face_that_lies_on_its_side_is_animated_where_it_lies(face: NDArray[np.uint8]) -> None:
    model = thg_zoo.load("warp", device="cpu")

    def turn(picture: NDArray[np.uint8]) -> float:
        matrix = model.prepare(picture).identity.canvas.anatomy.matrix
        return float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))

    lying = np.ascontiguousarray(np.rot90(face))
    assert abs((turn(lying) - turn(face)) % 360 - 90) < 8
