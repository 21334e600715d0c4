"""What `warp` makes of sound: mouth shapes in step with it, and rest where there is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thg_zoo.adapters.warp import life
from thg_zoo.adapters.warp.articulation import Articulation, articulate
from thg_zoo.adapters.warp.speech import HOP, RATE, SAMPLE_RATE, Features, listen
from thg_zoo.media.audio import read_audio

FPS = Fraction(25)
SAMPLES_PER_FRAME = SAMPLE_RATE // 25
Sound = NDArray[np.float32]


def articulated(sound: Sound) -> Articulation:
    features, n = listen([sound])
    return articulate(features, max(1, -(-n // SAMPLES_PER_FRAME)), FPS, 1.0)


def tone(*hertz: float, seconds: float = 1.0) -> Sound:
    """A voice of 120 Hz with formants at the given frequencies, each weaker than the one below it, as in speech."""
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = np.arange(1, 40) * 120.0
    gains = sum(0.35**k * np.exp(-(((harmonics - f) / 120) ** 2)) for k, f in enumerate(hertz)) + 0.003
    return (0.05 * (gains[:, None] * np.sin(2 * np.pi * harmonics[:, None] * t)).sum(axis=0)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(speech_path: Path) -> Sound:
    return read_audio(speech_path, SAMPLE_RATE).samples


def loudness(sound: Sound) -> NDArray[np.float64]:
    n = -(-len(sound) // SAMPLES_PER_FRAME)
    padded = np.pad(sound, (0, n * SAMPLES_PER_FRAME - len(sound))).reshape(n, -1)
    return np.sqrt((padded.astype(np.float64) ** 2).mean(axis=1))


def test_blocks_of_any_length_give_the_same_features(speech: Sound) -> None:
    whole, n = listen([speech])
    pieces, m = listen(np.array_split(speech, 13))
    assert n == m == len(speech)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(whole.level) == -(-len(speech) // HOP)


@pytest.mark.parametrize("length", [0, 1, 160, 161, 512, 700])
def test_short_sounds_have_features(length: int) -> None:
    features, n = listen([np.full(length, 0.1, np.float32)])
    assert n == length
    assert len(features.level) == max(1, -(-length // HOP))
    assert all(np.isfinite(f).all() for f in features)


def test_features_of_ten_minutes_are_small() -> None:
    rows = 600 * RATE
    assert rows * len(Features._fields) * 4 < 2_000_000


def test_opening_follows_loudness(speech: Sound) -> None:
    jaw = articulated(speech).mouth[:, 0]
    assert np.corrcoef(jaw, loudness(speech))[0, 1] > 0.6
    assert jaw.max() > 0.6


def test_the_mouth_is_not_late(speech: Sound) -> None:
    jaw, loud = articulated(speech).mouth[:, 0], loudness(speech)
    at = {lag: np.corrcoef(np.roll(loud, lag)[3:-3], jaw[3:-3])[0, 1] for lag in range(-3, 4)}
    assert max(at, key=lambda lag: at[lag]) in (-1, 0)


def test_lips_close_in_gaps(speech: Sound) -> None:
    jaw, loud = articulated(speech).mouth[:, 0], loudness(speech)
    # Four frames away from any sound, attack and release are over.
    quiet = np.convolve(loud > 1e-4, np.ones(9), mode="same") == 0
    assert quiet.sum() > 5
    assert jaw[quiet].max() < 0.05


def test_gain_of_the_recording_plays_no_part(speech: Sound) -> None:
    loud, soft = articulated(speech).mouth, articulated(speech * 0.1).mouth
    assert np.abs(loud - soft).max() < 0.12
    assert np.corrcoef(loud[:, 0], soft[:, 0])[0, 1] > 0.995


def test_background_noise_does_not_talk(speech: Sound) -> None:
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32) * 0.003
    jaw, loud = articulated(speech + noise).mouth[:, 0], loudness(speech)
    quiet = np.convolve(loud > 1e-4, np.ones(9), mode="same") == 0
    assert jaw[quiet].max() < 0.08
    assert np.abs(articulated(noise).mouth).max() == 0


def test_silence_is_rest() -> None:
    for sound in (np.zeros(16000, np.float32), np.full(16000, 1e-5, np.float32)):
        result = articulated(sound)
        assert not result.mouth.any()
        assert not result.emphasis.any()


def test_vowels_have_shapes() -> None:
    # Formants of the vowels in "father", "see" and "you" (Peterson and Barney 1952), each between silences.
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    shapes = {}
    for name, formants in {"a": (730, 1090), "i": (270, 2290), "u": (300, 870)}.items():
        mouth = articulated(np.concatenate([pause, tone(*formants), pause])).mouth
        shapes[name] = mouth[15:35].mean(axis=0)
    assert shapes["a"][0] > 2 * shapes["i"][0]
    assert shapes["a"][0] > 2 * shapes["u"][0]
    assert shapes["i"][1] > 0.3 > 0 > shapes["u"][1]


def test_a_gap_before_a_plosive_closes_the_lips() -> None:
    vowel = tone(700, 1200, seconds=0.5)
    mouth = articulated(np.concatenate([vowel, np.zeros(1280, np.float32), vowel])).mouth
    assert mouth[10:16, 2].max() > 0.6
    assert mouth[10:16, 0].min() < 0.5 * mouth[6:20, 0].max()


def test_nothing_jumps(speech: Sound) -> None:
    result = articulated(speech)
    assert np.abs(np.diff(result.mouth[:, 0])).max() < 0.45
    pose = life.head_motion(len(result.mouth), FPS, np.random.default_rng(3), result.emphasis, result.speaking)
    assert np.abs(np.diff(pose, axis=0)).max() < 0.02


def test_blinks_close_the_eyes_at_natural_intervals() -> None:
    lids = life.blinks(25 * 600, FPS, np.random.default_rng(1), 1.0)
    closed = lids > 0.8
    starts = np.flatnonzero(closed[1:] & ~closed[:-1])
    assert 90 < len(starts) < 260
    assert lids.min() == 0
    # Nearly every blink reaches the bottom in some frame, and eyes are open most of the time.
    assert (lids == 0).mean() > 0.8
    assert not life.blinks(2500, FPS, np.random.default_rng(1), 0.0).any()


def test_the_head_starts_at_rest_and_differs_by_seed() -> None:
    still = np.zeros(100, np.float32)
    one, two = (life.head_motion(100, FPS, np.random.default_rng(s), still, still) for s in (1, 2))
    assert not one[0].any()
    assert np.abs(one - two).max() > 0.005
    assert np.abs(one).max() < 0.2
