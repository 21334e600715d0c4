"""A video measured as a whole: values, reasons, and the curves, in one pass that does not hold the frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from huggingface_hub import constants
from numpy.typing import NDArray

import thg_zoo
from thg_zoo.errors import Cancelled, MediaError, UsageError
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.writer import VideoWriter
from thg_zoo.metrics.catalogue import METRICS
from thg_zoo.metrics.evaluate import evaluate
from thg_zoo.run import Progress

QUICK = ("psnr", "ssim", "l1", "akd5", "lmd5", "jitter", "lip_loudness", "cpbd")
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def talking(face: NDArray[np.uint8], short_speech: Audio) -> Clip:
    """The portrait speaking, 11 frames."""
    animation = thg_zoo.load("warp", device="cpu").animate(face, short_speech)
    return Clip(animation.to_array(), animation.fps)


def test_a_video_against_itself(talking: Clip, face: NDArray[np.uint8], short_speech: Audio) -> None:
    found = evaluate(talking, source=face, reference=talking, audio=short_speech, names=QUICK, device="cpu")
    assert found.scores["psnr"] == 100.0
    assert found.scores["ssim"] == pytest.approx(1.0)
    assert found.scores["l1"] == found.scores["akd5"] == found.scores["lmd5"] == 0.0
    assert not found.skipped
    assert (found.frames, found.faces) == (11, 11)
    assert found.opening is not None
    assert found.loudness is not None
    assert len(found.opening) == len(found.loudness) == 11
    assert list(found.scores) == [name for name in METRICS if name in QUICK]


def moved_mouth(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.roll(frames, 6, axis=2)


def blurred(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(cv2.GaussianBlur(f, (0, 0), 2.0), np.uint8) for f in frames])


def shuffled(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    shaken = [np.roll(f, (5 * (k % 2), 3 * (k % 3)), axis=(0, 1)) for k, f in enumerate(frames)]
    return np.stack(shaken)


@pytest.mark.parametrize(
    ("change", "worse"),
    [(moved_mouth, ("psnr", "ssim", "akd5")), (blurred, ("psnr", "ssim", "cpbd")), (shuffled, ("jitter", "psnr"))],
)
def test_distortions_make_it_worse(talking: Clip, change: Change, worse: tuple[str, ...]) -> None:
    before = evaluate(talking, reference=talking, names=worse, device="cpu").scores
    after = evaluate(Clip(change(talking.frames), talking.fps), reference=talking, names=worse, device="cpu").scores
    for name in worse:
        sign = 1 if METRICS[name].better == "higher" else -1
        assert sign * after[name] < sign * before[name], name


def test_a_reference_at_another_rate_and_size(talking: Clip) -> None:
    """Every frame twice at double rate and at half size is the same video."""
    small = np.stack([cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in talking.frames])
    double = Clip(np.repeat(small, 2, axis=0), talking.fps * 2)
    found = evaluate(Clip(small, talking.fps), reference=double, names=["psnr", "l1"], device="cpu")
    assert found.scores == {"psnr": 100.0, "l1": 0.0}
    enlarged = evaluate(talking, reference=double, names=["psnr"], device="cpu")
    assert 20 < enlarged.scores["psnr"] < 60


def test_what_cannot_be_computed_is_explained(
    talking: Clip, face: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path))
    found = evaluate(talking, reference=Clip(talking.frames[:, :128], talking.fps), source=face[:99], device="cpu")
    assert set(found.scores) | set(found.skipped) == set(METRICS)
    assert not set(found.scores) & set(found.skipped)
    assert "cut differently: 256 x 128 instead of 256 x 256" in found.skipped["psnr"]
    assert found.skipped["lse_c"] == found.skipped["lip_loudness"] == "there is no sound"
    assert "another size" in found.skipped["seam"]
    assert "alignment_WFLW_4HG.pth, 194 MB" in found.skipped["ear"]
    assert found.skipped["akd"].startswith("the reference is cut differently")
    assert "ArcFace" in found.skipped["identity"]
    assert set(found.scores) == {"cpbd", "jitter"}


def test_no_face_and_no_reference(short_speech: Audio) -> None:
    grey = Clip(np.full((12, 96, 96, 3), 90, np.uint8), Fraction(25))
    found = evaluate(grey, audio=short_speech, weights="random", device="cpu")
    assert found.faces == 0
    assert "0 of 12 frames" in found.skipped["lse_d"]
    assert "face" in found.skipped["jitter"]
    assert found.skipped["ssim"] == "no reference video was given"


def test_published_syncnet_needs_consent(
    talking: Clip, short_speech: Audio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("THG_ZOO_ACCEPT_LICENSES", "")
    found = evaluate(talking, audio=short_speech, names=["lse_c"], device="cpu")
    assert "--accept-license" in found.skipped["lse_c"]


def test_the_sound_of_the_file_is_used(talking: Clip, short_speech: Audio, tmp_path: Path) -> None:
    path = tmp_path / "talking.mp4"
    with VideoWriter(path, talking.fps, (256, 256), audio=short_speech) as writer:
        writer.write(talking.frames)
    found = evaluate(path, names=["lse_c", "lse_d", "av_offset", "lip_loudness"], weights="random", device="cpu")
    assert set(found.scores) == {"lse_c", "lse_d", "av_offset", "lip_loudness"}
    assert abs(found.scores["av_offset"]) <= 15


def test_progress_cancellation_and_errors(talking: Clip, face: NDArray[np.uint8], tmp_path: Path) -> None:
    states: list[Progress] = []
    evaluate(talking, names=["l1"], reference=talking, device="cpu", progress=states.append)
    assert [(s.done, s.total) for s in states] == [(8, 11), (11, 11)]
    with pytest.raises(Cancelled):
        evaluate(talking, names=["cpbd"], device="cpu", cancel=lambda: True)
    with pytest.raises(UsageError, match="psnrr"):
        evaluate(talking, names=["psnrr"])
    with pytest.raises(MediaError):
        evaluate(face, names=["cpbd"])
    with pytest.raises(MediaError):
        evaluate(tmp_path / "missing.mp4")
