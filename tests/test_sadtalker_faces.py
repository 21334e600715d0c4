"""SadTalker's crop, alignment and paste-back: against the published figures, and where faces are unusual."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from thg_zoo.adapters.sadtalker.crop import Cut, Preprocess, cut_picture, moved_points, plan_cut
from thg_zoo.adapters.sadtalker.pasting import PasteBack, with_aspect
from thg_zoo.errors import FaceError
from thg_zoo.face3d.alignment import align
from thg_zoo.face3d.points import eyes_and_mouth, five_points
from thg_zoo.face3d.reconstruction import Reconstruction
from thg_zoo.face3d.standard_points import STANDARD_POINTS

MODES: tuple[Preprocess, ...] = ("crop", "extcrop", "resize", "full", "extfull")


def face_points(cx: float, cy: float, scale: float, jitter: np.ndarray | float = 0) -> np.ndarray:
    """The standard face from the front as 68 points of a picture."""
    return ((cx, cy) + scale * STANDARD_POINTS[:, :2] * (1, -1) + jitter).astype(np.float32)


def levels(image: Tensor) -> np.ndarray:
    return image.numpy().astype(np.uint8)


def std_landmarks_5(_: Case, __: dict[str, Tensor]) -> Outputs:
    return {"points": five_points(STANDARD_POINTS)}


def box(size: tuple[int, int], cx: float, cy: float, scale: float):
    def runner(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        cut = plan_cut(face_points(cx, cy, scale, inputs["jitter"].numpy()), size, "crop")
        assert cut.outer is not None
        return {"rsize_and_crop": np.array([*cut.shrunk, *cut.outer]), "quad": cut.inner, "final_box_xyxy": cut.box}

    return runner


def align_224(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    aligned = align(levels(inputs["image"]), face_points(128, 132, 95, inputs["jitter"].numpy()))
    return {
        "trans_params": aligned.params,
        "aligned_image": aligned.picture,
        "aligned_landmarks": aligned.points,
    }


def align_no_face(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    aligned = align(levels(inputs["image"]), None)
    return {"trans_params": aligned.params, "aligned_image": aligned.picture}


def prep(mode: Preprocess, *place: float):
    def runner(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        image = levels(inputs["image"])
        points = face_points(*place, inputs["jitter"].numpy())
        cut = plan_cut(points, (image.shape[1], image.shape[0]), mode)
        picture = cut_picture(image, cut, 256)
        aligned = align(picture, moved_points(points, cut, 256))
        network = case.fill(Reconstruction(), "face_3drecon")
        full = network(torch.from_numpy(aligned.picture / np.float32(255)).permute(2, 0, 1)[None])
        return {
            "picture": picture,
            "crop_w_h_and_size": np.array([*cut.shown, 256]),
            "trans_params": aligned.params,
            "aligned_image": aligned.picture,
            "coeff_first_70": torch.cat((full[:, 80:144], full[:, 224:227], full[:, 254:257]), dim=1),
            "s_tx_ty": aligned.params[None, 2:],
            "full_257": full,
        }

    return runner


def paste_back(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    def enlarged(small: Tensor, size: tuple[int, int]) -> Tensor:
        return torch.from_numpy(cv2.resize(small.numpy(), size).astype(np.uint8))

    frame, photo = enlarged(inputs["frame"], (256, 300)), enlarged(inputs["image"], (320, 280))
    frames = frame.permute(2, 0, 1)[None] / 255
    cut = Cut((320, 280), (320, 280), (60, 40, 220, 215), (12.7, 15.2, 132.9, 155.4))
    extended = Cut(cut.photo, cut.shrunk, cut.outer, cut.inner, extended=True)
    return {
        "full": PasteBack(photo, cut, "poisson")(frames)[0],
        "extfull": PasteBack(photo, extended, "poisson")(frames)[0],
    }


CASES = {
    "std_landmarks_5": std_landmarks_5,
    "box_square": box((512, 512), 222, 125, 75),
    "box_tall_clipped": box((300, 600), 150, 300, 130),
    "box_shrink": box((4000, 4000), 2000, 1900, 1700),
    "box_corner": box((640, 360), 70, 60, 80),
    "align_224": align_224,
    "align_no_face": align_no_face,
    "prep_crop": prep("crop", 222, 125, 75),
    "prep_extcrop": prep("extcrop", 222, 125, 75),
    "prep_resize": prep("resize", 150, 170, 100),
    "prep_full": prep("full", 222, 125, 75),
    "paste_back": paste_back,
}


@parametrize(CASES)
def test_faces_match_published_code(name, runner):
    check("sadtalker", name, runner)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def turned(yaw: float, cx: float = 200, cy: float = 200, scale: float = 90) -> np.ndarray:
    """The standard face, turned to the side by `yaw` degrees, as 68 points."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    x, y, z = STANDARD_POINTS.T
    return ((cx, cy) + scale * np.stack([c * x + s * z, -y], axis=1)).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("size", "place"),
    [
        pytest.param((1200, 1800), (600, 150, 40), id="full body"),
        pytest.param((640, 360), (20, 30, 80), id="at the border"),
        pytest.param((640, 360), (620, 350, 60), id="beyond the border"),
        pytest.param((3000, 2000), (1500, 1000, 900), id="very large"),
        pytest.param((40, 40), (20, 20, 9), id="tiny"),
    ],
)
def test_every_mode_cuts_a_picture_out_of_the_photo(mode, size, place):
    photo = noise(*size)
    cut = plan_cut(face_points(*place), size, mode)
    picture = cut_picture(photo, cut, 256)
    assert picture.shape == (256, 256, 3)
    x1, y1, x2, y2 = cut.place
    assert 0 <= x1 < x2 <= size[0]
    assert 0 <= y1 < y2 <= size[1]
    if mode not in ("full", "extfull"):
        return
    frames = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for blend in ("poisson", "feather"):
        pasted = PasteBack(torch.from_numpy(photo), cut, blend)(frames)[0].numpy()
        assert pasted.shape == photo.shape
        assert (pasted[y1:y2, x1:x2] != photo[y1:y2, x1:x2]).mean() > 0.5
        pasted[y1:y2, x1:x2] = photo[y1:y2, x1:x2]
        # A feathered border that is enlarged ends half a pixel of the frame outside.
        assert np.abs(pasted.astype(int) - photo).max() <= (2 if blend == "feather" else 0)


def test_a_large_face_is_pasted_where_it_was_cut():
    """The published program pastes into the unshrunk photo with the numbers of the shrunk one."""
    cut = plan_cut(face_points(2000, 1900, 900), (4000, 4000), "full")
    assert cut.shrunk == (2000, 2000)
    assert cut.place == tuple(2 * edge for edge in cut.box)
    photo = noise(4000, 4000) // 4
    photo[1800:2000, 1900:2100] = 255
    picture = cut_picture(photo, cut, 256).astype(np.float32) / 255
    back = PasteBack(torch.from_numpy(photo), cut, "feather")(torch.from_numpy(picture).permute(2, 0, 1)[None])
    assert (back[0, 1850:1950, 1950:2050] > 240).all()
    assert (back[0, 1700:1760, 1900:2100] < 128).all()


def test_a_face_beyond_the_border_keeps_its_proportions():
    points = face_points(620, 200, 60)
    cut = plan_cut(points, (640, 360), "crop")
    assert cut.box[2] == 640
    assert cut.shown == (cut.box[2] - cut.box[0], cut.box[3] - cut.box[1])


def test_extcrop_shows_more_in_the_aspect_of_the_smaller_box():
    points = face_points(222, 125, 75)
    small, large = (plan_cut(points, (512, 512), mode) for mode in ("crop", "extcrop"))
    assert large.box[0] < small.box[0] < small.box[2] < large.box[2]
    assert large.shown == small.shown
    assert large.video_size(256) == small.video_size(256) == (int(256 * small.shown[1] / small.shown[0]), 256)


@pytest.mark.parametrize("yaw", [-80, -45, 45, 80])
def test_a_profile_is_cut_and_aligned(yaw):
    points = turned(yaw)
    photo = noise(400, 400)
    for mode in MODES:
        cut = plan_cut(points, (400, 400), mode)
        x1, y1, x2, y2 = cut.box
        # All of the face is seen: the modes that cut leave room to its sides.
        assert x1 <= points[:, 0].min() < points[:, 0].max() <= x2
        assert y1 <= points[27:, 1].min() < points[27:, 1].max() <= y2
        aligned = align(cut_picture(photo, cut, 256), moved_points(points, cut, 256))
        assert aligned.picture.shape == (224, 224, 3)
        assert np.isfinite(aligned.params).all()


def test_alignment_brings_faces_to_one_place_whatever_their_size():
    for scale in (20, 60, 110):
        points = face_points(128, 120, scale)
        aligned = align(noise(256, 256), points)
        middle = aligned.points[[36, 45]].mean(axis=0)
        # A whole pixel is lost where sizes and the corner of the crop are cut off to whole numbers.
        np.testing.assert_allclose(middle, (112, 112 + 0.2913 * 102), atol=2)
        np.testing.assert_allclose(aligned.params[2] * scale, 102, rtol=1e-3)


def test_five_points_align_as_the_68_they_stand_for():
    """A detector marks the pupils, which lie above the middle of the corners of the eyes."""
    for tilt in (0, 30, -50):
        turn = np.array([[np.cos(r := np.radians(tilt)), np.sin(r)], [-np.sin(r), np.cos(r)]])
        points = ((face_points(0, 0, 60)) @ turn + 128).astype(np.float32)
        five = five_points(points)
        up = np.array([five[1, 1] - five[0, 1], five[0, 0] - five[1, 0]])
        pupils = five.copy()
        pupils[:2] += 0.05 * up
        expected, found = align(noise(256, 256), points), align(noise(256, 256), pupils)
        np.testing.assert_allclose(found.params, expected.params, rtol=1e-4)
        pupils[:2] = eyes_and_mouth(points)[:2] + 0.04 * up
        assert plan_cut(pupils, (256, 256), "crop").box == plan_cut(points, (256, 256), "crop").box


@pytest.mark.parametrize("points", [np.full((68, 2), 7.0), np.full((5, 2), np.nan)])
def test_points_that_make_no_face_are_refused(points):
    points = points.astype(np.float32)
    with pytest.raises(FaceError, match="points of the face"):
        plan_cut(points, (100, 100), "crop")
    with pytest.raises(FaceError, match="points of the face"):
        align(noise(100, 100), points)


def test_a_face_outside_the_photo_is_refused():
    with pytest.raises(FaceError, match=r"outside me\.png"):
        plan_cut(face_points(-400, 50, 50), (100, 100), "crop", "me.png")


def test_the_video_has_the_aspect_of_the_cut():
    cut = Cut((300, 200), (300, 200))
    frames = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    shown = with_aspect(frames, cut)
    assert shown.shape == (2, 170, 256, 3)
    expected = cv2.resize(np.rint(frames[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8), (256, 170))
    assert np.abs(shown[0].numpy().astype(int) - expected).max() <= 1
