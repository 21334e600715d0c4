"""IP_LAP as a model of the zoo: where faces are looked for, what is drawn from what, and what its options do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import thg_zoo
from test_iplap_networks import generator, renderer
from thg_zoo.adapters.iplap import adapter as adapter_module
from thg_zoo.adapters.iplap import landmarks as landmarks_module
from thg_zoo.adapters.iplap.adapter import IpLapAdapter
from thg_zoo.adapters.iplap.landmark_generator import LandmarkGenerator
from thg_zoo.adapters.iplap.landmarks import MESH_FILE, find_points, mesh_path
from thg_zoo.adapters.iplap.mean_face import placed
from thg_zoo.adapters.iplap.options import IpLapOptions
from thg_zoo.adapters.iplap.points import ORDER, OUTLINE
from thg_zoo.adapters.iplap.renderer import Renderer
from thg_zoo.adapters.iplap.sketch import draw_sketch
from thg_zoo.adapters.iplap.source import Identity, Track, box_size, follow
from thg_zoo.adapters.iplap.speech import Talker, sounds
from thg_zoo.audio.mel import sadtalker_mel
from thg_zoo.cli.main import _main
from thg_zoo.errors import CheckpointError, FaceError, OptionError, UsageError
from thg_zoo.faces.mesh import MESH_POINTS, FaceMesh
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.inputs import Clip, open_source
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import read_image
from thg_zoo.media.video import VideoReader
from thg_zoo.run import Run
from thg_zoo.runtime import Runtime
from thg_zoo.timing import extended_index
from thg_zoo.weights import WeightRecord, empty_networks, fill_networks
from thg_zoo.zoo import describe
from weights_setup import Machine, machine  # noqa: F401 (fixture)

CPU = torch.device("cpu")
TEMPLATE = {"landmarks": "template"}
# What MediaPipe 1.2.2 found in the example picture: corners and middles of the lips, chin, outer corners of the eyes.
MEASURED = {
    61: (202, 139),
    291: (244, 141),
    0: (223, 141),
    17: (223, 155),
    152: (221, 177),
    33: (195, 101),
    263: (255, 104),
}
MESH = describe("iplap").spec.extras[MESH_FILE]


class Echo:
    """Stands in for the renderer's arithmetic, which takes seconds a frame: faces come back as they are."""

    def __init__(self) -> None:
        self.faces: list[Tensor] = []
        self.sketches: list[Tensor] = []
        self.references: Any = None

    def __call__(self, faces: Tensor, sketches: Tensor, references: Any, mel: Tensor) -> Tensor:
        assert len(faces) == len(sketches) == len(mel)
        self.faces.append(faces.clone())
        self.sketches.append(sketches.clone())
        self.references = references
        return faces


@pytest.fixture(scope="module")
def model() -> IpLapAdapter:
    return thg_zoo.load("iplap", weights="random", device="cpu")


@pytest.fixture
def echo(model: IpLapAdapter, monkeypatch: pytest.MonkeyPatch) -> Echo:
    echo = Echo()
    monkeypatch.setattr(model.networks["renderer"], "forward", echo)
    return echo


# The frames.


def test_a_face_goes_back_where_it_came_from(
    model: IpLapAdapter, echo: Echo, face: np.ndarray, short_speech: Audio
) -> None:
    portrait = model.prepare(face, **TEMPLATE)
    frames = portrait.animate(short_speech).to_array()
    assert frames.shape == (11, *face.shape)
    track = portrait.identity.track
    top, bottom, left, right = track.boxes[0]
    # Enlarged again the face is a little softer, and where it is not drawn the picture is the same to the pixel.
    assert np.abs(frames[0].astype(int) - face)[top:bottom, left:right].mean() < 2
    changed = (frames != face).any(axis=(0, 3))
    outline = track.landmarks[0][:, OUTLINE].T * (right - left, bottom - top) + (left, top)
    rows, columns = np.nonzero(changed)
    assert outline[:, 0].min() - 12 <= columns.min() < outline[:, 0].min() + 8
    assert outline[:, 1].max() - 8 < rows.max() <= outline[:, 1].max() + 12
    assert not changed[:top].any()
    # All 25 references of a picture are the picture: one is kept.
    assert echo.references.counts.flatten().tolist() == [25]


def test_sketches_stand_beside_the_frames(
    model: IpLapAdapter, echo: Echo, face: np.ndarray, short_speech: Audio
) -> None:
    frames = model.animate(face, short_speech, show_sketch=True, **TEMPLATE).to_array()
    assert frames.shape == (11, 256, 512, 3)
    sketch = frames[5, :, :256]
    assert (sketch == sketch[..., :1]).all()
    assert 0.01 < (sketch > 100).mean() < 0.2
    with pytest.raises(OptionError, match="missing_face=hold"):
        model.prepare(face, show_sketch=True, missing_face="pass", **TEMPLATE)


def test_a_video_turns_round_and_its_frames_come_from_each_other(
    model: IpLapAdapter, echo: Echo, face_clip: Clip, short_speech: Audio
) -> None:
    portrait = model.prepare(face_clip, references=5, **TEMPLATE)
    frames = portrait.animate(short_speech).to_array()
    order = [extended_index(i, 7, "mirror") for i in range(11)]
    assert order[6:9] == [6, 6, 5]
    for frame, k in zip(frames, order, strict=True):
        assert np.abs(frame.astype(int) - face_clip.frames[k]).mean() < 1
    # Without knowledge of the mouth the references are spread evenly over the video.
    assert echo.references.counts.flatten().tolist() == [1] * 5
    assert portrait.identity.track.references(5).tolist() == [0, 1, 3, 4, 6]
    assert portrait.identity.tokens.shape == (15, 512)


def test_a_static_video_shows_its_first_frame(
    model: IpLapAdapter, echo: Echo, face_clip: Clip, short_speech: Audio
) -> None:
    animation = model.animate(face_clip, short_speech, static=True, **TEMPLATE)
    assert animation.fps == 25
    for frame in animation.to_array():
        assert np.abs(frame.astype(int) - face_clip.frames[0]).mean() < 1


def test_frames_do_not_depend_on_batches(
    model: IpLapAdapter, echo: Echo, face_clip: Clip, short_speech: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for size in (1, 4):
        monkeypatch.setattr(model, "runtime", dataclasses.replace(model.runtime, batch_size=size))
        echo.sketches.clear()
        frames = model.animate(face_clip, short_speech, references=2, **TEMPLATE).to_array()
        assert len(echo.sketches[0]) == size
        seen.append((frames, torch.cat(echo.sketches)))
    assert np.array_equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][1], seen[1][1])


# What is known of a source.


def scripted(points: list[np.ndarray | None], size: tuple[int, int] = (200, 300)) -> Iterator[Any]:
    return ((np.zeros((*size, 3), np.uint8), p) for p in points)


def somewhere(x: float, opening: float = 10) -> np.ndarray:
    points = np.random.default_rng(0).uniform((x, 60), (x + 60, 120), (131, 2)).astype(np.float32)
    points[[ORDER.index(0), ORDER.index(17)]] = [(x + 30, 100), (x + 30, 100 + opening)]
    return points


def track_of(points: list[np.ndarray | None], fps: int = 25, lips_seen: bool = True, **options: Any) -> Track:
    source = open_source(Clip(np.zeros((len(points), 200, 300, 3), np.uint8), Fraction(fps)), ("video",))
    return follow(scripted(points), source, IpLapOptions(**options), lips_seen, Run())


def test_references_are_chosen_by_the_opening_of_the_mouth() -> None:
    openings = [7, 3, 20, 11, 5, 16]
    track = track_of([somewhere(50, o) for o in openings])
    assert track.references(3).tolist() == [1, 0, 2]
    assert track.references(1).tolist() == [1]
    assert track_of([somewhere(50, o) for o in openings], lips_seen=False).references(3).tolist() == [0, 2, 5]
    # At 50 frames a second every second frame is on screen.
    assert track_of([somewhere(50, o) for o in openings], fps=50).references(3).tolist() == [4, 0, 2]


def test_frames_without_a_face() -> None:
    points = [None, somewhere(50), None, somewhere(90), somewhere(900)]
    with pytest.raises(FaceError, match=r"frame 0 \(0.00 s\)"):
        track_of(points)
    passed = track_of(points, missing_face="pass")
    assert passed.shown.tolist() == [False, True, False, True, False]
    assert passed.boxes[:, 2].tolist() == [25, 25, 25, 65, 65]
    assert set(passed.references(10)) == {1, 3}
    # At 50 frames a second the one with the face is never on screen: it is all there is to draw from.
    assert track_of(points[:3], fps=50, missing_face="pass").references(2).tolist() == [1, 1]
    assert track_of(points, missing_face="hold").shown.tolist() == [False, True, True, True, True]
    for missing in ("hold", "pass"):
        with pytest.raises(FaceError, match="any of 3 frames"):
            track_of([None] * 3, missing_face=missing)


def test_frames_that_pass_stay_the_same(
    model: IpLapAdapter, echo: Echo, face_clip: Clip, short_speech: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_hidden(*arguments: Any) -> Iterator[Any]:
        for k, (frame, points) in enumerate(find_points(*arguments)):
            yield frame, None if k in (2, 3) else points

    monkeypatch.setattr(adapter_module, "find_points", two_hidden)
    frames = model.animate(face_clip, short_speech, missing_face="pass", **TEMPLATE).to_array()
    unchanged = [np.array_equal(f, face_clip.frames[extended_index(i, 7, "mirror")]) for i, f in enumerate(frames)]
    assert [i for i, same in enumerate(unchanged) if same] == [2, 3, 10]


def test_landmarks_are_smoothed_forwards() -> None:
    points = [somewhere(50), somewhere(50) + 4, somewhere(50)]
    points[1][0] -= 20
    plain, smooth = track_of(points), track_of(points, smooth=2)
    np.testing.assert_allclose(smooth.landmarks[0], (plain.landmarks[0] + plain.landmarks[1]) / 2, atol=1e-6)
    assert not np.allclose(plain.landmarks[0], plain.landmarks[1])
    assert np.array_equal(plain.boxes, smooth.boxes)


def test_the_order_of_frames() -> None:
    track = track_of([somewhere(50)] * 4, fps=50)
    assert track.order(-2, 6, "mirror").tolist() == [0, 0, 0, 2, 3, 1, 0, 2]
    assert track.order(-2, 4, "hold").tolist() == [0, 0, 0, 2, 3, 3]


# Landmarks.


def test_the_mean_face_lies_on_the_face(face_path: Path) -> None:
    picture = read_image(face_path)
    (found,) = Mtcnn(CPU).detect([picture])[0][:1]
    points = placed(found.points)
    mine = np.array([points[ORDER.index(n)] for n in MEASURED])
    errors = np.linalg.norm(mine - np.array(list(MEASURED.values())), axis=1)
    side = np.linalg.norm(np.ptp(points, axis=0))
    assert errors.max() < 0.06 * side
    assert errors.mean() < 0.04 * side


def test_without_mediapipe_a_mean_face_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    run, record = Run(), WeightRecord("renderer", None, "", "huggingface", "sha256")
    for _ in range(2):
        assert mesh_path(IpLapOptions(), MESH, [record], run) is None
    assert len(run.warnings) == 1
    assert "MediaPipe is not installed" in run.warnings[0]
    with pytest.raises(UsageError) as error:
        mesh_path(IpLapOptions(landmarks="mediapipe"), MESH, [record], run)
    assert "thg-zoo[mesh]" in error.value.remedy
    assert mesh_path(IpLapOptions(landmarks="template"), MESH, [], run) is None


def test_the_mesh_is_fetched_when_it_is_asked_for(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(landmarks_module, "mediapipe_installed", lambda: True)
    monkeypatch.setattr(landmarks_module, "require_mediapipe", lambda: None)
    source = MESH.sources[0]
    sha256 = machine.hub.add(source.repo_id, source.path, b"mesh")
    file = dataclasses.replace(MESH, sha256=sha256, size=4, sources=(source,))
    run, record = Run(), WeightRecord("renderer", None, "", "huggingface", "sha256")
    random = WeightRecord("renderer", None, "", "random", "random")
    assert mesh_path(IpLapOptions(), file, [random], run) is None
    assert not machine.hub.bodies(source.path)
    path = mesh_path(IpLapOptions(), file, [record], run)
    assert path is not None
    assert path.read_bytes() == b"mesh"
    given = IpLapOptions(landmarks="mediapipe", landmark_model=str(tmp_path / "own.task"))
    assert mesh_path(given, file, [random], run) == tmp_path / "own.task"
    assert not run.warnings


class FakeMesh:
    """A mesh that lies about the brightest pixel."""

    seen: ClassVar[list[tuple[int, ...]]] = []

    def __init__(self, path: Path) -> None:
        self.open = path.name == "mesh.task"

    def __enter__(self) -> FakeMesh:
        assert self.open
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def find(self, picture: np.ndarray) -> np.ndarray | None:
        self.seen.append(picture.shape)
        if picture.max() < 255:
            return None
        y, x = np.unravel_index(picture[..., 0].argmax(), picture.shape[:2])
        return np.tile(np.array([x, y], np.float32), (MESH_POINTS, 1)) + np.arange(MESH_POINTS)[:, None] / 100


def test_the_mesh_looks_at_the_whole_or_near_a_face(monkeypatch: pytest.MonkeyPatch, face: np.ndarray) -> None:
    monkeypatch.setattr(landmarks_module, "FaceMesh", FakeMesh)
    marked = np.minimum(face, 250)
    marked[75, 110] = 255
    runtime, mesh = Runtime(CPU), Path("mesh.task")
    FakeMesh.seen = []
    for rule in ("best", "largest"):
        ((_, points), (_, none)) = find_points(
            iter([marked, np.minimum(face, 250)]), mesh, IpLapOptions(face=rule), runtime
        )
        assert none is None
        np.testing.assert_allclose(points, np.array([[110, 75]]) + np.array(ORDER)[:, None] / 100, atol=1e-3)
    assert FakeMesh.seen[:2] == [face.shape] * 2
    assert all(shape[0] < face.shape[0] for shape in FakeMesh.seen[2:])


def test_other_files_are_no_mesh(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    with pytest.raises(CheckpointError, match="There is no face mesh"):
        FaceMesh(tmp_path / "none.task")
    (tmp_path / "wrong.task").write_bytes(b"wrong")
    with pytest.raises(CheckpointError, match="is not MediaPipe's face mesh"):
        FaceMesh(tmp_path / "wrong.task")


# Sound.


def test_windows_of_sound_go_on_with_silence() -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 9000).astype(np.float32)
    heard = np.concatenate(list(sounds(np.array_split(wave, 3), 40)))
    assert heard.shape == (40, 80, 16)
    mel = np.pad(sadtalker_mel(wave), ((0, 0), (0, 200)), constant_values=-4)
    for i in range(40):
        np.testing.assert_array_equal(heard[i], mel[:, int(i * 3.2) : int(i * 3.2) + 16])
    assert (heard[20:] == -4).all()
    assert np.concatenate(list(sounds([np.zeros(10, np.float32)], 3))).shape == (3, 80, 16)


def test_sounds_are_made_as_they_are_needed() -> None:
    blocks = itertools.repeat(np.zeros(16000, np.float32))
    assert len(next(sounds(blocks, 10**9))) < 200


def test_every_window_shows_its_frames_and_hears_what_is_centred_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points = [rng.uniform(60, 140, (131, 2)).astype(np.float32) for _ in range(4)]
    track = track_of(list(points))
    heard: list[Tensor] = []

    def predict(_: Tensor, sounds: Tensor, poses: Tensor) -> Tensor:
        heard.append(sounds)
        return torch.full((len(sounds), 5, 2, 57), -1.0)

    monkeypatch.setattr(generator(), "predict", predict)
    identity = Identity("somebody", track, None, torch.empty(0))  # type: ignore[arg-type]
    wave = rng.uniform(-0.5, 0.5, 70_000).astype(np.float32)
    motion = list(Talker(identity, generator(), Runtime(CPU), "mirror").pieces(lambda: [wave], 100))
    assert len(motion) > 1
    windows = torch.from_numpy(np.concatenate(list(sounds([wave], 100))))[:, None]
    chunks = np.clip(np.arange(100)[:, None] + np.arange(-4, 1), 0, None)
    mel = torch.cat([piece["mel"] for piece in motion])
    assert torch.equal(mel, windows[chunks[:, 2]])
    tokens = generator().encode_sounds(windows)[chunks]
    torch.testing.assert_close(torch.cat(heard), tokens, rtol=0, atol=1e-4)
    sketches = torch.cat([piece["sketches"] for piece in motion])
    nothing = np.full((2, 57), -1, np.float32)
    for i in (0, 1, 4, 79, 80, 99):
        for s, place in enumerate(range(i - 2, i + 3)):
            k = extended_index(max(0, place), 4, "mirror")
            drawn = draw_sketch(np.concatenate((track.landmarks[k, :, :74], nothing), axis=1), box_size(track.boxes[k]))
            np.testing.assert_array_equal(sketches[i, s], drawn)


# From the published files to the video.


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of the published names and layouts, seeded as the golden chain is."""
    folder = tmp_path_factory.mktemp("weights")
    files = {"landmarkgenerator_checkpoint.pth": generator(), "renderer_checkpoint.pth": renderer()}
    for name, network in files.items():
        state = {f"module.{key}": value for key, value in network.state_dict().items()}
        if network is renderer():
            state["module.perceptual.model.network.0.weight"] = torch.zeros(64, 3, 3, 3)
        torch.save({"state_dict": state, "optimizer": None, "global_step": 1, "global_epoch": 1}, folder / name)
    return folder


def test_names_with_and_without_a_wrapper_load(published: Path, tmp_path: Path) -> None:
    for file in published.iterdir():
        whole = torch.load(file, weights_only=True)
        whole["state_dict"] = {name.removeprefix("module."): v for name, v in whole["state_dict"].items()}
        torch.save(whole, tmp_path / file.name)
    for folder in (published, tmp_path):
        with empty_networks():
            networks = {"landmark_generator": LandmarkGenerator(), "renderer": Renderer()}
        fill_networks(networks, describe("iplap").variant, folder, accept_licence=True)
        for network, expected in zip(networks.values(), (generator(), renderer()), strict=True):
            state = network.state_dict()
            assert all(torch.equal(state[name], value) for name, value in expected.state_dict().items())


def test_from_the_files_to_the_video(
    published: Path,
    face_path: Path,
    speech_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # Faces inverted instead of drawn: where they are is looked at here.
    monkeypatch.setattr(Renderer, "forward", lambda _, faces, *__: 1 - faces)
    speech, out = tmp_path / "speech.wav", tmp_path / "out.mp4"
    samples, rate = soundfile.read(speech_path, dtype="float32")
    soundfile.write(speech, samples[rate : rate + rate // 15], rate)
    command = ["run", "iplap", str(face_path), str(speech), "-o", str(out), "--weights", str(published)]
    command += ["--device", "cpu", "landmarks=template"]
    assert _main(command) == 5
    assert "LRS2" in capsys.readouterr().err
    assert not out.exists()
    assert _main([*command, "--accept-license"]) == 0
    with VideoReader(out) as reader:
        frames = np.stack(list(reader)).astype(int)
    assert len(frames) == 2
    # The face of the example picture, and nothing else but for the encoder's blur.
    changed = np.abs(frames.mean(axis=0) - read_image(face_path)).mean(axis=2) > 24
    rows, columns = np.flatnonzero(changed.mean(axis=1) > 0.05), np.flatnonzero(changed.mean(axis=0) > 0.05)
    np.testing.assert_allclose([rows[0], rows[-1], columns[0], columns[-1]], [84, 176, 182, 266], atol=8)
