"""Spectrograms and resampling against the figures of the published programs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity import NETWORK_TOLERANCE, difference, draw_inputs, load_golden
from thg_zoo.audio.framing import FRAMES_PER_PIECE, centred_frames
from thg_zoo.audio.mel import slaney_filter_bank, wav2lip_mel, wav2lip_mel_blocks
from thg_zoo.audio.resample import resample_kaiser_best
from thg_zoo.weights.seeded import uniform


def golden(case):
    return load_golden("wav2lip")["cases"][case]


def assert_parity(case, output, array):
    assert difference(f"{case}:{output}", array, golden(case)["outputs"][output]) <= NETWORK_TOLERANCE


def test_filter_bank_is_the_published_one():
    bank = slaney_filter_bank(16_000, 800, 80, 55.0, 7600.0)
    assert_parity("mel_basis", "basis", bank)


@pytest.mark.parametrize(
    ("rate", "n_fft", "bands", "low", "high"),
    [(16_000, 800, 80, 55.0, 7600.0), (22_050, 1024, 40, 0.0, 11_025.0), (16_000, 512, 20, 1500.0, 7000.0)],
)
def test_filter_bank_equals_librosa(rate, n_fft, bands, low, high):
    import librosa.filters

    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high)
    np.testing.assert_allclose(slaney_filter_bank(rate, n_fft, bands, low, high), expected, atol=1e-7)


@pytest.mark.parametrize("case", ["mel_flat", "mel_ramp", "mel_short"])
def test_wav2lip_mel_matches_published_code(case):
    signal = draw_inputs(case, golden(case)["inputs"])["wav"]
    if case == "mel_ramp":
        envelope = np.arange(len(signal), dtype=np.float32) / np.float32(len(signal) - 1)
        signal = signal * envelope**2
    assert_parity(case, "mel", wav2lip_mel(signal))


@given(cuts=st.lists(st.integers(0, 60_000), max_size=12), samples=st.integers(1, 60_000))
@settings(max_examples=25, deadline=None)
def test_mel_of_a_stream_is_that_of_the_whole(cuts, samples):
    signal = uniform("stream", (samples,), -0.8, 0.8)
    edges = sorted({0, samples, *(c for c in cuts if c < samples)})
    blocks = [signal[a:b] for a, b in itertools.pairwise(edges)]
    streamed = np.concatenate(list(wav2lip_mel_blocks(iter(blocks))), axis=1)
    np.testing.assert_array_equal(streamed, wav2lip_mel(signal))
    assert streamed.shape == (80, 1 + max(samples, 401) // 200)


def test_mel_of_a_stream_comes_before_the_stream_has_ended():
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield uniform("block", (1600,), -0.5, 0.5)

    first = next(wav2lip_mel_blocks(blocks()))
    assert first.shape == (80, FRAMES_PER_PIECE)
    assert taken == 33  # 200 * 255 + 400 samples, and the 401 that may yet be mirrored


def test_silence_and_shortest_signals_are_finite():
    np.testing.assert_array_equal(wav2lip_mel(np.zeros(16_000, np.float32)), np.full((80, 81), -4.0))
    for samples in (1, 2, 399, 400, 401):
        mel = wav2lip_mel(uniform("short", (samples,), -1.0, 1.0))
        assert mel.shape == (80, 3)
        assert mel.dtype == np.float32
        assert np.isfinite(mel).all()
    assert wav2lip_mel(np.ones(4000, np.float32)).max() <= 4.0


def test_frames_are_centred_on_their_samples():
    frames = np.concatenate(list(centred_frames([np.arange(1.0, 12.0)], size=4, hop=3)))
    np.testing.assert_array_equal(frames, [[3, 2, 1, 2], [2, 3, 4, 5], [5, 6, 7, 8], [8, 9, 10, 11]])


def test_kaiser_best_matches_published_code():
    stereo = draw_inputs("resample_44100", golden("resample_44100")["inputs"])["wave"]
    assert_parity("resample_44100", "mono16k", resample_kaiser_best(stereo.mean(axis=0), 44_100, 16_000))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_101, 48_000])
def test_kaiser_best_keeps_a_tone(rate):
    time = np.arange(rate // 2 + 1) / rate
    resampled = resample_kaiser_best(np.sin(2 * np.pi * 440 * time).astype(np.float32), rate, 16_000)
    assert len(resampled) == -(-(rate // 2 + 1) * 16_000 // rate)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(resampled)) / 16_000)
    # The version's whole table steps cost a little amplitude; the ends fade within the filter's length.
    np.testing.assert_allclose(resampled[200:-200], expected[200:-200], atol=0.01)
