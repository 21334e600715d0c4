"""SadTalker against a plain loop that does what the published program does, in one process, one after the other.

    python benchmarks/sadtalker.py [--frames 2] [--size 256] [--bfloat16] [--clock wall]

First the renderer alone: the plain side encodes the source anew for every frame and divides the weights by their
spectral norms at every call. Then file to file with `preprocess=full`: the plain side cuts windows, maps and renders
frame by frame, keeps all frames, writes them to a video, reads it again and clones each frame by OpenCV. Both sides
have the same seeded weights and find the face by the bundled detector, because random weights would find none.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from first_order_plain import as_published
from thg_zoo.adapters.sadtalker.adapter import Identity, SadTalkerAdapter
from thg_zoo.adapters.sadtalker.blink import blink_ratio
from thg_zoo.adapters.sadtalker.mapping import head_pose
from thg_zoo.adapters.sadtalker.pose import draw_latents, smooth_poses
from thg_zoo.adapters.sadtalker.speech import RATE, count_frames, window_starts
from thg_zoo.audio.mel import sadtalker_mel
from thg_zoo.demo import example_driver, example_source
from thg_zoo.face3d.mapping import REACH
from thg_zoo.media.audio import read_audio
from thg_zoo.media.image import read_image
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.runtime import resolve_runtime
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe

MODEL = "sadtalker-light"
FPS = Fraction(25)


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> tuple[float, Any]:
    begin = clock()
    result = work()
    return clock() - begin, result


def both_sides(precision: str) -> tuple[SadTalkerAdapter, dict[str, nn.Module]]:
    """The model, and its networks as they are stored: nothing folded."""
    ours = SadTalkerAdapter(describe(MODEL), resolve_runtime("cpu", precision))
    with empty_networks():
        networks = ours.build_networks()
    fill_networks(networks, describe(MODEL).variant, "random")
    ours.networks = copy.deepcopy(networks)
    ours.finish_loading()
    return ours, networks


def plain_frames(network: Any, identity: Identity, points: Tensor) -> Iterator[Tensor]:
    """Frame by frame, the source encoded for each."""
    for frame in points:
        source = network.encode(identity.picture)
        yield network.render(source, identity.points, frame[None])[0]


def plain_coefficients(networks: dict[str, Any], own: Tensor, speech: Path) -> Tensor:
    """Expression, ten frames at a time, and pose of the whole sound, with the place in the picture: `[T, 73]`."""
    samples = read_audio(speech, RATE).samples
    n = count_frames([samples])
    mel = sadtalker_mel(samples[: n * RATE // 25])
    windows = [mel[:, np.clip(np.arange(s, s + 16), 0, mel.shape[1] - 1)] for s in window_starts(n)]
    heard = torch.from_numpy(np.stack(windows)).unsqueeze(1)
    ratio, pose = torch.from_numpy(blink_ratio(n, random.Random(0))), own[:, 64:70]
    parts = [slice(start, start + 10) for start in range(0, n, 10)]
    reference = own[:, :64].expand(n, -1)
    expression = torch.cat([networks["audio2exp"](heard[p], reference[p], ratio[p]) for p in parts])
    moved = networks["audio2pose"].motion(networks["audio2pose"].listen(heard), pose, draw_latents(n, 0), 0)
    smooth = torch.from_numpy(smooth_poses((pose + moved).numpy()))
    return torch.cat((expression, smooth, own[:, 70:].expand(n, -1)), dim=1)


def plain_points(mapping: Any, identity: Identity, coefficients: Tensor) -> Tensor:
    """A window of 27 frames through the mapping network for each frame."""
    points = []
    for i in range(len(coefficients)):
        window = coefficients[torch.arange(i - REACH, i + REACH + 1).clamp(0, len(coefficients) - 1)]
        heads = {name: head[0] for name, head in mapping.heads(window.T[None]).items()}
        points.append(head_pose(heads).pose(identity.canonical))
    return torch.cat(points)


def plain_run(
    ours: SadTalkerAdapter, networks: dict[str, Any], speech: Path, out: Path, options: dict[str, str]
) -> Path:
    """File to file, `preprocess=full`. What is done once per picture is ours: it costs next to nothing."""
    portrait = ours.prepare(example_source(), **options)
    identity = portrait.identity
    coefficients = plain_coefficients(networks, identity.coefficients, speech)
    points = plain_points(networks["mapping_00109"], identity, coefficients)
    made = [
        (frame * 255).round().byte().permute(1, 2, 0).numpy()
        for frame in plain_frames(networks["generator"], identity, points)
    ]
    lossy = out.with_name("lossy.mp4")
    with VideoWriter(lossy, FPS, made[0].shape[:2]) as writer:
        writer.write(np.stack(made))
        writer.close()
    photo, (x1, y1, x2, y2) = read_image(example_source()), identity.cut.place
    centre, size = ((x1 + x2) // 2, (y1 + y2) // 2), (x2 - x1, y2 - y1)
    mask = np.full((size[1], size[0], 3), 255, np.uint8)
    with VideoWriter(out, FPS, photo.shape[:2], audio=speech) as writer:
        for frame in VideoReader(lossy).frames():
            patch = cv2.resize(frame, size)
            writer.write(cv2.seamlessClone(patch, photo, mask, centre, cv2.NORMAL_CLONE)[None])
        return writer.close()


def write_speech(frames: int, path: Path) -> Path:
    samples, rate = soundfile.read(example_driver(), dtype="float32")
    soundfile.write(path, samples[rate // 2 :][: frames * rate // 25 + 1], rate)
    return path


def report(what: str, plain: float, ours: float, unit: str) -> None:
    print(f"{what:34} {plain:8.2f} {ours:8.2f} {unit:8} {plain / ours:5.2f} x", flush=True)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--size", default="256", choices=["128", "256", "384", "512"])
    parser.add_argument("--bfloat16", action="store_true", help="of ours; the plain side stays in float32")
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="processor: fair on a busy machine, without ffmpeg's part"
    )
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    precision = "bfloat16" if arguments.bfloat16 else "float32"
    options = {"preprocess": "full", "size": arguments.size}
    ours, networks = both_sides(precision)
    portrait = ours.prepare(example_source(), **options)
    identity, source = portrait.identity, portrait.still_batch()
    with tempfile.TemporaryDirectory() as folder:
        speech = write_speech(arguments.frames, Path(folder, "speech.wav"))
        points = next(iter(portrait.animate(speech)._motion.batches(arguments.frames)))["points"]
        print(f"{ours.runtime.description}; {arguments.frames} frames of {arguments.size} pixels")
        print(f"{'':34} {'plain':>8} {'ours':>8}")

        def rendered() -> Tensor:
            batches = points.split(ours.batch_size)
            with ours.runtime.autocast():
                return torch.cat([ours.render(identity, source, {"points": b}, portrait.options) for b in batches])

        with as_published():
            slow, expected = timed(
                clock, lambda: torch.stack(list(plain_frames(networks["generator"], identity, points)))
            )
        fast, found = timed(clock, rendered)
        report("renderer, a frame", slow / len(points), fast / len(points), "s")
        print(f"{'':34} largest difference {(found.float() - expected).abs().max() * 255:.3f} grey levels")
        with as_published():
            slow, _ = timed(clock, lambda: plain_run(ours, networks, speech, Path(folder, "plain.mp4"), options))
        fast, _ = timed(clock, lambda: ours.animate(example_source(), speech, **options).save(Path(folder, "ours.mp4")))
        report("file to file, preprocess=full", slow, fast, "s")


if __name__ == "__main__":
    main()
