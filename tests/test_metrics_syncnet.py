"""SyncNet against the published code's figures, and its scores under known shifts of the sound."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import golden_cases
from golden_cases import Case, Outputs, check, parametrize, recorded
from layouts import assert_layout
from thg_zoo.audio import mfcc
from thg_zoo.errors import CheckpointError
from thg_zoo.faces.detector import Face
from thg_zoo.metrics import sync
from thg_zoo.metrics.meter import Batch, Skip
from thg_zoo.metrics.syncnet import EMBEDDING, SyncNet
from thg_zoo.metrics.syncnet_weights import SYNCNET_FILE, load_syncnet
from thg_zoo.weights.seeded import fill_state_dict

CPU = torch.device("cpu")


def speech(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    wave = np.float64(inputs["wav"].numpy())
    if case.name == "mfcc_ramp":
        wave = wave * (np.arange(len(wave)) / (len(wave) - 1)) ** 2
    samples = np.round(wave).astype(np.int16)
    power = mfcc.power_spectrum(mfcc.windows(samples))
    return {
        "frames": mfcc.windows(samples),
        "pspec": power,
        "fbank": mfcc.filter_bank_energies(power),
        "energy": mfcc.energies(power),
        "mfcc": mfcc.mfcc(samples),
    }


def filled(case: Case) -> SyncNet:
    network = case.fill(SyncNet())
    assert isinstance(network, SyncNet)
    return network


def audio_net(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = filled(case)
    pools = {f"pool_{k}": f"netcnnaud.{index}" for k, index in enumerate((3, 7, 17), start=1)}
    with recorded(network, conv="netcnnaud", **pools) as seen:
        embedding = network.embed_audio(inputs["mfcc"])
    return {**seen, "conv": seen["conv"].flatten(1), "embedding": embedding}


def lip_net(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = filled(case)
    pools = {f"pool_{k}": f"netcnnlip.{index}" for k, index in enumerate((3, 7, 17), start=1)}
    with recorded(network, lip_feature="netcnnlip", **pools) as seen:
        embedding = network.embed_video(inputs["frames"][0])
    return {**seen, "lip_feature": seen["lip_feature"].flatten(1), "embedding": embedding}


def offsets(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    video, audio = inputs["video"], inputs["audio"].clone()
    audio[2:] = 0.3 * audio[2:] + 0.7 * video[:-2]
    shift = 4 if case.name.endswith("small") else sync.LARGEST_SHIFT
    found = sync.offset_scores(video, audio, shift)
    scores = [found.offset, found.confidence, found.distance]
    return {"dists": sync.distances(video, audio, shift), "mdist": found.by_shift, "scores": scores}


def score_video(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    import cv2

    network = filled(case)
    frames = np.floor(inputs["frames"].numpy()).astype(np.uint8)
    crops = np.stack([cv2.resize(frame, (224, 224)) for frame in frames])
    samples = np.round(inputs["audio"].numpy()).astype(np.int16)
    video = sync.embed_frames(network, crops, CPU)
    found = sync.score(network, video, samples, CPU)
    n = 11
    return {
        "video": video[:n],
        "audio": sync.embed_sound(network, mfcc.mfcc(samples), n, CPU),
        "mdist": found.by_shift,
        "scores": [found.offset, found.confidence, found.distance],
    }


def crop_track(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    frames = np.floor(inputs["frames"].numpy()).astype(np.uint8)
    cx, cy, s = (inputs[name].numpy().astype(np.float64) for name in ("cx", "cy", "s"))
    crops = sync.TrackCrops()
    places: list[tuple[float, float, float]] = []

    def record(frame: np.ndarray, half: float, y: float, x: float) -> np.ndarray:
        places.append((half, y, x))
        return cut(frame, half, y, x)

    cut, sync.cut_face = sync.cut_face, record
    out = []
    for frame, x, y, half in zip(frames, cx, cy, s, strict=True):
        box = np.array([x - half, y - 0.9 * half, x + half, y + 0.9 * half])
        out += list(crops.push(frame, box))
    out += list(crops.finish())
    sync.cut_face = cut
    half, y, x = np.array(places).T
    return {"s": half, "y": y, "x": x, "out": np.stack(out)}


RUNNERS = {
    "mfcc": speech,
    "mfcc_ramp": speech,
    "mfcc_short": speech,
    "audio_net": audio_net,
    "lip_net": lip_net,
    "offset_search": offsets,
    "offset_search_small": offsets,
    "score_video": score_video,
    "crop_track": crop_track,
}


@parametrize(RUNNERS)
def test_published_figures(name: str, runner: golden_cases.Runner) -> None:
    check("syncnet", name, runner)


def test_published_layout() -> None:
    assert_layout("syncnet", "syncnet_v2.model", "syncnet", SyncNet)


def test_a_file_of_the_published_layout_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    shapes = {name: tuple(value.shape) for name, value in SyncNet().state_dict().items()}
    state = {name: torch.from_numpy(np.asarray(array)) for name, array in fill_state_dict(shapes, base=3).items()}
    # The published file is older than the counters.
    published = {name: value for name, value in state.items() if "num_batches" not in name}
    path = tmp_path / SYNCNET_FILE.name
    torch.save(published, path)
    network = load_syncnet(path, CPU, accept_licence=True)
    assert torch.equal(network.netfclip[3].weight, state["netfclip.3.weight"])
    torch.save({"netcnnaud.0.weight": state["netcnnaud.0.weight"]}, path)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_syncnet(path, CPU, accept_licence=True)


@pytest.mark.parametrize("late", [-3, 0, 2, 7])
def test_shifted_sound_is_found(late: int) -> None:
    """Sound that belongs to the video `late` windows earlier: a negative offset says that it is late."""
    generator = torch.Generator().manual_seed(1)
    video = torch.randn(60, 64, generator=generator)
    found = sync.offset_scores(video, torch.roll(video, late, dims=0))
    assert found.offset == -late
    unrelated = sync.offset_scores(video, torch.randn(60, 64, generator=generator))
    assert found.confidence > 3 * unrelated.confidence
    assert found.distance < unrelated.distance


class Echo(nn.Module):
    """Embeds what it sees as what it hears: the first pixel of a window, and the loudest column of its sound."""

    def embed_video(self, frames: Tensor) -> Tensor:
        level = frames[0, :-4, 112, 112]
        return torch.nn.functional.one_hot((level / 4).round().long() % EMBEDDING, EMBEDDING).float()

    def embed_audio(self, windows: Tensor) -> Tensor:
        return torch.stack([self.heard[round(float(window[0, 0, 0] * 1e3))] for window in windows])


@pytest.mark.parametrize(("fps", "delay"), [(Fraction(25), 0), (Fraction(25), 3), (Fraction(50), 3)])
def test_the_meter_finds_a_delay_of_the_sound(fps: Fraction, delay: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way from frames to the offset, with embeddings that know which frame belongs to which sound."""
    n = 40
    network = Echo()
    marks = torch.nn.functional.one_hot(torch.arange(EMBEDDING) % 60, EMBEDDING).float()
    monkeypatch.setattr(sync, "embed_sound", lambda _, columns, n, device: torch.roll(marks[:n], delay, dims=0))
    samples = np.zeros(n * 640, np.int16)
    meter = sync.SyncMeter(network, samples, fps, CPU)  # type: ignore[arg-type]
    repeats = int(fps / 25)
    frames = np.repeat(np.stack([np.full((96, 96, 3), 4 * k, np.uint8) for k in range(n)]), repeats, axis=0)
    face = Face(np.array([32, 32, 64, 64], np.float32), np.zeros((5, 2), np.float32), 1.0)
    for start in range(0, len(frames), 8):
        piece = frames[start : start + 8]
        meter.update(Batch(piece, [face] * len(piece), frames[:0], []))
    assert meter.result()["av_offset"] == -delay


def test_too_little_is_said() -> None:
    network = load_syncnet("random", CPU)
    with pytest.raises(Skip, match="too short"):
        sync.score(network, torch.zeros(1, EMBEDDING), np.zeros(3200, np.int16), CPU)
    meter = sync.SyncMeter(network, np.zeros(16000, np.int16), Fraction(25), CPU)
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    meter.update(Batch(frames, [None] * 3, frames[:0], []))
    with pytest.raises(Skip, match="0 of 3 frames"):
        meter.result()
    face = Face(np.array([10, 10, 40, 40], np.float32), 1.0, None)
    for n, words in ((6, "too short"), (7, "")):
        meter = sync.SyncMeter(network, np.zeros(16000, np.int16), Fraction(25), CPU)
        frames = np.zeros((n, 64, 64, 3), np.uint8)
        meter.update(Batch(frames, [face] * n, frames[:0], []))
        with pytest.raises(Skip, match=words) if words else contextlib.nullcontext():
            assert set(meter.result()) == set(meter.names)


def test_one_pass_over_all_frames_equals_one_pass_per_window() -> None:
    network = load_syncnet("random", CPU)
    crops = np.random.default_rng(0).integers(0, 20, (6, 224, 224, 3), dtype=np.uint8)
    whole = sync.embed_frames(network, crops, CPU)
    single = sync.embed_frames(network, crops[1:6], CPU)
    assert whole.shape == (2, EMBEDDING)
    assert torch.allclose(whole[1:], single, rtol=1e-4, atol=1e-3)
