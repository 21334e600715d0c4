"""Audio2Head from sound to frames, against the figures of the published code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from test_audio2head_networks import detector_of, point_net_of
from thg_zoo.adapters.audio2head import adapter as adapter_module
from thg_zoo.adapters.audio2head import speech
from thg_zoo.adapters.audio2head.adapter import Audio2HeadAdapter
from thg_zoo.adapters.audio2head.point_network import PointNet
from thg_zoo.adapters.audio2head.pose_network import PoseNet
from thg_zoo.adapters.audio2head.prediction import Cues, predict_points
from thg_zoo.adapters.audio2head.speech import fill_pitch, frame_features, speech_features
from thg_zoo.audio.harvest import harvest
from thg_zoo.motion import Parameters
from thg_zoo.nn.image_generator import ImageGenerator
from thg_zoo.runtime import Runtime
from thg_zoo.weights.seeded import uniform
from thg_zoo.zoo import describe

RATE = 16_000


def speech_like(noise: Tensor) -> NDArray[np.int16]:
    """The signal of the golden cases: eight harmonics of a rising tone, in bursts, and noise."""
    times = np.arange(len(noise)) / RATE
    phase = np.cumsum(110 + 70 * times / times[-1]) / RATE
    tone = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9))
    heard = (times % 1 > 0.3) & (times % 1 < 0.9)
    signal = 0.3 * tone * heard + 0.01 * noise.double().numpy()
    return np.round(signal / np.abs(signal).max() * 20000).astype(np.int16)


def audio_features(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    samples = speech_like(inputs["noise"])
    centred = samples - samples.mean()
    rows = speech_features(samples)
    return {
        "mfcc": rows[:, :13],
        "logfbank": rows[:, 13:39],
        "f0_raw": harvest(centred / np.abs(centred).max()),
        "features": rows,
        "f0_filled": rows[:, 39],
        "voiced": rows[:, 40],
    }


def pitch_fill(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    voiced, pitch = inputs["v"].numpy() > 0, 120 + 50 * inputs["y"].double().numpy()
    places = np.arange(len(pitch))
    flags = {"plain": voiced, "unvoiced_start": voiced & (places >= 5), "unvoiced_end": voiced & (places < 56)}
    return {name: fill_pitch(np.where(flag, pitch, 0))[0] for name, flag in flags.items()}


def pitch_decay(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    """Harvest alone, on bursts of a gliding voice that fades, near silence, and noise; figures of the WORLD vocoder."""
    noise = inputs["noise"].double().numpy()
    times = np.arange(len(noise)) / RATE
    phase, within = np.cumsum(170 + 90 * np.sin(5 * times)) / RATE, times % 0.5
    voice = sum(np.sin(2 * np.pi * k * phase) / k**1.5 for k in range(1, 16)) * np.exp(-18 * within)
    heard = (within > 0.1) & (within < 0.35)
    return {"f0": harvest(voice * heard + np.where(within > 0.42, 1.0, 3e-4) * noise)}


CASES = {"audio_features": audio_features, "pitch_fill": pitch_fill, "pitch_decay": pitch_decay}


@parametrize(CASES)
def test_sound_matches_published_code(name, runner):
    check("audio2head", name, runner)


# The whole, through the public calls.


def adapter_of(case: Case) -> Audio2HeadAdapter:
    """The model with the weights of the case, as it runs on a CPU."""
    adapter = Audio2HeadAdapter(describe("audio2head"), Runtime(torch.device("cpu"), batch_size=7))
    adapter.networks = {
        "kp_detector": detector_of(case),
        "generator": case.fill(ImageGenerator(), "generator"),
        "audio2kp": point_net_of(case),
        "audio2pose": case.fill(PoseNet(), "audio2pose"),
    }
    adapter.finish_loading()
    return adapter


@pytest.mark.slow
def test_chain_matches_published_code(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("audio2head", "chain")
    inputs = case.inputs()
    adapter = adapter_of(case)
    seen: dict[str, list[Any]] = {"cues": [], "frames": [], "points": []}

    def points(network: PointNet, picture: Tensor, cues: Cues) -> Iterator[Parameters]:
        seen["cues"].append(cues)
        for piece in predict_points(network, picture, cues):
            seen["points"].append(piece["value"])
            yield piece

    def render(*arguments: Any) -> Tensor:
        seen["frames"].append(Audio2HeadAdapter.render(adapter, *arguments))
        return seen["frames"][-1]

    monkeypatch.setattr(adapter_module, "predict_points", points)
    monkeypatch.setattr(adapter, "render", render)
    portrait = adapter.prepare(inputs["image"].floor().byte().numpy(), crop="none")
    animation = portrait.animate((speech_like(inputs["noise"]), RATE))
    video = animation.to_array()
    cues, frames = seen["cues"][0], torch.cat(seen["frames"])
    assert np.array_equal(video, (frames * 255).round().byte().permute(0, 2, 3, 1).numpy())
    windows = [[torch.from_numpy(array) for array in cues.window(start)] for start in (0, 32)]
    with torch.inference_mode():
        whole = [adapter.networks["audio2kp"](portrait.identity.picture, *window) for window in windows]
    outputs = {
        "frame_count": [animation.n_frames, len(windows)],
        "rotation": cues.poses[:, :3],
        "translation": cues.poses[:, 3:],
        "window_audio": torch.stack([window[0] for window in windows]),
        "window_pose_sum": torch.stack([window[1].sum((1, 2)) for window in windows]),
        "window_values": torch.stack([points.value for points in whole]),
        "window_jacobians": torch.stack([points.jacobian for points in whole]),
        "used_values": torch.cat(seen["points"]),
        "prediction": frames[[0, 17, 40]],
        "frames_uint8_mean": (frames * 255).floor().mean((2, 3)),
    }
    errors = case.errors(outputs)
    assert all(error <= 1 for error in errors.values()), errors


# What the published program does not say of sound.


def speech_blocks(seconds: float) -> NDArray[np.float32]:
    """Noise that a tone joins now and then."""
    noise = torch.from_numpy(uniform("speech", (int(seconds * RATE),)))
    return speech_like(noise).astype(np.float32) / 32768


def test_blocks_do_not_matter():
    sound = speech_blocks(2.0)
    whole = frame_features([sound])
    assert whole.shape == (49, 4, 41)
    assert np.array_equal(frame_features(np.split(sound, [1, 700, 20_000])), whole)


def test_long_sound_is_heard_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = (speech_blocks(6.0) * 32768).astype(np.int16)
    whole = speech_features(sound)
    monkeypatch.setattr(speech, "_PIECE", 250)
    pieces = speech_features(sound)
    np.testing.assert_allclose(pieces[:, :39], whole[:, :39], atol=1e-9)
    np.testing.assert_array_equal(pieces[:, 40], whole[:, 40])
    np.testing.assert_allclose(pieces[:, 39], whole[:, 39], atol=0.05)


@pytest.mark.parametrize("n", [1, 100, 719, 880, 881, 1359])
def test_short_sound_fills_a_frame(n: int) -> None:
    features = frame_features([speech_blocks(1.0)[6000 : 6000 + n]])
    assert features.shape == (1, 4, 41)
    assert np.isfinite(features).all()


def test_silence_has_features() -> None:
    features = frame_features([np.full(16_000, 0.25, np.float32)])
    assert features.shape == (24, 4, 41)
    assert np.isfinite(features).all()
    assert not features[..., 39:].any()


# Pitch.


@pytest.mark.parametrize("pitch", [80.0, 133.0, 310.0, 700.0])
def test_harvest_finds_the_pitch_of_a_voice(pitch: float) -> None:
    times = np.arange(12_001) / RATE
    voice = sum(np.sin(2 * np.pi * k * pitch * times) / k for k in range(1, 6))
    found = harvest(np.concatenate([np.zeros(4000), voice, np.zeros(4000)]))
    assert len(found) == 1 + 20_001 // 160
    np.testing.assert_allclose(found[30:95], pitch, rtol=5e-3)
    assert not found[:20].any()
    assert not found[-20:].any()


@pytest.mark.parametrize("n", [1, 2, 159, 160, 161, 1000])
def test_harvest_of_little_sound(n: int) -> None:
    assert not harvest(np.zeros(n)).any()
    assert harvest(speech_blocks(1.0)[6000 : 6000 + n]).shape == (1 + n // 160,)
