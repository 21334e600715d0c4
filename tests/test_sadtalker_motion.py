"""From sound to SadTalker's key points: figures of the published code, and what it does not say."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from thg_zoo.adapters.sadtalker.blink import blink_ratio
from thg_zoo.adapters.sadtalker.coefficients import add_pose, driving_rows, repeated, spread_degrees
from thg_zoo.adapters.sadtalker.expression import ExpressionNet
from thg_zoo.adapters.sadtalker.pose import PoseVae, draw_latents, segment_count, smooth_poses
from thg_zoo.adapters.sadtalker.prediction import Cues, predict
from thg_zoo.adapters.sadtalker.speech import count_frames, speech_windows, unheard_windows, window_starts
from thg_zoo.audio.mel import sadtalker_mel, sadtalker_mel_blocks
from thg_zoo.face3d.mapping import REACH
from thg_zoo.run import Run
from thg_zoo.weights.seeded import uniform


def windows(samples: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.concatenate(list(speech_windows([samples], count_frames([samples])))))


def mel(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    wave = inputs["wave"].numpy().copy()
    wave[8000:12000] *= 0.001
    wave[12000:] = 0
    return {"mel": sadtalker_mel(wave)}


def mel_windows(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    heard = windows(inputs["wave"].numpy())
    columns = torch.arange(70.0).expand(1, len(heard), 70)
    return {"windows": heard[None, :, None], "start_index": window_starts(len(heard)), "ref": columns}


def blink(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {f"ratio_{n}": blink_ratio(n, random.Random(seed)) for n, seed in ((200, 7), (60, 3))}


def smoothing(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    poses = inputs["pose"][0].numpy()
    return {name: smooth_poses(poses[:n])[None] for name, n in (("long", 40), ("short", 9), ("ten", 10))}


def reference_pose(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {name: add_pose(inputs["coeffs"], inputs[f"ref_{name}"]) for name in ("long", "short")}


def reference_blink(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    expression = repeated(inputs["ref"][:, :64], 25)
    return {"ref": torch.cat((expression, inputs["first"][:, 64:70].expand(25, -1)), dim=1).unsqueeze(0)}


def windows_of(batch: int, **settings):
    """The rows that the mapping network sees, cut into the windows of the published program."""

    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        rows = driving_rows(inputs["coeffs"], inputs["first"], **settings)
        columns = rows[torch.arange(-REACH, len(rows) + REACH).clamp(0, len(rows) - 1)].unfold(0, 2 * REACH + 1, 1)
        padded = repeat_last(columns, batch).unflatten(0, (batch, -1))
        source = inputs["first"][:, : rows.shape[1], None].expand(batch, -1, 2 * REACH + 1)
        picture = inputs["image"].floor().permute(2, 0, 1).unsqueeze(0) / 255
        return {"source_image": picture, "source_semantics": source, "target_semantics": padded}

    return run


def repeat_last(values: Tensor, batch: int) -> Tensor:
    return torch.cat((values, values[-1:].expand(-len(values) % batch, *values.shape[1:])))


def degrees(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    wanted = {"a": ([-20, 30, 10], 25, 2), "b": ([0, 45], 10, 1), "c": ([15], 5, 2)}
    made = {name: repeat_last(spread_degrees(v, n), b).view(b, -1) for name, (v, n, b) in wanted.items()}
    # The place of each value was added to the constant one when it was measured, so that it has a deviation.
    return {**made, "c": made["c"] + torch.arange(6).view(2, 3)}


def chain_audio(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    expression_net, pose_vae = case.fill(ExpressionNet(), "audio2exp"), case.fill(PoseVae(), "audio2pose")
    wave, first = inputs["wave"].numpy(), inputs["first"]
    n = count_frames([wave])
    ratio = torch.from_numpy(blink_ratio(n, random.Random(5)))
    cues = Cues(first[:, :64].expand(n, -1), ratio, first[:, 64:70], inputs["z"], 12)
    predicted = predict(expression_net, pose_vae, speech_windows([wave], n), cues, Run())
    return {"ratio": ratio.unsqueeze(0), "coeff_70": predicted}


CASES = {
    "chain_audio": chain_audio,
    "mel": mel,
    "mel_windows": mel_windows,
    "blink": blink,
    "savgol": smoothing,
    "ref_pose": reference_pose,
    "ref_eyeblink": reference_blink,
    "windows_crop": windows_of(2, scale=1.3, still=False, placed=False),
    "windows_full_still": windows_of(3, scale=1.0, still=True, placed=True),
    "windows_crop_still": windows_of(1, scale=1.0, still=True, placed=False),
    "camera_lists": degrees,
}


@parametrize(CASES)
def test_motion_matches_published_code(name, runner):
    check("sadtalker", name, runner)


# The sound.


@given(cuts=st.lists(st.integers(0, 40_000), max_size=8), samples=st.integers(1, 40_000))
@settings(max_examples=25, deadline=None)
def test_windows_of_a_stream_are_those_of_the_whole(cuts, samples):
    signal = uniform("stream", (samples,), -0.8, 0.8)
    edges = sorted({0, samples, *(c for c in cuts if c < samples)})
    blocks = [signal[a:b] for a, b in itertools.pairwise(edges)]
    n = count_frames(iter(blocks))
    assert n == max(1, samples // 640)
    streamed = np.concatenate(list(speech_windows(iter(blocks), n)))
    kept = np.pad(signal, (0, max(0, 640 - samples)))[: n * 640]
    columns = np.clip(window_starts(n)[:, None] + np.arange(16), 0, len(kept) // 200)
    np.testing.assert_array_equal(streamed, sadtalker_mel(kept)[:, columns].transpose(1, 0, 2))
    np.testing.assert_array_equal(np.concatenate(list(sadtalker_mel_blocks(blocks)), axis=1), sadtalker_mel(signal))


def test_windows_hold_no_more_than_they_need():
    most = taken = 0

    def blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield np.zeros(1600, np.float32)

    for piece in speech_windows(blocks(), 1000 * 1600 // 640):
        assert taken < 60 or most, "the first windows came after the sound had ended"
        most = max(most, len(piece))
    assert most <= 100


def test_silence_is_not_idleness():
    assert set(windows(np.zeros(16_000, np.float32)).unique().tolist()) == {-4.0}
    idle = np.concatenate(list(unheard_windows(300)))
    assert idle.shape == (300, 80, 16)
    assert not idle.any()


# Chance.


@pytest.mark.parametrize("n", [1, 2, 20, 21])
def test_short_videos_have_no_blink(n):
    assert not blink_ratio(n, random.Random(0)).any()


@given(n=st.integers(22, 3000), seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_blinks_are_whole_and_apart(n, seed):
    ratio = blink_ratio(n, random.Random(seed))[:, 0]
    assert ratio.shape == (n,)
    assert set(ratio.tolist()) <= {0.0, 0.5, np.float32(0.9).item(), 1.0}
    begins = np.flatnonzero((ratio == 0.5) & (np.append(ratio[1:], 0) == np.float32(0.9)))
    assert (np.diff(begins) >= min(10, n // 2) + 5).all()
    assert ratio[-1] == 0
    assert len(begins) * 5 == np.count_nonzero(ratio)


def test_latents_are_drawn_one_segment_after_the_other():
    chance = torch.Generator().manual_seed(4)
    one_by_one = torch.cat([torch.randn(1, 64, generator=chance) for _ in range(3)])
    assert torch.equal(draw_latents(1 + 32 * 2 + 5, seed=4), one_by_one)
    assert [segment_count(n) for n in (1, 2, 33, 34, 65)] == [0, 1, 1, 2, 2]


# Poses.


@torch.inference_mode()
@pytest.mark.parametrize("n", [1, 2, 3, 32, 33, 34, 2500])
def test_every_length_has_its_motion(n):
    torch.manual_seed(0)
    network = PoseVae().eval()
    torch.nn.init.normal_(network.decoder.classbias)
    heard, reference = torch.randn(n, 6), torch.randn(1, 6)
    motion = network.motion(heard, reference, draw_latents(n, 0), 3)
    assert motion.shape == (n, 6)
    assert not motion[0].any()
    smooth = smooth_poses(motion.numpy())
    assert smooth.shape == (n, 6)
    assert np.isfinite(smooth).all()
    if n > 33:
        first = network.motion(heard[:33], reference, draw_latents(33, 0), 3)
        torch.testing.assert_close(motion[:33], first, atol=1e-5, rtol=1e-4)


def test_smoothing_leaves_what_is_smooth_and_what_is_too_short():
    time = np.arange(40, dtype=np.float32)[:, None] / 40
    parabola = np.repeat(time**2 - time, 6, axis=1)
    for n in (3, 4, 12, 13, 40):
        np.testing.assert_allclose(smooth_poses(parabola[:n]), parabola[:n], atol=1e-6)
    rough = uniform("rough", (2, 6), -1.0, 1.0)
    assert smooth_poses(rough) is rough


def test_given_angles_that_repeat_take_no_time():
    assert spread_degrees([10, 10, 20], 11).tolist() == spread_degrees([10, 20], 11).tolist()
    assert spread_degrees([10, 10], 3).tolist() == [10, 10, 10]
    assert spread_degrees([10, 50], 1).tolist() == [10]
    path = spread_degrees([0, -30, 0], 61)
    assert path.min() == pytest.approx(-30)
    assert path.diff().abs().max() == pytest.approx(1, abs=1e-4)


@torch.inference_mode()
def test_expression_of_a_frame_depends_on_that_frame_alone():
    torch.manual_seed(0)
    network = ExpressionNet().eval()
    heard, reference, eyes = torch.randn(5, 1, 80, 16), torch.randn(5, 64), torch.rand(5, 1)
    together = network(heard, reference, eyes)
    torch.testing.assert_close(network(heard[2:3], reference[2:3], eyes[2:3]), together[2:3], atol=1e-5, rtol=1e-4)
    closed = network(heard, reference, eyes + 1)
    expected = network.mapping1.weight[:, -1].expand(5, -1)
    torch.testing.assert_close(closed - together, expected, atol=1e-5, rtol=1e-3)
