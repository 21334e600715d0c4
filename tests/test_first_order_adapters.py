"""The first-order-motion family through the public calls: frames, options, crops, templates."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import thg_zoo
from thg_zoo.adapter import Adapter
from thg_zoo.errors import FaceError, MediaError, OptionError, OutputError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.driving_view import find_view
from thg_zoo.faces.moving_crop import MovingCrop
from thg_zoo.faces.person_crop import PersonCrop, given_crop
from thg_zoo.faces.source_crop import crop_source
from thg_zoo.first_order import FirstOrderAdapter
from thg_zoo.inputs import Clip, Driver, open_driver
from thg_zoo.keypoints.driving_options import DrivingOptions
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.template import MotionTemplate, read_template, write_template
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.media.writer import VideoWriter
from thg_zoo.run import Run
from thg_zoo.weights import empty_networks, fill_networks

Pictures = NDArray[np.uint8]
Reference = Callable[[str, Tensor, Tensor], Tensor]
CROP = (20, 0, 240, 200)


@pytest.fixture(scope="module")
def drive(face: Pictures) -> Clip:
    """Three frames at 24 per second: the portrait, further away and darker from frame to frame."""
    frames = [np.roll(face, 9 * k, axis=1) // (k + 1) for k in (1, 2, 3)]
    return Clip(np.stack(frames), Fraction(24))


@pytest.fixture(scope="module")
def fomm() -> FirstOrderAdapter[Any]:
    return load("fomm")


def load(name: str) -> FirstOrderAdapter[Any]:
    model = thg_zoo.load(name, weights="random", device="cpu", batch_size=2)
    assert isinstance(model, FirstOrderAdapter)
    return model


def plain_networks(model: FirstOrderAdapter[Any]) -> dict[str, nn.Module]:
    """The model's networks with the same random weights, without any of the fast forms."""
    with empty_networks():
        networks = model.build_networks()
    fill_networks(networks, model.model.variant, "random")
    return networks


def whole(picture: Pictures, side: int) -> Tensor:
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    return resize_antialiased(planes, (side, side))


def small(**options: Any) -> dict[str, Any]:
    """Options without detection, at the smallest size."""
    return {"size": "128", "crop": "none", "driver_crop": "none"} | options


def levels(prediction: Tensor) -> NDArray[np.int64]:
    return (prediction * 255).round()[0].permute(1, 2, 0).numpy().astype(np.int64)


def animate(model: Adapter[Any, Any], face: Pictures, driver: Any, **options: Any) -> NDArray[np.int64]:
    return model.animate(face, driver, **options).to_array().astype(np.int64)


Observe = Callable[[dict[str, Any], Tensor], KeyPoints]
Encode = Callable[[dict[str, Any], Tensor], Any]


@torch.inference_mode()
def plain_loop(
    networks: dict[str, Any], observe: Observe, encode: Encode, source: Tensor, driving: list[Tensor]
) -> list[NDArray[np.int64]]:
    """Frame by frame, everything anew for each, as the published loop does it."""
    frames = []
    for picture in driving:
        kp_source, kp_initial, kp = (observe(networks, p) for p in (source, driving[0], picture))
        moved = RelativeMotion.adapted(kp_source, kp_initial)(kp)
        frames.append(levels(networks["generator"].render(encode(networks, source), kp_source, moved)))
    return frames


def test_fomm_equals_a_plain_loop(fomm, face, drive):
    driving = [whole(frame, 128) for frame in drive.frames]
    expected = np.stack(
        plain_loop(
            plain_networks(fomm),
            lambda networks, picture: networks["kp_detector"](picture),
            lambda networks, picture: networks["generator"].encode(picture),
            whole(face, 128),
            driving,
        )
    )
    animation = fomm.animate(face, drive, **small())
    assert animation.fps == 24
    found = animation.to_array().astype(int)
    assert np.abs(found - expected).max() <= 1
    assert np.abs(expected[0] - expected[2]).max() > 3


def test_how_movement_is_applied(fomm, face, drive):
    portrait = fomm.prepare(face, **small())
    still = portrait.identity.points["value"]

    def points(driver: Any = drive, **options: Any) -> Tensor:
        return next(portrait.animate(driver, **options).motion.batches(3))["value"]

    seen = points(relative=False)
    plain = points(adapt_scale=False)
    torch.testing.assert_close(plain, still + seen - seen[:1])
    adapted = points() - still
    ratio = adapted[2] / (plain - still)[2]
    assert ratio.std() < 1e-2
    assert abs(ratio.mean() - 1) > 1e-4
    assert torch.equal(points(relative=False, adapt_scale=False), seen)
    last = points(best_frame="2", adapt_scale=False)
    torch.testing.assert_close(last, still + seen - seen[2:])
    assert torch.equal(points(drive.frames[1])[0], points(drive.frames[1], relative=False)[0])
    with pytest.raises(OptionError, match="3 frames"):
        points(best_frame="3")


def test_one_picture_is_taken_as_it_is_and_says_so(fomm, face, drive, tmp_path):
    animation = fomm.animate(face, drive.frames[1], **small())
    assert animation.n_frames == 1
    assert any("without movement" in warning for warning in animation.run.warnings)
    # So is what a template says of a picture, and a video of one frame.
    template = fomm.save_motion(drive.frames[1], tmp_path / "still.npz", **small())
    for driver in (template, Clip(drive.frames[1:2], Fraction(25))):
        still = fomm.animate(face, driver, **small())
        assert np.array_equal(still.to_array(), animation.to_array())
        assert any("without movement" in warning for warning in still.run.warnings)


def test_a_template_gives_the_same_frames(fomm, face, drive, tmp_path):
    portrait = fomm.prepare(face, **small())
    path = fomm.save_motion(drive, tmp_path / "motion.npz", **small())
    animation = portrait.animate(path)
    assert animation.fps == 24
    assert np.array_equal(animation.to_array(), portrait.animate(drive).to_array())
    with pytest.raises(OptionError, match="find"):
        portrait.animate(path, best_frame="find")
    with pytest.raises(OptionError, match="3 frames"):
        portrait.animate(path, best_frame="7")
    with pytest.raises(OutputError, match="exists"):
        fomm.save_motion(drive, path)


def test_templates_are_checked(tmp_path):
    values = {"value": torch.rand(3, 10, 2)}
    template = MotionTemplate(values, {"value": values["value"][:1]}, Fraction(30000, 1001), "fomm")
    path = write_template(template, tmp_path / "motion.npz")
    read = read_template(path, "fomm")
    assert torch.equal(read.parameters["value"], values["value"])
    assert (read.fps, len(read)) == (Fraction(30000, 1001), 3)
    with pytest.raises(MediaError, match="'fomm' read"):
        read_template(path, "dagan")
    with pytest.raises(OutputError, match=r"\.npz"):
        write_template(template, tmp_path / "motion.bin")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError, match="not a motion template"):
        read_template(damaged, "fomm")
    for wrong in (
        MotionTemplate({"value": torch.full((3, 10, 2), torch.nan)}, template.reference, template.fps, "fomm"),
        MotionTemplate(values, {"value": torch.rand(1, 9, 2)}, template.fps, "fomm"),
        MotionTemplate(values, {}, template.fps, "fomm"),
    ):
        with pytest.raises(MediaError, match="not a motion template"):
            read_template(write_template(wrong, path, overwrite=True), "fomm")


def test_paste_back_changes_the_crop_alone(fomm, face, drive):
    portrait = fomm.prepare(face, size="128", crop_box=CROP)
    options = {"driver_crop": "none", "relative": False}
    pasted = portrait.animate(drive.frames[1], paste_back=True, feather=0.0, **options).to_array()[0]
    assert pasted.shape == face.shape
    left, top, right, bottom = CROP
    outside = np.ones(face.shape[:2], bool)
    # Interpolation carries the outermost pixels of the crop up to one of its pixels, here 1.7 of the picture, further.
    outside[: bottom + 2, left - 2 : right + 2] = False
    assert np.array_equal(pasted[outside], face[outside])
    crop = portrait.animate(drive.frames[1], **options).to_array()[0]
    inner = pasted[top + 20 : bottom - 20, left + 20 : right - 20].mean(axis=(0, 1))
    assert np.abs(inner - crop[13:-13, 12:-12].mean(axis=(0, 1))).max() < 2
    soft = portrait.animate(drive.frames[1], paste_back=True, feather=0.3, **options).to_array()[0].astype(int)
    assert np.abs(soft - face)[top : top + 2, left:right].max() < np.abs(pasted.astype(int) - face)[top : top + 2].max()


def test_crops_follow_the_published_rule(fomm, face, drive):
    x, _, width, height = fomm.prepare(face, size="128").identity.crop.box
    assert abs(width - height) <= 1
    assert 0 < x < x + width < 256
    with pytest.raises(FaceError, match="source"):
        fomm.prepare(np.zeros_like(face), size="128")
    with pytest.raises(OptionError, match="256 x 256"):
        fomm.prepare(face, crop_box=(0, 0, 300, 100))
    assert given_crop((1, 2, 30, 40), (50, 60), "it") == (1, 2, 29, 38)


def test_a_driver_is_cropped_where_its_face_goes(fomm, face):
    portrait = fomm.prepare(face, size="128")
    black = np.zeros_like(face)
    frames = [black, *(np.roll(face, 4 * k, axis=1) for k in range(6))]
    animation = portrait.animate(Clip(np.stack(frames), Fraction(25)))
    assert any("before frame 1" in warning for warning in animation.run.warnings)
    found = portrait.animate(Clip(np.stack([black, face // 2, face]), Fraction(25)), best_frame="find")
    assert found.n_frames == 3
    assert not found.run.warnings


@pytest.mark.parametrize("crop", ["auto", "smooth"])
def test_a_driver_without_the_face_is_refused(fomm, face, crop):
    portrait = fomm.prepare(face, size="128")
    empty = Clip(np.stack([np.zeros_like(face)] * 3), Fraction(25))
    with pytest.raises(FaceError, match="No face was found in the driving clip") as caught:
        portrait.animate(empty, driver_crop=crop)
    assert "driver_crop=none" in caught.value.remedy
    with pytest.raises(FaceError, match="No face was found in the driving clip") as caught:
        portrait.animate(empty, driver_crop=crop, best_frame="find")
    assert "best_frame=first" in caught.value.remedy
    # One face is there, but not a third one.
    with pytest.raises(FaceError, match="Face 2, counted from the left") as caught:
        portrait.animate(Clip(np.stack([face] * 3), Fraction(25)), driver_crop=crop, driver_face="2")
    assert "driver_face=largest" in caught.value.remedy


@pytest.mark.parametrize(("score", "told"), [(0.85, True), (0.95, False)])
def test_what_is_hardly_a_face_is_told(score, told):
    class Sees:
        def detect(self, pictures: Any) -> list[list[Face]]:
            return [[Face(np.array([30, 40, 70, 80], np.float32), None, score)] for _ in pictures]

    run = Run()
    crop = crop_source(np.zeros((100, 100, 3), np.uint8), DrivingOptions(), Sees(), "cat.png", run)
    assert crop.box == (26, 36, 48, 48)
    assert [("cat.png" in warning, "crop_box" in warning) for warning in run.warnings] == [(True, True)] * told


def test_a_picture_without_a_face_can_be_taken_whole(fomm, face):
    with pytest.raises(FaceError, match="No face was found") as caught:
        fomm.prepare(np.zeros_like(face), size="128")
    assert "crop_box" in caught.value.remedy
    assert "crop=none" in caught.value.remedy


def test_one_crop_for_the_whole_clip():
    def seen(x: float) -> Face:
        return Face(np.array([x, 40, x + 40, 80], np.float32), None, 1.0)

    person = PersonCrop()
    for face in (None, seen(30), seen(50), None, seen(300)):
        person.add(face)
    assert (person.first, person.seen) == (1, 5)
    # The box 30..90 x 40..80: its longer side and a tenth on either side, square.
    crop = person.crop((200, 400))
    assert crop == (24, 24, 72, 72)
    assert person.outside(crop) == 1
    # Overlapping too little with the first box to enlarge the crop, and yet within it; then half out of it.
    person.add(seen(56))
    assert (person.crop((200, 400)), person.outside(crop)) == (crop, 1)
    person.add(seen(76))
    assert (person.crop((200, 400)), person.outside(crop)) == (crop, 2)


def test_a_portrait_on_its_side_is_turned(fomm, face):
    upright = fomm.prepare(face, size="128").identity
    assert upright.crop.turns == 0
    for turns in (1, 2):
        portrait = fomm.prepare(np.ascontiguousarray(np.rot90(face, turns)), size="128")
        assert portrait.identity.crop.turns == 4 - turns
        # The detector's boxes differ by a pixel or two; turned otherwise, pictures differ by more than their deviation.
        difference = (portrait.identity.picture - upright.picture).abs().mean()
        assert difference < 0.35 * upright.picture.std()
    # Put back, the crop lies as the picture does.
    options = {"driver_crop": "none", "relative": False, "paste_back": True}
    pasted = portrait.animate(face, **options).to_array()[0].astype(int)
    x, y, width, height = upright.crop.box
    expected = fomm.prepare(face, size="128").animate(face, **options).to_array()[0].astype(int)
    inner = slice(y + 10, y + height - 10), slice(x + 10, x + width - 10)
    found = np.rot90(pasted, -2)[inner]
    errors = [np.abs(np.rot90(found, turns) - expected[inner]).mean() for turns in (0, 2)]
    assert errors[0] < 0.6 * errors[1]


def test_one_of_two_faces_is_chosen(fomm, face):
    wide = np.concatenate([face, face // 2], axis=1)
    crops = [fomm.prepare(wide, size="128", face=which).identity.crop.box for which in ("0", "1")]
    assert crops[0][0] + crops[0][2] <= 256 + 30 < 256 + 60 <= crops[1][0] + 30
    with pytest.raises(FaceError, match="There is no face 2"):
        fomm.prepare(wide, size="128", face="2")
    portrait = fomm.prepare(face, size="128")
    clip = Clip(np.stack([wide, wide]), Fraction(25))
    left, right = (
        next(portrait.animate(clip, driver_face=which, relative=False).motion.batches(1))["value"]
        for which in ("0", "1")
    )
    assert not torch.equal(left, right)


def scenes(face: Pictures) -> Clip:
    """A face on the left for four frames, then after a cut on the right for four."""
    left = np.concatenate([face, np.full_like(face, 90)], axis=1)
    right = np.concatenate([np.zeros_like(face), face], axis=1)
    return Clip(np.stack([left] * 4 + [right] * 4), Fraction(25))


def test_a_cut_in_the_driver_is_told(fomm, face):
    portrait = fomm.prepare(face, size="128")
    animation = portrait.animate(scenes(face))
    assert any("In 4 of 8 frames" in warning for warning in animation.run.warnings)
    smooth = portrait.animate(scenes(face), driver_crop="smooth", relative=False)
    assert not smooth.run.warnings
    first, *_, last = torch.cat([piece["value"] for piece in smooth.motion.batches(4)])
    fixed = torch.cat([p["value"] for p in portrait.animate(scenes(face), relative=False).motion.batches(4)])
    # The square follows the face over the cut; the fixed one is left behind.
    assert (first - last).abs().max() < 0.2 * (fixed[0] - fixed[-1]).abs().max()


def test_a_square_follows_the_face():
    def seen(x: float, side: float = 40) -> Face:
        return Face(np.array([x, 40, x + side, 40 + side], np.float32), None, 1.0)

    crop = MovingCrop()
    for face in (None, seen(30), seen(50.5), None, seen(300, 50)):
        crop.add(face)
    assert (crop.first, crop.seen) == (1, 5)
    ramp = np.broadcast_to(np.arange(400) // 2, (120, 400))[..., None].repeat(3, axis=2).astype(np.uint8)
    squares = [crop.cut(ramp, i) for i in range(6)]
    # The largest face is 50 wide: a tenth on either side of it for all.
    assert {square.shape for square in squares} == {(60, 60, 3)}
    middles = [float(square[30, 29:31].mean()) for square in squares]
    assert middles == pytest.approx([25, 25, 35, 35, 162, 162], abs=0.8)


class Turning:
    """A detector that sees a face go to the left and back: where it is says the picture's first pixel.

    seen: how many pictures it has looked at.
    """

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, pictures: Any) -> list[list[Face]]:
        self.seen += len(pictures)
        boxes = [np.array([0, 40, 40, 80]) + np.array([3, 0, 3, 0]) * int(picture[0, 0, 0]) for picture in pictures]
        return [[Face(box.astype(np.float32), None, 1.0)] for box in boxes]


def turning(fps: int) -> Driver:
    """Frames for it: 121, of which the middle one shows the turn."""
    away = np.abs(np.arange(121) - 60).astype(np.uint8)
    frames = np.ascontiguousarray(np.broadcast_to(away[:, None, None, None], (121, 90, 250, 3)))
    return open_driver(Clip(frames, Fraction(fps)), ("video",))


@pytest.mark.parametrize(("fps", "looks"), [(6, 121), (10, 61), (25, 25), (60, 25)])
def test_a_face_is_looked_for_five_times_a_second(fps, looks):
    detector = Turning()
    find_view(turning(fps), DrivingOptions(), "first", None, detector, Run())
    assert detector.seen == looks


@pytest.mark.parametrize(("fps", "reach"), [(10, 5), (25, 12), (50, 25), (240, 30)])
def test_a_moving_square_is_averaged_over_time(fps, reach):
    options = DrivingOptions(driver_crop="smooth")
    view = find_view(turning(fps), options, "first", None, Turning(), Run())
    assert isinstance(view.crop, MovingCrop)
    across = np.array(view.crop._centres)[:, 0]
    rounded = np.flatnonzero(np.abs(across - (20 + 3.0 * np.abs(np.arange(121) - 60))) > 1e-3)
    # A mean over as many frames before as after changes a straight way only where it sees beyond the turn.
    assert (60 - rounded[0], rounded[-1] - 60) == (reach - 1, reach - 1)


def test_sampling_as_in_training_is_another_picture(fomm, face, drive):
    still = drive.frames[1]
    today = animate(fomm, face, still, **small())
    trained = animate(fomm, face, still, **small(align_corners=True))
    assert np.abs(today - trained).max() > 0
    assert np.array_equal(animate(fomm, face, still, **small()), today)


def dagan_observe(networks: dict[str, Any], picture: Tensor) -> KeyPoints:
    seen = torch.cat([picture, dagan_depth(networks, picture)], dim=1)
    points: KeyPoints = networks["kp_detector"](seen)
    return points


def dagan_depth(networks: dict[str, Any], picture: Tensor) -> Tensor:
    depth: Tensor = networks["depth_decoder"](networks["depth_encoder"](picture))
    return depth


@pytest.mark.slow
def test_dagan_equals_a_plain_loop(face, drive):
    model = load("dagan-plain")
    expected = plain_loop(
        plain_networks(model),
        dagan_observe,
        lambda networks, picture: networks["generator"].encode(picture, dagan_depth(networks, picture)),
        whole(face, 128),
        [whole(frame, 128) for frame in drive.frames],
    )
    assert np.abs(animate(model, face, drive, **small()) - np.stack(expected)).max() <= 1


@pytest.mark.slow
def test_mcnet_equals_a_plain_loop(face, drive):
    model = load("mcnet")
    expected = plain_loop(
        plain_networks(model),
        lambda networks, picture: networks["kp_detector"](picture),
        lambda networks, picture: networks["generator"].encode(picture),
        whole(face, 256),
        [whole(frame, 256) for frame in drive.frames],
    )
    options = {"crop": "none", "driver_crop": "none"}
    quiet = animate(model, face, drive, noise="none", **options)
    assert np.abs(quiet - np.stack(expected)).max() <= 1
    assert np.abs(animate(model, face, drive, **options) - quiet).max() > 0


@pytest.mark.slow
@torch.inference_mode()
def test_facevid2vid_equals_a_plain_loop(face, drive):
    model = load("facevid2vid")
    networks: dict[str, Any] = plain_networks(model)
    source = whole(face, 128)
    canonical = networks["kp_detector"](source)

    def posed(picture: Tensor, **angles: float) -> KeyPoints:
        return KeyPoints(networks["he_estimator"](picture).turned(**angles).pose(canonical))

    initial = whole(drive.frames[0], 128)
    for angles in ({}, {"yaw": 20.0}):
        move = RelativeMotion.adapted(posed(source), posed(initial))
        encoded = networks["generator"].encode(source)
        expected = [
            levels(
                networks["generator"].render(
                    encoded, posed(source).value, move(posed(whole(frame, 128), **angles)).value
                )
            )
            for frame in drive.frames
        ]
        assert np.abs(animate(model, face, drive, **small(**angles)) - np.stack(expected)).max() <= 1


def test_the_command_writes_templates(face, drive, tmp_path, monkeypatch):
    from thg_zoo.cli import motion as command
    from thg_zoo.errors import UsageError

    with pytest.raises(UsageError, match="fomm"):
        command.motion("wav2lip", "driving.mp4")
    with pytest.raises(OutputError, match=r"\.npz"):
        command.motion("fomm", "driving.mp4", output=str(tmp_path / "motion.mp4"))
    with VideoWriter(tmp_path / "driving.mp4", drive.fps, drive.frames.shape[1:3]) as writer:
        writer.write(drive.frames)
    target = tmp_path / "motion.npz"
    command.motion(
        "fomm",
        str(tmp_path / "driving.mp4"),
        ["size=128", "driver_crop=none"],
        output=str(target),
        weights="random",
        device="cpu",
        quiet=True,
    )
    assert len(read_template(target, "fomm")) == len(drive.frames)
