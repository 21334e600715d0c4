"""SadTalker's two searches for the face: the rule of choice, real and unusual pictures, reference videos."""

from __future__ import annotations

from fractions import Fraction
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from golden_cases import Case
from test_sadtalker_faces import MODES, face_points, noise
from thg_zoo.adapters.sadtalker.analysis import FaceReader
from thg_zoo.adapters.sadtalker.crop import cut_picture, moved_points, plan_cut
from thg_zoo.errors import FaceError, OptionError
from thg_zoo.face3d.alignment import align
from thg_zoo.face3d.landmarks import LandmarkSearch, light_search, published_search
from thg_zoo.face3d.points import five_points
from thg_zoo.face3d.reading import CoefficientReader
from thg_zoo.faces.detector import Face
from thg_zoo.faces.fan import Fan, FanNetwork, to_68
from thg_zoo.faces.retinaface import RetinaFace, RetinaFaceNetwork
from thg_zoo.inputs import Clip, open_source
from thg_zoo.media.image import read_image
from thg_zoo.run import Run


class Finds:
    """A detector that finds given faces in every picture."""

    def __init__(self, *faces: Face) -> None:
        self._faces = sorted(faces, key=lambda face: -face.score)

    def detect(self, images):
        return [list(self._faces) for _ in images]


def face_at(x: float, y: float, size: float, score: float = 0.9) -> Face:
    points = five_points(face_points(x, y, size))
    return Face(np.array([x - size, y - size, x + size, y + size], np.float32), points, score)


def test_without_a_face_only_resize_goes_on():
    search = LandmarkSearch(Finds(), Finds(), None)
    with pytest.raises(FaceError, match=r"No face was found in me\.png"):
        search.find(noise(64, 64), "best", "me.png")
    assert search.find_again([noise(64, 64)] * 3) == [None] * 3
    reader = FaceReader(CoefficientReader(search, MagicMock(), torch.device("cpu")), "full", 256, "best")
    with pytest.raises(FaceError, match=r"No face was found in me\.png") as caught:
        reader.read_picture(noise(64, 64), "me.png", Run())
    assert "preprocess=resize" in caught.value.remedy
    assert plan_cut(None, (64, 48), "resize").box == (0, 0, 64, 48)


def reading(mode: str, face: str, *faces: Face) -> FaceReader:
    """A reader that finds these faces everywhere, and no coefficients but their places."""
    search = LandmarkSearch(Finds(*faces), Finds(*faces), None)
    network = MagicMock(side_effect=lambda aligned: torch.zeros(len(aligned), 257))
    return FaceReader(CoefficientReader(search, network, torch.device("cpu")), mode, 256, face)


def test_the_face_is_chosen_in_a_whole_picture_too():
    faces = face_at(60, 60, 20, 0.99), face_at(180, 180, 60, 0.9)
    for face, across in {"best": 60, "largest": 180, "0": 60, "1": 180}.items():
        coefficients = reading("resize", face, *faces).read_picture(noise(256, 256), "me.png", Run())[2]
        assert float(coefficients[0, 71]) == pytest.approx(across, abs=10)


def test_the_number_of_a_face_is_not_sought_in_reference_videos():
    clip = open_source(Clip(np.stack([noise(256, 256)] * 2), Fraction(25)), ("video",))
    reader = reading("crop", "1", face_at(128, 128, 50))
    with pytest.raises(FaceError, match="no face 1"):
        reader.read_picture(clip.first(), "me.png", Run())
    assert reader.read_video(clip, Fraction(25), 2, Run()).shape == (2, 73)


def test_of_two_faces_the_rule_decides():
    likely, large, right = face_at(50, 60, 20, 0.99), face_at(150, 100, 60, 0.95), face_at(280, 40, 10, 0.97)
    search = LandmarkSearch(Finds(likely, large, right), Finds(), None)
    photo = noise(320, 200)
    for rule, face in {"best": likely, "largest": large, "0": likely, "1": large, "2": right}.items():
        np.testing.assert_array_equal(search.find(photo, rule, "me.png"), face.points)
    with pytest.raises(FaceError, match=r"no face 3 in me\.png"):
        search.find(photo, "3", "me.png")
    with pytest.raises(OptionError):
        search.find(photo, "prettiest", "me.png")


def test_the_second_search_stays_with_the_face_that_was_cut():
    wanted, likely = face_at(128, 128, 60, 0.8), face_at(40, 30, 20, 0.99)
    search = LandmarkSearch(Finds(), Finds(wanted, likely), None)
    near = face_points(120, 130, 60)
    assert wanted.points is not None
    assert likely.points is not None
    np.testing.assert_array_equal(search.find_again([noise(256, 256)], near)[0], wanted.points)
    np.testing.assert_array_equal(search.find_again([noise(256, 256)])[0], likely.points)


@pytest.fixture(scope="module")
def light() -> LandmarkSearch:
    return light_search("cpu")


@pytest.mark.parametrize("mode", MODES)
def test_a_real_face_is_found_twice_and_aligned(light, face_path, mode):
    photo = read_image(face_path)
    points = light.find(photo, "best", "the astronaut")
    cut = plan_cut(points, (photo.shape[1], photo.shape[0]), mode)
    picture = cut_picture(photo, cut, 256)
    expected = moved_points(points, cut, 256)
    (again,) = light.find_again([picture], expected)
    assert again is not None
    assert np.abs(again - expected).max() < 0.15 * np.hypot(*(expected[1] - expected[0]))
    aligned = align(picture, again)
    eyes = aligned.points[:2]
    assert np.abs(eyes.mean(axis=0) - (112, 112 + 0.29 * 102)).max() < 12
    assert aligned.picture[100:124, 100:124].std() > 0


@pytest.mark.parametrize("variant", ["turned by EXIF", "grey", "transparent"])
def test_unusual_pictures_are_cut_alike(light, face_path, tmp_path, variant):
    plain = Image.open(face_path).convert("RGB")
    path = tmp_path / "picture.png"
    if variant == "turned by EXIF":
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        plain.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    elif variant == "grey":
        plain.convert("L").save(path)
    else:
        plain.putalpha(255)
        plain.save(path)
    boxes = []
    for photo in (read_image(face_path), read_image(path)):
        points = light.find(photo, "best", variant)
        boxes.append(plan_cut(points, (photo.shape[1], photo.shape[0]), "crop").box)
    np.testing.assert_allclose(boxes[1], boxes[0], atol=8 if variant == "grey" else 0)


class Loses:
    """A search that does not find the face again in the frames of some numbers."""

    def __init__(self, *lost: int) -> None:
        self._lost = lost
        self._seen = 0

    def find(self, photo: np.ndarray, rule: str, what: str, otherwise: str) -> np.ndarray:
        return face_points(60, 50, 20)

    def find_again(self, pictures, near=None):
        first, self._seen = self._seen, self._seen + len(pictures)
        moved = [near + (first + i) for i in range(len(pictures))]
        return [None if first + i in self._lost else points for i, points in enumerate(moved)]


def test_a_frame_of_a_reference_without_a_face_keeps_the_points_before():
    clip = Clip(np.stack([noise(120, 100)] * 20), Fraction(25))

    def places(*lost: int) -> np.ndarray:
        coefficients = CoefficientReader(
            Loses(*lost), lambda aligned: torch.zeros(len(aligned), 257), torch.device("cpu")
        )
        reader = FaceReader(coefficients, "crop", 256, "best")
        run = Run()
        video = open_source(clip, ("video",))
        read = reader.read_video(video, Fraction(25), 20, run).numpy()
        assert bool(run.warnings) == (0 in lost)
        return read[:, 71]

    moving, held = places(), places(7, 16)
    assert len(set(moving.tolist())) == 20
    expected = moving.copy()
    # 16 frames are looked at together: the first of the next ones follows the last.
    expected[[7, 16]] = moving[[6, 15]]
    np.testing.assert_array_equal(held, expected)
    assert places(0, 1)[0] == places(0, 1)[1] == 128


def test_the_published_search_gives_68_points_and_swaps_the_colours_of_the_photo():
    detector = Case("sadtalker", "retinaface").fill(RetinaFaceNetwork(), "retinaface")
    fan = Case("sadtalker", "fan").fill(FanNetwork(), "fan")
    search = published_search(detector, fan, "cpu")
    photo = noise(100, 72)
    swapped = np.ascontiguousarray(photo[..., ::-1])
    face = RetinaFace(detector).detect([swapped])[0][0]
    points = search.find(photo, "best", "noise")
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, to_68(Fan(fan).points([photo], face.box[None]))[0])
    x1, y1, x2, y2 = face.box
    assert ((points >= (x1 - 1, y1 - 1)) & (points <= (x2, y2))).all()
    (again,) = search.find_again([photo])
    likeliest = RetinaFace(detector).detect([photo])[0][0]
    np.testing.assert_array_equal(again, to_68(Fan(fan).points([photo], likeliest.box[None]))[0])
