"""Audio2Head against a plain loop that does what the published program does, in one process, one after the other.

    python benchmarks/audio2head.py [--frames 33] [--parts] [--bfloat16] [--clock wall]

First the parts: the generator, for which the plain side encodes the source anew for every frame, and the key points of
a window, for which it finds those of the picture again and computes all 64 frames. Then file to file: the plain side
renders frame by frame, keeps all frames, and writes them to a video with the sound. Both sides have the same seeded
weights, with norms as they are stored on the plain side, and take the whole picture. 32 frames are heard in a sound of
33, and a window is computed for every 32 frames, so that they stand for any length.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from first_order_plain import as_published
from sadtalker import CLOCKS, report, timed, write_speech
from thg_zoo.adapters.audio2head.adapter import Audio2HeadAdapter, Identity
from thg_zoo.adapters.audio2head.prediction import Cues, predict_poses
from thg_zoo.adapters.audio2head.speech import RATE, frame_features
from thg_zoo.demo import example_source
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.media.audio import read_audio
from thg_zoo.media.writer import VideoWriter
from thg_zoo.run import Run
from thg_zoo.runtime import resolve_runtime
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe

MODEL = "audio2head"
# Gains with which random features neither vanish nor blow up.
GAINS = {"kp_detector": 1.2, "generator": 1.0, "audio2kp": 0.4, "audio2pose": 0.85}


def both_sides(precision: str) -> tuple[Audio2HeadAdapter, dict[str, nn.Module]]:
    """The model, and its networks as they are stored: nothing folded."""
    ours = Audio2HeadAdapter(describe(MODEL), resolve_runtime("cpu", precision))
    with empty_networks():
        networks = ours.build_networks()
    fill_networks(networks, describe(MODEL).variant, "random", gain=GAINS)
    for name in ("kp_detector", "audio2kp"):
        # Jacobians near the identity, as those of trained networks.
        networks[name].get_parameter("jacobian.weight").data.mul_(0.05)
        networks[name].get_parameter("jacobian.bias").data.view(-1, 4)[:, [0, 3]] += 1
    ours.networks = copy.deepcopy(networks)
    ours.finish_loading()
    return ours, networks


def plain_frames(networks: dict[str, Any], identity: Identity, points: KeyPoints) -> Iterator[Tensor]:
    """Frame by frame, the source encoded for each."""
    assert points.jacobian is not None
    for value, jacobian in zip(points.value, points.jacobian, strict=True):
        source = networks["generator"].encode(identity.picture)
        moved = KeyPoints(value[None], jacobian[None])
        yield networks["generator"].render(source, identity.points, moved)[0]


def plain_window(networks: dict[str, Any], picture: Tensor, cues: Cues, start: int) -> KeyPoints:
    """All 64 frames of a window, and the picture's own key points again."""
    networks["kp_detector"](picture)
    points: KeyPoints = networks["audio2kp"](picture, *(torch.from_numpy(array) for array in cues.window(start)))
    return points


def plain_run(networks: dict[str, Any], identity: Identity, speech: Path, out: Path) -> Path:
    """File to file; the picture itself is read and found once, as here."""
    heard = frame_features([read_audio(speech, RATE).samples])
    cues = Cues(heard, predict_poses(networks["audio2pose"], identity.picture, heard, Run()))
    made: list[np.ndarray] = []
    for start in range(0, len(heard), 32):
        window = plain_window(networks, identity.picture, cues, start)
        used = slice(0 if start == 0 else 16, min(48, len(heard) - start))
        assert window.jacobian is not None
        points = KeyPoints(window.value[used], window.jacobian[used])
        for frame in plain_frames(networks, identity, points):
            made.append((frame * 255).byte().permute(1, 2, 0).numpy())
    with VideoWriter(out, Fraction(25), made[0].shape[:2], audio=speech) as writer:
        writer.write(np.stack(made))
        return writer.close()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--bfloat16", action="store_true", help="of ours; the plain side stays in float32")
    parser.add_argument("--parts", action="store_true", help="leave out the run from file to file")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    ours, networks = both_sides("bfloat16" if arguments.bfloat16 else "float32")
    portrait = ours.prepare(example_source(), crop="none")
    identity, source = portrait.identity, portrait.still_batch()
    network: Any = ours.networks["audio2kp"]
    with tempfile.TemporaryDirectory() as folder:
        speech = write_speech(arguments.frames, Path(folder, "speech.wav"))
        heard = frame_features([read_audio(speech, RATE).samples])
        cues = Cues(heard, predict_poses(networks["audio2pose"], identity.picture, heard, Run()))
        print(f"{ours.runtime.description}; {len(heard)} frames")
        print(f"{'':34} {'plain':>8} {'ours':>8}")
        window = [torch.from_numpy(array) for array in cues.window(0)]
        network(identity.picture, *window, range(16, 48))  # not counted: libraries choose their ways
        with as_published():
            slow, whole = timed(clock, lambda: plain_window(networks, identity.picture, cues, 0))
        fast, used = timed(clock, lambda: network(identity.picture, *window, range(16, 48)))
        report("key points, a window", slow, fast, "s")
        print(f"{'':34} largest difference {(whole.value[16:48] - used.value).abs().max():.1e}")
        points = KeyPoints(used.value[:4], used.jacobian[:4])

        def rendered() -> Tensor:
            motion = {"value": points.value, "jacobian": points.jacobian}
            with ours.runtime.autocast():
                return ours.render(identity, source, motion, portrait.options)

        rendered()
        with as_published():
            slow, expected = timed(clock, lambda: torch.stack(list(plain_frames(networks, identity, points))))
        fast, found = timed(clock, rendered)
        report("generator, a frame", slow / 4, fast / 4, "s")
        print(f"{'':34} largest difference {(found.float() - expected).abs().max() * 255:.3f} grey levels")
        if arguments.parts:
            return
        with as_published():
            slow, _ = timed(clock, lambda: plain_run(networks, identity, speech, Path(folder, "plain.mp4")))
        fast, _ = timed(
            clock, lambda: ours.animate(example_source(), speech, crop="none").save(Path(folder, "ours.mp4"))
        )
        report("file to file", slow, fast, "s")


if __name__ == "__main__":
    main()
