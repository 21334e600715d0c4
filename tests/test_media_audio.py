"""Sound in: equal to librosa, in step with the container's time, in bounded memory."""

from __future__ import annotations

import itertools
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import torch

from media_files import AWKWARD_NAMES, click, ffmpeg, numbered_video, onset
from thg_zoo.errors import MediaError, MediaLimitError
from thg_zoo.media.audio import Audio, audio_blocks, read_audio
from thg_zoo.media.limits import Limits
from thg_zoo.media.probe import probe


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    samples = np.random.default_rng(3).normal(0, 0.2, (round(seconds * rate), channels))
    return np.clip(samples, -1, 1).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize(("rate", "target"), [(44_100, 16_000), (48_000, 16_000), (16_000, 22_050), (22_050, 22_050)])
def test_wav_equals_librosa(tmp_path: Path, subtype: str, rate: int, target: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2.345, rate, 2), rate, subtype=subtype)
    expected, _ = librosa.load(path, sr=target)
    audio = read_audio(path, target)
    assert audio.samples.dtype == np.float32
    assert (audio.sample_rate, audio.path, audio.samples.shape) == (target, path, expected.shape)
    assert np.abs(audio.samples - expected).max() < 1e-6


@pytest.mark.parametrize("block_seconds", [0.01, 0.7, 10.0])
def test_blocks_joined_are_the_whole(tmp_path: Path, block_seconds: float) -> None:
    soundfile.write(tmp_path / "a.flac", noise(3.3, 44_100), 44_100)
    blocks = list(audio_blocks(tmp_path / "a.flac", 16_000, block_seconds))
    assert {len(block) for block in blocks[:-1]} <= {round(block_seconds * 16_000)}
    assert 0 < len(blocks[-1]) <= round(block_seconds * 16_000)
    assert np.array_equal(np.concatenate(blocks), read_audio(tmp_path / "a.flac", 16_000).samples)


def test_blocks_need_little_memory_and_end_early(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=duration=600:sample_rate=16000:amplitude=0.1", path)
    tracemalloc.start()
    total = sum(len(block) for block in audio_blocks(path, 8000, 1.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 600 * 8000
    assert peak < 4e6
    blocks = audio_blocks(path, 16_000, 1.0)
    assert len(list(itertools.islice(blocks, 3))) == 3
    blocks.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".ogg", ".flac", ".opus", ".aac", ".mkv", ".webm", ".mov"])
def test_formats_keep_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    ffmpeg("-f", "f32le", "-ar", "48000", "-i", "-", path, data=click(3, 1.25, 48_000).tobytes())
    audio = read_audio(path)
    # raw AAC has no place for the encoder's delay
    assert abs(onset(audio.samples, audio.sample_rate) - 1.25) < (0.05 if suffix == ".aac" else 0.003)
    assert abs(audio.duration - 3) < Fraction(8, 100)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".ts"])
@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_late_sound_keeps_its_place(tmp_path: Path, suffix: str, delay: float) -> None:
    soundfile.write(tmp_path / "a.wav", click(2, 1), 16_000)
    sound = ["-itsoffset", str(delay), "-i", tmp_path / "a.wav"]
    codecs = ["-deadline", "realtime"] if suffix == ".webm" else ["-c:v", "libx264"]
    path = numbered_video(tmp_path / f"v{suffix}", 75, "25", *sound, *codecs)
    audio = read_audio(path, 16_000)
    timing = probe(path).timing
    assert timing is not None
    # in a transport stream time begins with the encoder's priming, before the first picture
    assert 0 <= timing.first <= (0.07 if suffix == ".ts" and delay == 0 else 0)
    assert abs(onset(audio.samples, 16_000) - timing.first - 1 - delay) < 0.004
    assert abs(audio.duration - timing.first - 2 - Fraction(delay)) < Fraction(8, 100)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_name(tmp_path: Path, name: str) -> None:
    ffmpeg("-f", "f32le", "-ar", "16000", "-i", "-", tmp_path / "a.wav", data=click(1, 0.5).tobytes())
    path = (tmp_path / "a.wav").rename(tmp_path / f"{name}.wav")
    assert onset(read_audio(path).samples, 16_000) == pytest.approx(0.5, abs=1e-3)


def test_arrays() -> None:
    samples = noise(0.5, 8000, 2)
    mono = samples.mean(axis=1)
    for array in (samples, samples.T, samples.astype(np.float64), torch.from_numpy(samples)):
        assert np.abs(read_audio((array, 8000)).samples - mono).max() < 1e-7
    assert np.abs(read_audio(((mono * 32767).astype(np.int16), 8000)).samples - mono).max() < 1e-4
    assert np.abs(read_audio(((mono * 127 + 128).astype(np.uint8), 8000)).samples - mono).max() < 0.02
    audio = read_audio((mono, 8000))
    assert read_audio(audio) is audio
    assert audio.duration == Fraction(1, 2)
    assert audio.path is None
    expected = librosa.resample(mono, orig_sr=8000, target_sr=16_000)
    assert np.abs(read_audio(audio, 16_000).samples - expected).max() < 1e-6
    kept = read_audio(Audio(mono, 8000, Path("original.mp3")), 4000)
    assert (kept.path, kept.sample_rate, len(kept.samples)) == (Path("original.mp3"), 4000, 2000)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ((16_000, np.zeros(10, np.float32)), "in this order"),
        ((np.zeros(10, np.float32), 0), "sample rate"),
        ((np.zeros(10, np.float32), 16_000.5), "sample rate"),
        ((np.zeros(10, np.float32), True), "sample rate"),
        ((np.zeros(0, np.float32), 16_000), "length of 0"),
        ((np.zeros((0, 2), np.float32), 16_000), "length of 0"),
        ((np.full(10, np.nan, np.float32), 16_000), "NaN"),
        ((np.array([0, np.inf], np.float32), 16_000), "NaN"),
        ((np.zeros((2, 3, 4), np.float32), 16_000), "not a batch"),
        ((np.zeros((64, 64), np.float32), 16_000), "channels"),
        ((np.zeros(10, np.complex64), 16_000), "complex64"),
        (np.zeros(10, np.float32), "sample rate"),
        (None, "path"),
    ],
)
def test_wrong_arrays_are_refused(source: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        read_audio(source)


def test_files_without_usable_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16_000)
    for name, bad in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        samples = click(1, 0.5)
        samples[-1] = bad
        soundfile.write(tmp_path / name, samples, 16_000, subtype="FLOAT")
    numbered_video(tmp_path / "silent.mp4", 5, "25")
    ffmpeg("-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1", tmp_path / "p.png")
    for name, words in {
        "none.wav": r"none\.wav.*(length of 0|sound)",
        "nan.wav": r"nan\.wav holds NaN",
        "inf.wav": r"inf\.wav holds NaN",
        "silent.mp4": r"silent\.mp4 has no sound",
        "p.png": r"p\.png is a picture",
        "missing.wav": "does not exist",
    }.items():
        with pytest.raises(MediaError, match=words):
            read_audio(tmp_path / name)
        with pytest.raises(MediaError, match=words):
            list(audio_blocks(tmp_path / name, 16_000))


def test_ten_milliseconds_and_silence_are_sounds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", noise(0.01, 16_000), 16_000)
    assert len(read_audio(tmp_path / "short.wav", 8000).samples) == 80
    soundfile.write(tmp_path / "silent.wav", np.zeros(1600, np.float32), 16_000)
    assert not read_audio(tmp_path / "silent.wav").samples.any()


def test_cut_off_sound_says_how_far_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    tone = ["-f", "lavfi", "-i", "sine=440:duration=10", "-b:a", "128k", "-movflags", "+faststart"]
    ffmpeg(*tone, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"a\.m4a is damaged: its sound can be decoded up to [45]\.\d s"):
        read_audio(path)


def test_longer_than_the_limit(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3, 8000), 8000)
    with pytest.raises(MediaLimitError, match="THG_ZOO_MAX_SECONDS"):
        read_audio(tmp_path / "a.wav", limits=Limits(max_seconds=2.9))
    with pytest.raises(MediaLimitError, match="THG_ZOO_MAX_SECONDS"):
        read_audio((noise(3, 8000)[:, 0], 8000), limits=Limits(max_seconds=2.9))


def test_length_that_the_header_hides(tmp_path: Path) -> None:
    """A stream of unknown length is still stopped at the limit, while decoding."""
    data = ffmpeg("-f", "lavfi", "-i", "sine=440:duration=3", "-c:a", "libopus", "-f", "webm", "-live", "1", "-")
    (tmp_path / "live.webm").write_bytes(data)
    assert abs(read_audio(tmp_path / "live.webm").duration - 3) < Fraction(1, 20)
    with pytest.raises(MediaLimitError, match="THG_ZOO_MAX_SECONDS"):
        read_audio(tmp_path / "live.webm", limits=Limits(max_seconds=1.5))
