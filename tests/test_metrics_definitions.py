"""Every metric against an independent computation, and in the right direction under a known distortion."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import linalg, ndimage
from torch import nn

from thg_zoo.errors import UsageError
from thg_zoo.faces.detector import Face
from thg_zoo.media.image import read_image
from thg_zoo.metrics import fidelity, landmarks, mouth, seam, sharpness
from thg_zoo.metrics.catalogue import METRICS, check_names
from thg_zoo.metrics.identity import Identity, aligned
from thg_zoo.metrics.meter import Batch, Meter, Skip
from thg_zoo.timing import Resampler, at_rate

Picture = NDArray[np.uint8]
EYES_AND_MOUTH = np.array([[40, 50], [80, 50], [60, 70], [45, 90], [75, 90]], np.float32)


def blurred(picture: Picture, sigma: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def noisy(picture: Picture, spread: float) -> Picture:
    noise = np.random.default_rng(0).normal(0, spread, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def face_at(points: NDArray[np.floating]) -> Face:
    low, high = points.min(axis=0) - 20, points.max(axis=0) + 20
    return Face(np.concatenate((low, high)).astype(np.float32), points.astype(np.float32), 1.0)


def batch(frames: Picture, faces: list[Face | None] | None = None, reference: Picture | None = None) -> Batch:
    none: list[Face | None] = [None] * len(frames)
    return Batch(frames, faces or none, frames[:0] if reference is None else reference, none)


def measured(meter: Meter, *batches: Batch) -> dict[str, float]:
    for each in batches:
        meter.update(each)
    return meter.result()


# Against a reference.


def plain_psnr(frame: Picture, reference: Picture) -> float:
    return float(10 * np.log10(255**2 / np.mean((frame.astype(float) - reference) ** 2)))


def plain_ssim(frame: Picture, reference: Picture) -> float:
    """Wang et al. 2004, equation 13, straight from the paper, channel by channel; the border of 5 pixels left out."""
    values = []
    for a, b in zip(frame.astype(float).transpose(2, 0, 1), reference.astype(float).transpose(2, 0, 1), strict=True):

        def mean(x: NDArray[np.floating]) -> NDArray[np.floating]:
            return ndimage.gaussian_filter(x, 1.5, truncate=3.5)

        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        ma, mb = mean(a), mean(b)
        va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
        s = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
        values.append(s[5:-5, 5:-5].mean())
    return float(np.mean(values))


def test_psnr_and_l1_and_ssim_by_hand(face: Picture) -> None:
    other = noisy(face, 9)
    assert fidelity.psnr(other, face) == pytest.approx(plain_psnr(other, face), rel=1e-9)
    assert fidelity.l1(other, face) == pytest.approx(np.abs(other.astype(float) - face).mean() / 255, rel=1e-9)
    assert fidelity.ssim(other, face) == pytest.approx(plain_ssim(other, face), rel=1e-6)
    assert fidelity.psnr(face, face) == fidelity.BEST_PSNR
    assert fidelity.ssim(face, face) == pytest.approx(1.0)


def test_ms_ssim_is_the_papers_product_of_scales(face: Picture) -> None:
    """Wang et al. 2003: contrast and structure at four scales, all three terms at the coarsest, to its powers."""
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    other = blurred(face, 1.0)
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def mean(x: NDArray[np.floating]) -> NDArray[np.floating]:
        return ndimage.correlate1d(ndimage.correlate1d(x, taps, axis=-1), taps, axis=-2)[..., 5:-5, 5:-5]

    a, b = (p.astype(float).transpose(2, 0, 1) for p in (other, face))
    product = 1.0
    for k, weight in enumerate(weights):
        ma, mb = mean(a), mean(b)
        va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
        term = (2 * cov + c2) / (va + vb + c2)
        if k == len(weights) - 1:
            term = term * (2 * ma * mb + c1) / (ma**2 + mb**2 + c1)
        product *= term.mean() ** weight
        a, b = (x.reshape(3, x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean(axis=(2, 4)) for x in (a, b))
    assert fidelity.ms_ssim(other, face) == pytest.approx(product, rel=1e-3)
    with pytest.raises(Skip, match="161"):
        fidelity.ms_ssim(face[:100, :100], face[:100, :100])


@pytest.mark.parametrize("name", ["psnr", "ssim", "ms_ssim", "l1"])
def test_fidelity_falls_with_blur(face: Picture, name: str) -> None:
    compare = getattr(fidelity, name)
    values = [
        measured(fidelity.FrameMeter(name, compare), batch(blurred(face, s)[None], reference=face[None]))[name]
        for s in (0.5, 1.5, 4.0)
    ]
    expected = sorted(values, reverse=METRICS[name].better == "higher")
    assert values == expected
    assert values[0] != values[-1]


class Statistics(nn.Module):
    """Features [B, 3] of uint8 pictures: their channels' means."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.double().mean(dim=(2, 3))


def test_fid_is_the_distance_of_two_gaussians(face: Picture) -> None:
    """The library's value with a feature network of ours, against Frechet's formula in numpy."""
    pytest.importorskip("torchmetrics")
    generator = np.random.default_rng(0)
    reference = np.clip(face[None] + generator.normal(0, 20, (12, 1, 1, 3)), 0, 255).astype(np.uint8)
    frames = np.clip(face[None] + generator.normal(8, 30, (12, 1, 1, 3)), 0, 255).astype(np.uint8)

    def formula(a: Picture, b: Picture) -> float:
        fa, fb = (x.astype(float).mean(axis=(1, 2)) for x in (a, b))
        ca, cb = np.cov(fa.T), np.cov(fb.T)
        root = linalg.sqrtm(ca @ cb).real
        return float(((fa.mean(0) - fb.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root))

    meter = fidelity.fid_meter(torch.device("cpu"), Statistics())
    found = measured(meter, batch(frames[:8], reference=reference[:8]), batch(frames[8:], reference=reference[8:]))
    assert found["fid"] == pytest.approx(formula(frames, reference), rel=1e-6)
    assert formula(reference, reference) < 1e-6 < found["fid"]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(Skip, match="pyiqa"):
        sharpness.Niqe(device)

    def unreachable(name: str, device: object) -> None:
        raise ConnectionError("no route to host")

    package = SimpleNamespace(create_metric=unreachable)
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    with pytest.raises(Skip, match="could not be had: no route"):
        sharpness.Niqe(torch.device("cpu"))
    package.create_metric = lambda name, device: lambda picture: picture.mean()
    frames = np.full((11, 8, 8, 3), 51, np.uint8)
    assert measured(sharpness.Niqe(torch.device("cpu")), batch(frames))["niqe"] == pytest.approx(0.2)
    monkeypatch.setattr("torchmetrics.image.lpip._LPIPS_AVAILABLE", False, raising=False)
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    with pytest.raises(Skip, match="torchmetrics"):
        fidelity.lpips_meter(device)
    with pytest.raises(UsageError, match="lse_x"):
        check_names(["lse_x"])
    assert check_names(None) == tuple(METRICS)


# Face points.


def test_five_points_and_centred_distance() -> None:
    """Points moved by (3, 4) pixels in frames of 128: 5 pixels, 10 at the size of evaluation; nothing once centred."""
    frames = np.zeros((2, 128, 128, 3), np.uint8)
    moved = face_at(EYES_AND_MOUTH + np.array([3, 4]))
    given = Batch(frames, [moved, None], frames, [face_at(EYES_AND_MOUTH)] * 2)
    found = measured(landmarks.FivePoints(), given)
    assert found["akd5"] == pytest.approx(10.0)
    assert found["lmd5"] == pytest.approx(0.0, abs=1e-4)
    opened = EYES_AND_MOUTH.copy()
    opened[3:, 1] += 10
    found = measured(
        landmarks.FivePoints(), Batch(frames[:1], [face_at(opened)], frames[:1], [face_at(EYES_AND_MOUTH)])
    )
    # Of five points two moved by 10, so the mean moved by 4: 3 points are off by 4, two by 6; the eyes are 40 apart.
    assert found["lmd5"] == pytest.approx((3 * 4 + 2 * 6) / 5 / 40 * 100, rel=1e-5)
    with pytest.raises(Skip, match="no frame"):
        measured(landmarks.FivePoints(), batch(frames))


def test_jitter_is_zero_for_even_motion_and_grows_with_trembling() -> None:
    frames = np.zeros((30, 16, 16, 3), np.uint8)
    even = [EYES_AND_MOUTH + t * np.array([2.0, -1.0]) for t in range(30)]
    noise = np.random.default_rng(0).normal(0, 1, (30, 5, 2))

    def jitter(points: list[NDArray[np.floating]]) -> float:
        meter = landmarks.Jitter()
        faces: list[Face | None] = [face_at(p) for p in points]
        return measured(meter, batch(frames[:11], faces[:11]), batch(frames[11:], faces[11:]))["jitter"]

    assert jitter(even) == pytest.approx(0, abs=1e-3)
    trembling = [p + n for p, n in zip(even, noise, strict=True)]
    # By hand: the second difference of all, over the distance of the eyes in the middle frame.
    points = np.array(trembling, np.float32).astype(float)
    departure = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=2).mean(axis=1)
    eyes = np.linalg.norm(points[1:-1, 1] - points[1:-1, 0], axis=1)
    assert jitter(trembling) == pytest.approx(float((departure / eyes).mean() * 100), rel=1e-4)
    assert jitter(trembling) < jitter([p + 3 * n for p, n in zip(even, noise, strict=True)])
    shuffled = [even[k] for k in np.random.default_rng(1).permutation(30)]
    assert jitter(shuffled) > jitter(trembling)


def sixty_eight(openness: float) -> NDArray[np.float32]:
    """A schematic face whose eyes are 10 wide and `openness` times that high."""
    points = np.random.default_rng(0).uniform(0, 100, (68, 2)).astype(np.float32)
    for start, x in ((36, 20), (42, 60)):
        h = 5 * openness
        points[start : start + 6] = [
            [x, 40],
            [x + 3, 40 - h],
            [x + 7, 40 - h],
            [x + 10, 40],
            [x + 7, 40 + h],
            [x + 3, 40 + h],
        ]
    return points


def test_eye_aspect_ratio_and_blinks() -> None:
    assert landmarks.eye_aspect_ratio(sixty_eight(0.3)) == pytest.approx(0.3)
    fps = Fraction(30)
    # 2 s; closed for 4 frames twice, and for 2 frames once, which is no blink.
    openness = np.full(60, 0.3)
    openness[10:14] = openness[30:34] = openness[50:52] = 0.1
    assert landmarks.count_blinks(openness, fps) == 2
    for ratio, blinks in ((0.199, 1), (0.2, 0), (0.201, 0)):
        assert landmarks.count_blinks(np.array([0.3] * 5 + [ratio] * 5 + [0.3] * 5), fps) == blinks
    meter = landmarks.Landmarks68(
        lambda frames, _: [sixty_eight(v / 100) for v in frames[:, 0, 0, 0]], fps, reference=False
    )
    frames = np.broadcast_to((openness * 100).round().astype(np.uint8)[:, None, None, None], (60, 8, 8, 3))
    found = measured(meter, batch(frames[:30]), batch(frames[30:]))
    assert found["blink_rate"] == pytest.approx(60.0)
    assert found["ear"] == pytest.approx(openness.mean(), abs=1e-3)
    assert set(found) == {"ear", "blink_rate"}


def test_landmark_distances_with_68_points() -> None:
    base = sixty_eight(0.3)
    moved = base.copy()
    moved[48:] += [0, 6]
    finder = {0: base, 1: moved}
    meter = landmarks.Landmarks68(
        lambda frames, _: [finder[int(f[0, 0, 0])] for f in frames], Fraction(25), reference=True
    )
    frames = np.ones((3, 64, 64, 3), np.uint8)
    found = measured(meter, batch(frames, reference=frames * 0))
    assert found["akd"] == pytest.approx(20 * 6 / 68 * 256 / 64, rel=1e-4)
    assert found["m_lmd"] == pytest.approx(0, abs=1e-3)
    assert found["lmd"] > 0


# Single pictures.


def test_cpbd_is_that_of_the_published_package(face_path: Path) -> None:
    """Figures that the package cpbd 1.0.7 returned (its removed imports replaced): see tests/golden/cpbd.json."""
    golden = json.loads((Path(__file__).parent / "golden" / "cpbd.json").read_text())
    grey = cv2.cvtColor(read_image(face_path), cv2.COLOR_RGB2GRAY)
    pictures = {
        "astronaut": grey,
        "blur 0.8": blurred(grey, 0.8),
        "blur 2": blurred(grey, 2.0),
        "noise 8": noisy(grey, 8),
    }
    assert set(pictures) == set(golden)
    for name, picture in pictures.items():
        assert sharpness.cpbd(picture) == pytest.approx(golden[name], abs=1e-9), name
    assert sharpness.cpbd(pictures["blur 2"]) < sharpness.cpbd(pictures["blur 0.8"]) < sharpness.cpbd(grey)


def test_cpbd_looks_at_every_fifth_frame(face: Picture) -> None:
    flat = np.full_like(face, 128)
    frames = np.stack([face if k % 5 == 0 else flat for k in range(11)])
    whole = measured(sharpness.Cpbd(), batch(frames))
    assert whole == measured(sharpness.Cpbd(), batch(frames[:3]), batch(frames[3:9]), batch(frames[9:]))
    assert whole["cpbd"] == pytest.approx(sharpness.cpbd(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)))


def test_seam_of_a_pasted_square(face: Picture) -> None:
    """A part that is brighter by 40: a hard border is seen, a feathered one less, an unchanged picture not at all."""
    weight = np.zeros(face.shape[:2], np.float32)
    weight[80:180, 80:180] = 1

    def pasted(soft: float) -> Picture:
        mask = cv2.GaussianBlur(weight, (0, 0), soft) if soft else weight
        return np.clip(face * 0.7 + 40 * mask[..., None], 0, 255).astype(np.uint8)

    source = np.clip(face * 0.7, 0, 255).astype(np.uint8)
    values = [measured(seam.Seam(source), batch(pasted(soft)[None]))["seam"] for soft in (0, 3, 8)]
    assert values[0] > 1.5 * values[1] > 1.5 * 1.5 * values[2]
    flat = np.full((64, 64), 100, np.float32)
    step = flat.copy()
    step[20:40, 20:40] += 40
    found = seam.seam_visibility(step, flat)
    # A step of 40 is 20 levels per pixel to a central difference, at corners in both directions.
    assert found is not None
    assert 20 <= found < 20 * np.sqrt(2)
    with pytest.raises(Skip, match="differs"):
        measured(seam.Seam(face), batch(face[None]))
    with pytest.raises(Skip, match="size"):
        measured(seam.Seam(face[:100]), batch(face[None]))


# Sound and mouth.


def test_loudness_follows_the_sound_frame_by_frame() -> None:
    fps = Fraction(30000, 1001)
    levels = np.array([0.5, 0.05, 0.5, 0.005, 0.5])
    edges = [-(-k * 16000 * 1001 // 30000) for k in range(6)]
    sound = np.concatenate(
        [np.full(b - a, v, np.float32) for a, b, v in zip(edges[:-1], edges[1:], levels, strict=True)]
    )
    found = mouth.loudness([sound[:700], sound[700:1500], sound[1500:]], fps)
    assert found == pytest.approx([1, 0.6, 1, 0.2, 1], abs=1e-5)


def test_mouth_opening_is_found_and_ends_when_the_sound_is_moved(face: Picture) -> None:
    """A dark ellipse opens in the mouth as the sound says; shifting the sound, or shuffling frames, costs it."""
    fps, n = Fraction(25), 50
    points = np.array([[105, 52], [125, 52], [115, 62], [107, 72], [123, 72]], np.float32)
    wave = 0.5 + 0.5 * np.sin(np.arange(n) * 0.9)
    frames = np.stack([face] * n)
    for k in range(n):
        cv2.ellipse(frames[k], (115, 74), (7, max(0, round(6 * wave[k]))), 0, 0, 360, (40, 10, 10), -1)
    loud = np.repeat(0.02 + 0.4 * wave, 640).astype(np.float32)
    faces: list[Face | None] = [face_at(points)] * n

    def correlation(sound: NDArray[np.float32], shown: Picture) -> float:
        meter = mouth.MouthMeter([sound], fps)
        return measured(meter, batch(shown[:20], faces[:20]), batch(shown[20:], faces[20:]))["lip_loudness"]

    whole = correlation(loud, frames)
    assert whole > 0.8
    assert correlation(np.roll(loud, 3 * 640), frames) < -0.5
    assert correlation(np.roll(loud, 640), frames) < whole
    assert abs(correlation(loud, frames[np.random.default_rng(0).permutation(n)])) < 0.5
    with pytest.raises(Skip, match="does not move"):
        correlation(loud, np.stack([face] * n))


# Identity.


def test_identity_of_the_same_and_of_another_face(face: Picture) -> None:
    points = np.array([[100, 100], [140, 100], [120, 120], [105, 140], [135, 140]], np.float32)
    here = face_at(points)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.floating]:
        centred = crops.astype(float).reshape(len(crops), -1)
        return centred - centred.mean(axis=1, keepdims=True)

    other = np.rot90(face).copy()
    frames, swapped = np.stack([face, noisy(face, 5)]), np.stack([other, other])
    same = measured(
        Identity(embed, (face, here), reference=True), Batch(frames, [here, here], frames[::-1], [here, here])
    )
    different = measured(Identity(embed, (face, here), reference=False), batch(swapped, [here, here]))
    assert same["identity"] > 0.95 > 0.5 > different["identity"]
    a, b = (embed(aligned(f, here)[None])[0] for f in frames)
    assert same["csim"] == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), rel=1e-6)


# Times.


@pytest.mark.parametrize(("fps", "wanted"), [(25, 25), (25, 30), (30, 25), (Fraction(30000, 1001), 60), (50, 12)])
def test_resampling_shows_the_frame_of_the_moment(fps: Fraction, wanted: Fraction) -> None:
    fps, wanted = Fraction(fps), Fraction(wanted)
    found = list(at_rate(iter(range(40)), fps, wanted))
    assert found == [int(i / wanted * fps) for i in range(len(found))]
    assert len(found) == -(-Fraction(40) / fps * wanted // 1)
    rule = Resampler(fps, wanted)
    assert sum(rule.shown() for _ in range(40)) == len(found)
