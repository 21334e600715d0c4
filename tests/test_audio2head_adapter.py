"""Audio2Head as a model of the zoo: windows, crops, poses, and what its options do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import thg_zoo
from thg_zoo.adapters.audio2head import adapter as adapter_module
from thg_zoo.adapters.audio2head.adapter import Audio2HeadAdapter
from thg_zoo.adapters.audio2head.pose import draw_poses, to_units
from thg_zoo.adapters.audio2head.pose_file import read_poses
from thg_zoo.adapters.audio2head.prediction import Cues, predict_points, scaled
from thg_zoo.errors import FaceError, MediaError, OptionError
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.media.audio import Audio

Picture = NDArray[np.uint8]
AT_REST = to_units(torch.zeros(1, 6)).double().numpy()


class Still(torch.nn.Module):
    """A generator that shows the picture, at no cost, with the key points in its first row."""

    def encode(self, picture: Tensor) -> Tensor:
        return picture

    def render(self, picture: Tensor, kp_source: KeyPoints, kp_driving: KeyPoints) -> Tensor:
        frames = picture.expand(len(kp_driving.value), -1, -1, -1).clone()
        frames[:, :, 0, :20] = kp_driving.value.flatten(1).sigmoid().unsqueeze(1)
        return frames


class Heard(torch.nn.Module):
    """Key points that say what the network was told: x is the first feature of a frame, y where its pose was drawn."""

    def forward(self, picture: Tensor, heard: Tensor, poses: Tensor, used: range) -> KeyPoints:
        assert poses.shape == (64, 256, 256)
        columns = poses.sum(1) @ torch.arange(256.0) / poses.sum((1, 2))
        value = torch.stack((heard[:, 0, 0], columns), dim=-1)[used.start : used.stop, None].expand(-1, 10, -1)
        return KeyPoints(value, torch.eye(2).expand(len(value), 10, 2, 2))


@pytest.fixture(scope="module")
def model() -> Iterator[Audio2HeadAdapter]:
    """Random weights; a generator and key points that cost nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_module, "ImageGenerator", lambda *_: Still())
        patch.setattr(adapter_module, "PointNet", Heard)
        patch.setattr(Audio2HeadAdapter, "_network", lambda self, name, kind: self.networks[name])
        loaded = thg_zoo.load("audio2head", weights="random", device="cpu")
        assert isinstance(loaded, Audio2HeadAdapter)
        yield loaded


def points_of(portrait: Any, driver: Any, **options: Any) -> Tensor:
    """What each frame was told, `[T, 2]`."""
    return torch.cat([batch["value"][:, 0] for batch in portrait.animate(driver, **options).motion.batches(7)])


# Windows.


@pytest.mark.parametrize("n", [1, 31, 47, 48, 49, 64, 80, 81, 200])
def test_every_frame_is_made_once(n: int) -> None:
    heard = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None], (n, 4, 41))
    cues = Cues(heard, np.repeat(AT_REST, n + 1, axis=0))
    pieces = list(predict_points(Heard(), torch.zeros(1, 3, 256, 256), cues))
    assert torch.cat([p["value"] for p in pieces])[:, 0, 0].tolist() == list(range(n))
    assert [len(p["value"]) for p in pieces][:1] == [min(n, 48)]
    assert all(len(p["value"]) == 32 for p in pieces[1:-1])


def test_beyond_the_end_there_is_no_sound_and_the_last_pose() -> None:
    poses = np.repeat(AT_REST, 51, axis=0)
    poses[:, 3] = np.arange(51)
    heard, drawn = Cues(np.ones((50, 4, 41), np.float32), poses).window(32)
    assert heard[:18].all()
    assert not heard[18:].any()
    # The first frame's pose is the picture's: poses are one more than frames, and the last is seen beyond the end.
    assert np.array_equal(drawn[17], draw_poses(poses[49:50])[0])
    assert all(np.array_equal(picture, draw_poses(poses[50:])[0]) for picture in drawn[18:])


# Crops.


def test_crops_and_what_is_put_back(model: Audio2HeadAdapter, face: Picture, short_speech: Audio) -> None:
    photo = np.pad(face, ((30, 60), (200, 0), (0, 0)), mode="edge")
    whole = model.animate(photo, short_speech, crop="none").to_array()
    assert whole.shape[1:] == (256, 256, 3)
    auto = model.prepare(photo)
    x, y, width, height = auto.identity.crop.box
    assert x >= 200
    assert 0.9 < width / height < 1.1
    pasted = auto.animate(short_speech, paste_back=True).to_array()
    assert pasted.shape[1:] == photo.shape
    outside = np.ones(photo.shape[:2], bool)
    outside[y : y + height, x : x + width] = False
    assert (pasted[:, outside] == photo[outside]).all()
    # The stand-in shows the crop itself: in its place the photo is there again, twice resized, but not moved.
    rows, columns = slice(y + 20, y + height - 20), slice(x + 20, x + width - 20)

    def difference(dy: int, dx: int) -> float:
        return float(
            np.abs(pasted[0, rows, columns].astype(int) - np.roll(photo, (dy, dx), (0, 1))[rows, columns]).mean()
        )

    moved = [difference(dy, dx) for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    assert difference(0, 0) < 0.6 * min(moved)
    boxed = model.prepare(photo, crop_box=(200, 30, 456, 286))
    assert np.array_equal(boxed.animate(short_speech).to_array()[0][5:], face[5:])
    with pytest.raises(OptionError, match="crop box"):
        model.prepare(photo, crop_box=(0, 0, 900, 100))


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_crop_shows_the_head(model: Audio2HeadAdapter, face: Picture, turns: int) -> None:
    photo = np.pad(face[:120, 60:180], ((60, 60), (60, 60), (0, 0)))
    crop = model.prepare(np.ascontiguousarray(np.rot90(photo, -turns))).identity.crop
    assert crop.turns == turns
    (found,) = Mtcnn(torch.device("cpu")).detect([crop.pixels])[0][:1]
    (x1, y1, x2, y2), side = found.box, crop.pixels.shape[0]
    # As the published example pictures: 1.4 to 1.7 times the box, which lies a little low.
    assert 1.35 < side / max(x2 - x1, y2 - y1) < 1.6
    assert 0.45 < (x1 + x2) / 2 / side < 0.55
    assert 0.52 < (y1 + y2) / 2 / side < 0.6


def test_without_a_face_there_is_an_error(model: Audio2HeadAdapter) -> None:
    with pytest.raises(FaceError):
        model.prepare(np.full((300, 300, 3), 90, np.uint8))


# Poses.


def test_the_scale_of_movement(model: Audio2HeadAdapter, face: Picture, short_speech: Audio) -> None:
    portrait = model.prepare(face, crop="none")
    usual, still = (points_of(portrait, short_speech, pose_scale=scale) for scale in (1, 0))
    assert torch.equal(still[:, 0], usual[:, 0])
    assert usual[:, 1].std() > 0
    assert (still[:, 1] == usual[0, 1]).all()
    poses = np.random.default_rng(0).normal(size=(5, 6))
    np.testing.assert_allclose(scaled(poses, 1.0), poses)
    np.testing.assert_allclose(scaled(poses, 2.0) - poses[:1], 2 * (poses - poses[:1]))


def test_given_poses_replace_those_of_the_network(
    model: Audio2HeadAdapter, face: Picture, short_speech: Audio, tmp_path: Path
) -> None:
    track = np.repeat(AT_REST, 4, axis=0)
    track[:, 3] += np.arange(4) * 20
    np.savez(tmp_path / "track.npz", poses=track)
    lines = [",".join(map(repr, row.tolist())) for row in track]
    (tmp_path / "track.csv").write_text("\n".join(["rx,ry,rz,tx,ty,tz", *lines, ""]))
    (tmp_path / "bare.csv").write_text("\n".join(lines))
    portrait = model.prepare(face, crop="none")
    found = [points_of(portrait, short_speech, poses=str(tmp_path / f)) for f in ("track.npz", "track.csv", "bare.csv")]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    columns = found[0][:, 1]
    assert (columns[1:4] > columns[:3]).all()
    assert (columns[4:] == columns[3]).all()
    assert torch.equal(
        points_of(portrait, short_speech, poses=str(tmp_path / "bare.csv"), pose_scale=0)[:, 1],
        columns[:1].expand(len(columns)),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("words.csv", b"a,b,c,d,e,f\nno,numbers,in,this,file,x\n"),
        ("five.csv", b"0,0,0,0,300\n"),
        ("ragged.csv", b"0,0,0,0,0,300\n0,0,0\n"),
        ("nan.csv", b"0,0,0,0,0,nan\n"),
        ("near.csv", b"0,0,0,0,0,20\n"),
        ("broken.npz", b"PK\x03\x04 no archive"),
        ("binary.csv", b"\xff\xfe\x00\x80"),
        ("names.csv", b"rx,ry,rz,tx,ty,tz\n"),
    ],
)
def test_poses_that_are_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=name):
        read_poses(str(tmp_path / name))


def test_pose_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no file"):
        read_poses(str(tmp_path / "poses.npz"))
    np.savez(tmp_path / "other.npz", angles=np.zeros((3, 6)))
    with pytest.raises(MediaError, match="other"):
        read_poses(str(tmp_path / "other.npz"))


def test_a_pose_is_a_box() -> None:
    drawn = draw_poses(AT_REST)[0]
    assert set(np.unique(drawn)) == {0.0, 255.0}
    moved = AT_REST.copy()
    moved[:, 3] += 30
    right = draw_poses(moved)[0]
    assert np.nonzero(right)[1].mean() > np.nonzero(drawn)[1].mean() + 10
    # Far outside the picture nothing is drawn, and nothing overflows.
    moved[:, 3] = 1e9
    assert not draw_poses(moved).any()
