"""Wav2Lip as a model of the zoo: the published frames through the public calls, and what its options add."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import parity
import thg_zoo
from golden_cases import Case
from test_wav2lip_processing import NTSC, published_smoothing, rgb
from test_wav2lip_s3fd import enlarged_frames
from thg_zoo.adapters.wav2lip import adapter as adapter_module
from thg_zoo.adapters.wav2lip.adapter import Wav2LipAdapter
from thg_zoo.adapters.wav2lip.box_cache import read_faces, write_faces
from thg_zoo.adapters.wav2lip.boxes import place_boxes
from thg_zoo.adapters.wav2lip.detection import Looks, Published, find_faces
from thg_zoo.adapters.wav2lip.mask import blend_face, mouth_mask
from thg_zoo.adapters.wav2lip.networks import Generator
from thg_zoo.adapters.wav2lip.options import Wav2LipOptions
from thg_zoo.adapters.wav2lip.processing import paste_face
from thg_zoo.adapters.wav2lip.speech import Cues, listen, pieces, plan
from thg_zoo.audio.mel import wav2lip_mel
from thg_zoo.audio.windows import mel_windows
from thg_zoo.cli.main import _main
from thg_zoo.errors import CheckpointError, DeviceError, FaceError, MediaError, OptionError
from thg_zoo.faces.detector import Face, Picture
from thg_zoo.faces.reduced import Reduced
from thg_zoo.faces.s3fd import S3fdNetwork
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import read_image
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.runtime import Runtime
from thg_zoo.zoo import describe
from weights_setup import Machine, machine  # noqa: F401 (fixture)

BOX = (60, 190, 70, 180)
SILENCE = (np.zeros(3200, np.float32), 16000)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of the published names and layouts, seeded as the golden chains are."""
    folder = tmp_path_factory.mktemp("weights")
    case = Case("wav2lip", "chain_video_detect")
    generator, detector = case.fill(Generator(), "generator"), case.fill(S3fdNetwork(), "detector")
    state = {f"module.{name}": value for name, value in generator.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": None, "global_step": 1, "global_epoch": 1}, folder / "wav2lip.pth")
    torch.save(detector.state_dict(), folder / "s3fd.pth")
    return folder


@pytest.fixture(scope="module")
def model(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wav2LipAdapter]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path_factory.mktemp("hf")))
        yield thg_zoo.load("wav2lip", weights=published, device="cpu", accept_licence=True)


# The published program's frames.


def clip_of(frames: Any, fps: int | Fraction) -> Clip:
    return Clip(frames, Fraction(fps))


CHAINS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], dict[str, Any]]] = {
    "chain_image_box": (lambda i: rgb(i["image"]), {"box": (20, 110, 12, 100)}),
    "chain_image_detect": (lambda i: enlarged_frames(i["image"][None])[0], {}),
    "chain_video_detect": (lambda i: clip_of(enlarged_frames(i["frames"]), 30), {}),
    "chain_video_nosmooth": (
        lambda i: clip_of(enlarged_frames(i["frames"]), 25),
        {"pads": (4, 12, 6, 8), "nosmooth": True},
    ),
    "chain_video_static": (lambda i: clip_of(enlarged_frames(i["frames"]), 25), {"static": True}),
    "chain_video_resize_crop_rotate": (
        lambda i: clip_of(rgb(i["frames"]), NTSC),
        {"resize_factor": 2, "rotate": True, "crop": (4, 200, 0, -1), "box": (40, 150, 30, 140)},
    ),
}


def boxes_of(portrait: Any, shown: int) -> np.ndarray:
    """The boxes of an animation that shows so many source frames."""
    model, options = portrait.adapter, portrait.options
    with model.inference():
        found = model.track(portrait.identity, portrait.source.frames(), options, None)
        return np.stack([box for _, box in model.settle(portrait.identity, found, shown, options)])


@pytest.mark.parametrize("name", CHAINS)
def test_frames_are_those_of_the_published_program(model: Wav2LipAdapter, name: str) -> None:
    case, (source, options) = Case("wav2lip", name), CHAINS[name]
    inputs, expected = case.inputs(), case.golden["outputs"]
    portrait = model.prepare(source(inputs), **options)
    animation = portrait.animate((inputs["wav"].numpy(), 16000))
    frames = animation.to_array()[..., ::-1]
    assert list(frames.shape) == expected["out"]["shape"]
    found = parity.summarize(f"{name}:out", frames)
    off = np.abs(np.array(found["samples"]) - np.array(expected["out"]["samples"]))
    assert off.max() <= 1
    # One pixel of the 128 that are looked at; the mean over all of them tells whether it stands for many.
    assert (off > 0).sum() <= 1
    assert abs(found["mean"] - expected["out"]["mean"]) < 1e-3
    assert abs(found["std"] - expected["out"]["std"]) < 1e-3
    if "boxes" in expected:
        boxes = boxes_of(portrait, animation.n_frames)
        assert parity.difference(f"{name}:boxes", boxes, expected["boxes"]) < 1e-6


def test_the_end_of_smoothing_follows_the_driver(model: Wav2LipAdapter) -> None:
    """One prepared video and two drivers: the boxes, and so the frames, are those of separate runs."""
    inputs = Case("wav2lip", "chain_video_detect").inputs()
    source = clip_of(enlarged_frames(inputs["frames"])[:5], 30)
    long, short = ((inputs["wav"].numpy()[:n], 16000) for n in (5000, 3500))
    portrait = model.prepare(source)
    assert len(portrait.animate(long).to_array()) == 6
    expected = model.animate(source, short).to_array()
    assert len(expected) == 3
    assert np.array_equal(portrait.animate(short).to_array(), expected)
    raw = model.prepare(source, nosmooth=True)
    for shown in (2, 3, 5):
        assert np.array_equal(boxes_of(portrait, shown), published_smoothing(boxes_of(raw, shown)))


# From the hub to the file.


def test_from_the_hub_to_the_file(
    machine: Machine,
    published: Path,
    face_path: Path,
    short_speech: Audio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    described = describe("wav2lip")
    files = []
    for file in described.variant.files:
        source = next(s for s in file.sources if s.kind == "huggingface")
        content = (published / file.name).read_bytes()
        sha256 = machine.hub.add(source.repo_id, source.path, content)
        files.append(dataclasses.replace(file, sha256=sha256, size=len(content)))
    variant = dataclasses.replace(described.variant, files=tuple(files))
    served = dataclasses.replace(described, variant=variant)
    monkeypatch.setattr("thg_zoo.zoo._registry", lambda: {"wav2lip": served})
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000_000)
    speech, out, report = tmp_path / "speech.wav", tmp_path / "out.mp4", tmp_path / "report.json"
    soundfile.write(speech, short_speech.samples, short_speech.sample_rate)
    command = ["run", "wav2lip", str(face_path), str(speech), "-o", str(out), "box=20,250,150,330", "--device", "cpu"]
    assert _main(command) == 5
    assert "non-commercial" in capsys.readouterr().err
    assert not out.exists()
    assert _main([*command, "--accept-license", "--report", str(report)]) == 0
    text = report.read_text(encoding="utf-8")
    assert text.count('"verified": "sha256"') == 2
    with VideoReader(out) as reader:
        frames = list(reader)
    source = read_image(face_path)
    assert len(frames) == 8
    assert probe(out).has_audio
    # Outside of the box the picture, inside something else, to the pixel but for the encoder's blur.
    changed = np.abs(np.mean(frames, axis=0) - source).mean(axis=2) > 24
    rows, columns = np.flatnonzero(changed.mean(axis=1) > 0.2), np.flatnonzero(changed.mean(axis=0) > 0.2)
    found = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    np.testing.assert_allclose(found, [20, 250, 150, 330], atol=4)


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"state_dict": {"face_encoder.0.conv_block.0.weight": torch.zeros(32, 15, 7, 7)}}, "lipsync_expert"),
        ({"state_dict": {"face_encoder_blocks.0.1.conv_block.0.weight": torch.zeros(1)}}, "384-pixel retraining"),
        ({"kp_extractor.kp.weight": torch.zeros(1)}, "SadTalker"),
    ],
)
def test_other_checkpoints_are_named(
    machine: Machine,
    published: Path,
    tmp_path: Path,
    state: dict[str, Any],
    named: str,
) -> None:
    torch.save(state, tmp_path / "wav2lip.pth")
    (tmp_path / "s3fd.pth").symlink_to(published / "s3fd.pth")
    with pytest.raises(CheckpointError, match=named):
        thg_zoo.load("wav2lip", weights=tmp_path, accept_licence=True)


# Detection.


class Scripted:
    """A detector that reads the face's place from the picture's first pixels, and counts what it looks at."""

    def __init__(self) -> None:
        self.looked = 0
        self.sizes: set[tuple[int, int]] = set()

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        self.looked += len(images)
        self.sizes |= {image.shape[:2] for image in images}
        return [[] if image[0, 0, 0] == 0 else [self.face(image)] for image in images]

    def face(self, image: Picture) -> Face:
        x = int(image[0, 0, 0])
        box = np.array([x, 20, x + 40, 70], np.float32) * image.shape[1] / 160
        return Face(box, np.tile(box[:2], (5, 1)), 0.9)


def places(*x: int) -> np.ndarray:
    """A video of 120 x 160 pixels whose face stands at these x, 0 for none."""
    return np.stack([np.full((120, 160, 3), value, np.uint8) for value in x])


def placed(x: Sequence[int], detector: Scripted | None = None, **options: Any) -> list[Any]:
    chosen = dataclasses.replace(Wav2LipOptions(pads=(0, 0, 0, 0), nosmooth=True), **options)
    found = find_faces(iter(places(*x)), detector or Scripted(), chosen, "cpu")
    return [None if box is None else int(box[2]) for _, box in place_boxes(found, chosen, "'a.mp4'", Fraction(25))]


def test_frames_without_a_face() -> None:
    x = [10, 0, 0, 30, 0]
    with pytest.raises(FaceError, match=r"frame 1 \(0.04 s\) of 'a.mp4'.*missing_face=hold"):
        placed(x)
    assert placed(x, missing_face="hold") == [10, 10, 10, 30, 30]
    assert placed(x, missing_face="pass") == [10, None, None, 30, None]
    assert placed([0, *x], missing_face="hold") == [None, 10, 10, 10, 30, 30]
    for rule in ("hold", "pass"):
        with pytest.raises(FaceError, match="any of 3 frames"):
            placed([0, 0, 0], missing_face=rule)


def test_pads_that_leave_nothing_are_refused() -> None:
    with pytest.raises(FaceError, match=r"pads=\(0, -60, 0, 0\) nothing is left of the face in frame 1 of 'a.mp4'"):
        placed([0, 10], missing_face="pass", pads=(0, -60, 0, 0))


def test_smoothing_begins_anew_after_frames_without_a_face() -> None:
    x = [10, 20, 30, 40, 50, 60, 0, 70, 80]
    found = placed(x, missing_face="pass", nosmooth=False)
    smooth = [list(published_smoothing(np.array(part)[:, None])[:, 0]) for part in (x[:6], x[7:])]
    assert found == [*smooth[0], None, *smooth[1]]


def test_smoothing_of_a_person_who_is_followed_begins_anew_after_a_jump() -> None:
    x = [10, 12, 14, 16, 18, 20, 90, 92, 94, 96, 98, 100]
    published = list(published_smoothing(np.array(x)[:, None])[:, 0])
    assert placed(x, nosmooth=False) == published
    assert published[2] > 20
    parts = [list(published_smoothing(np.array(part)[:, None])[:, 0]) for part in (x[:6], x[6:])]
    for options in ({"face": "largest"}, {"detect_every": 2}):
        assert placed(x, nosmooth=False, **options) == [*parts[0], *parts[1]]


def test_every_nth_frame_is_looked_at_and_others_interpolated() -> None:
    detector = Scripted()
    assert placed(range(10, 23), detector, detect_every=4) == list(range(10, 23))
    assert detector.looked == 4


def test_reduced_frames_give_boxes_of_full_size() -> None:
    detector = Scripted()
    (full,), (large,) = (Reduced(detector, size).detect(places(30))[0] for size in (80, 500))
    assert detector.sizes == {(60, 80), (120, 160)}
    np.testing.assert_allclose(full.box, large.box)
    np.testing.assert_allclose(full.points, large.points, atol=0.5)


def test_no_frame_is_looked_at_twice() -> None:
    detector, seen = Scripted(), []
    video = places(10, 0, 30, 40, 50)
    first = Looks(detector, seen)
    first.detect(video[:2])
    again = Looks(detector, seen)
    assert [len(faces) for faces in again.detect(video[:4])] == [1, 0, 1, 1]
    assert detector.looked == 4
    assert [faces[0].box[0] for faces in first.detect(video[2:])] == [30, 40, 50]
    assert detector.looked == 5
    assert len(seen) == 5


def test_a_detector_without_memory_takes_fewer_frames_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Published(S3fdNetwork(), Runtime(torch.device("cpu")), best_only=True)
    sizes = []

    def best(images: Picture) -> list[Any]:
        n = detector._s3fd.batch_pixels // (120 * 160)
        sizes.append(n)
        if n > room:
            raise torch.OutOfMemoryError("full")
        return [np.zeros(4, np.float32) for _ in images]

    monkeypatch.setattr(detector._s3fd, "best", best)
    room = 3
    assert len(detector.detect(places(*range(1, 9)))) == 8
    assert sizes == [54, 4, 2]
    room = 0
    with pytest.raises(DeviceError, match="detect_size"):
        detector.detect(places(1, 2))


def test_which_face(model: Wav2LipAdapter, face: np.ndarray) -> None:
    two = np.concatenate([face, face[::2, ::2].repeat(2, axis=0)], axis=1)
    faces = {rule: boxes_of(model.prepare(two, detector="mtcnn", face=rule), 1)[0] for rule in ("largest", "0", "1")}
    assert np.array_equal(faces["largest"], faces["0"])
    assert faces["0"][3] < face.shape[1] < faces["1"][2]
    for wrong in ("smallest", "-1", "1.5"):
        with pytest.raises(OptionError, match="face"):
            model.prepare(face, face=wrong)
    with pytest.raises(FaceError, match=r"Face 2.*the source picture"):
        model.prepare(two, detector="mtcnn", face="2")
    for missing in ("error", "hold", "pass"):
        with pytest.raises(FaceError, match=r"No face.*the source picture"):
            model.prepare(np.zeros((64, 64, 3), np.uint8), detector="mtcnn", missing_face=missing)


def test_sources_are_cut_and_frozen_as_options_say(model: Wav2LipAdapter, face: np.ndarray) -> None:
    for box in ((0, 900, 0, 10), (-1, 100, 0, 50)):
        with pytest.raises(OptionError, match="box"):
            model.prepare(face, box=box)
    still = model.prepare(Clip(face[None], NTSC), static=True, box=BOX)
    assert still.source.still
    assert still.animate(SILENCE).fps == NTSC
    with pytest.raises(OptionError, match="crop"):
        model.prepare(Clip(face[None], Fraction(25)), crop=(500, -1, 0, -1))
    with pytest.raises(MediaError, match="What is left of the source clip is 16 x 8 pixels: too small"):
        model.prepare(Clip(face[None], Fraction(25)), crop=(0, 8, 0, 16))


# Boxes that are remembered.


@pytest.fixture
def video(face_clip: Clip, tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "talk.mp4", face_clip.fps, face_clip.frames.shape[1:3]) as writer:
        writer.write(face_clip.frames)
        return writer.close()


def test_boxes_of_a_file_are_remembered(
    machine: Machine,
    model: Wav2LipAdapter,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = Scripted()
    monkeypatch.setattr(detector, "face", lambda image: Face(np.array([70, 60, 180, 190], np.float32), None, 1.0))
    monkeypatch.setattr(adapter_module, "make_detector", lambda *_: detector)

    def looks(shown: int, **options: Any) -> int:
        """How many frames are looked at for an animation that shows so many."""
        before = detector.looked
        assert len(boxes_of(model.prepare(video, **options), shown)) == shown
        return detector.looked - before

    assert [looks(3), looks(7)] == [4, 3]
    assert looks(7) == looks(7, pads=(0, 20, 0, 0), nosmooth=True) == looks(3) == 0
    assert looks(7, detect_size=128) == looks(7, detector="mtcnn") == looks(7, cache_boxes=False) == 7
    boxes = list((machine.folder / "hf").rglob("boxes/*.npz"))
    assert len(boxes) == 3
    for path in boxes:
        path.write_bytes(b"no boxes")
    assert [looks(7), looks(7)] == [7, 0]
    video.write_bytes(video.read_bytes() + b"\0")
    assert looks(7) == 7


def test_random_weights_leave_nothing_to_remember(machine: Machine, model: Wav2LipAdapter, video: Path) -> None:
    random = Wav2LipAdapter(model.model, model.runtime)
    random.networks = model.networks
    random.weights = [
        dataclasses.replace(w, name=n, sha256="") for w, n in zip(model.weights, model.networks, strict=True)
    ]
    assert random.prepare(video).identity.file is None
    assert random.prepare(video, detector="mtcnn").identity.file is not None
    assert model.prepare(video).identity.file is not None
    assert model.prepare(video, static=True, box=BOX).identity.file is None


def test_faces_are_written_and_read_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = np.arange(10, dtype=np.float32).reshape(5, 2)
    box = np.array([1.5, -2, 3, 4], np.float32)
    seen = [[Face(box, points, 0.75), Face(box + 1, None, 0.5)], [], [Face(box, None, 1.0)]]
    path = tmp_path / "boxes" / "a.npz"
    assert read_faces(path) == []
    write_faces(path, seen)
    found = read_faces(path)
    assert [len(faces) for faces in found] == [2, 0, 1]
    for face, expected in zip(itertools.chain(*found), itertools.chain(*seen), strict=True):
        np.testing.assert_array_equal(face.box, expected.box)
        assert face.score == expected.score
        assert (face.points is None) == (expected.points is None)
    np.testing.assert_array_equal(found[0][0].points, points)
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]
    write_faces(tmp_path / "boxes" / "a.npz" / "b.npz", seen)
    assert "cannot be remembered" in caplog.text


# Pasting.


def test_only_mouth_and_jaw_are_blended() -> None:
    mask = mouth_mask()
    assert mask[76, 48] == 1
    assert mask[:34].max() == 0
    assert max(mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.01
    assert np.abs(np.diff(mask, axis=0)).max() < 0.15
    frame = np.full((100, 120, 3), 40, np.uint8)
    face = np.full((96, 96, 3), 240, np.uint8)
    box = np.array([10, 90, 20, 80])
    blended = frame.copy()
    blend_face(blended, face, box, 1.0, mouth_only=True)
    assert (blended[:38] == 40).all()
    assert (blended[75, 50] == 240).all()
    assert (np.delete(blended, np.s_[20:80], axis=1) == 40).all()


def test_a_face_shown_in_part() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    face = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    box = np.array([10, 90, 20, 80])
    pasted, half, whole, none = (frame.copy() for _ in range(4))
    paste_face(pasted, face, box)
    for target, shown in ((half, 0.5), (whole, 1.0), (none, 0.0)):
        blend_face(target, face, box, shown, mouth_only=False)
    np.testing.assert_array_equal(whole, pasted)
    np.testing.assert_array_equal(none, frame)
    np.testing.assert_allclose(half, (frame.astype(float) + pasted) / 2, atol=0.51)


# Silence, and videos that are longer than the sound.


def spoken(seconds: float, pause: tuple[float, float]) -> np.ndarray:
    """A voice-like buzz with a pause of faint noise."""
    t = np.arange(int(seconds * 16000)) / 16000
    sound = 0.3 * np.sign(np.sin(2 * np.pi * 120 * t)) * (1 + np.sin(2 * np.pi * 4 * t)) / 2 + 0.1
    noise = np.random.default_rng(0).normal(0, 1e-3, len(t))
    return np.where((t >= pause[0]) & (t < pause[1]), noise, sound).astype(np.float32)


def cues(sound: np.ndarray, video_frames: int = 0, **options: Any) -> Cues:
    return plan(*listen(np.array_split(sound, 7)), Fraction(25), video_frames, Wav2LipOptions(**options))


def test_pauses_are_found() -> None:
    sound = spoken(3.0, (1.0, 2.0))
    frames = np.arange(len(cues(sound).silent)) / 25
    # A frame hears the 0.2 s that begin with it, and a little on either side.
    quiet = (frames > 1.03) & (frames < 1.77)
    for rule in ("close", "keep"):
        found = cues(sound, silence=rule)
        np.testing.assert_array_equal(found.silent if rule == "close" else found.kept, quiet)
        assert not (found.kept if rule == "close" else found.silent).any()
    assert not cues(sound).silent.any()
    assert not cues(sound, silence="keep", silence_level=-80).kept.any()
    assert cues(np.zeros(16000, np.float32), silence="keep").kept.all()
    shown = cues(sound, silence="keep").shown
    assert (shown[~quiet] == 1).all()
    assert shown.min() == 0
    assert np.abs(np.diff(shown)).max() < 0.21


def test_a_closed_mouth_hears_silence() -> None:
    sound, fps = spoken(1.5, (0.5, 1.2)), Fraction(25)
    published = np.concatenate(list(mel_windows([wav2lip_mel(sound)], fps)))
    for rule in ("draw", "close"):
        found = cues(sound, silence=rule)
        made = list(pieces(lambda: np.array_split(sound, 3), found, fps))
        mel = torch.cat([piece["mel"] for piece in made])[:, 0].numpy()
        expected = np.where(found.silent[:, None, None], np.float32(-4), published)
        np.testing.assert_array_equal(mel, expected)
        assert found.silent.any() == (rule == "close")


def test_what_follows_the_sound() -> None:
    sound, fps = spoken(0.5, (9, 9)), Fraction(25)
    n = len(cues(sound).silent)
    for rule, length in (("cut", n), ("close", 40), ("keep", 40)):
        found = cues(sound, video_frames=40, rest=rule)
        made = list(pieces(lambda: [sound], found, fps))
        assert sum(len(piece["mel"]) for piece in made) == sum(len(piece["shown"]) for piece in made) == length
        assert found.silent.sum() == length - n
        assert (found.shown[-10:] == (rule != "keep")).all()
    assert len(cues(sound, video_frames=5, rest="keep").silent) == n


def test_a_video_goes_on_after_the_sound(model: Wav2LipAdapter, face_clip: Clip) -> None:
    frames = {
        rule: model.animate(face_clip, SILENCE, box=BOX, rest=rule).to_array() for rule in ("cut", "close", "keep")
    }
    assert [len(f) for f in frames.values()] == [2, 7, 7]
    np.testing.assert_array_equal(frames["close"][:2], frames["cut"])
    np.testing.assert_array_equal(frames["keep"][:2], frames["cut"])
    np.testing.assert_array_equal(frames["keep"][-1], face_clip.frames[-1])
    assert (frames["close"][-1] != face_clip.frames[-1]).any()


def test_a_video_without_a_face_is_an_error_however_short_the_sound(model: Wav2LipAdapter) -> None:
    empty = Clip(np.zeros((7, 64, 64, 3), np.uint8), Fraction(25))
    animation = model.animate(empty, SILENCE, detector="mtcnn", missing_face="pass")
    with pytest.raises(FaceError, match="any of 2 frames of the source clip"):
        animation.to_array()


@pytest.mark.parametrize("rest", ["close", "keep"])
def test_a_rest_cuts_no_sound(model: Wav2LipAdapter, face_clip: Clip, rest: str) -> None:
    """The frames of a sound of 0.36 s end after 0.24 s, before the video of 0.28 s does; 0.36 s are heard."""
    portrait = model.prepare(face_clip, box=BOX, rest=rest)
    long, short = (portrait.animate((np.zeros(n, np.float32), 16000)).motion for n in (5760, 3200))
    assert (long.n_frames, long.extend) == (7, "loop")
    assert (short.n_frames, short.extend) == (7, "cut")


def test_frames_pass_where_no_face_is(model: Wav2LipAdapter, face: np.ndarray, short_speech: Audio) -> None:
    empty = np.zeros_like(face)
    source = Clip(np.stack([empty, face, empty, face, face]), Fraction(25))
    animation = model.animate(source, short_speech, detector="mtcnn", missing_face="pass", extend="cut", mask="mouth")
    frames = animation.to_array()
    same = [bool((made == own).all()) for made, own in zip(frames, source.frames, strict=True)]
    assert same == [True, False, True, False, False]
    with pytest.raises(FaceError, match=r"frame 0 \(0.00 s\)"):
        model.animate(source, short_speech, detector="mtcnn").to_array()


def test_short_and_bad_sounds(model: Wav2LipAdapter, face: np.ndarray) -> None:
    portrait = model.prepare(face, box=BOX)
    assert portrait.animate((np.zeros(160, np.float32), 16000)).to_array().shape == (2, *face.shape)
    with pytest.raises(MediaError, match="NaN"):
        portrait.animate((np.full(8000, np.nan, np.float32), 16000))
    assert portrait.animate(SILENCE, fps=50).fps == 50
