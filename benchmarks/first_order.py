"""The first-order-motion family, its descendants and LIA against plain faithful loops, in one process, in turns.

    python benchmarks/first_order.py [MODEL ...] [--rounds 3] [--precisions float32 bfloat16] [--files] [--memory 10 60]

A plain loop does what the published program does: batch 1, norms as they are stored, the source encoded again for every
frame, every operation as it is written (`first_order_plain.py`, `lia_plain.py`). Both sides have the same seeded
weights and look at the same pictures. A frame is: key points, pose or motion of the driving picture, and the generator;
of `sadtalker` and `liveportrait` the renderer alone, between random key points (the rest of those models is small
beside it). `lia` is also compared with a loop that encodes the source once.

--files: from a driving video to a video file, decoding and encoding included. --memory: peak of processes of their own,
with drivers of so many seconds, at 128 x 128 pixels where the networks take that. --trim: leave the C library's
allocation as it is, for both sides (by default freed memory is kept, as the command line does). --clock processor
counts the time of the processor instead of the clock's: for machines that do other things meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lia_plain
import thg_zoo
from first_order_plain import as_published
from memory import measure
from thg_zoo.adapters.liveportrait.networks import build as build_liveportrait
from thg_zoo.allocation import keep_freed_memory
from thg_zoo.demo import example_source
from thg_zoo.keypoints.headpose import HeadPose
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.media.image import read_image
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.nn.fast_forms import use_fast_forms
from thg_zoo.nn.fold import fold_batch_norm
from thg_zoo.nn.spectral import fold_spectral_norm
from thg_zoo.nn.volume_generator import SpadeVolumeGenerator
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.weights.seeded import fill_state_dict

MODELS = ("fomm", "dagan", "mcnet", "facevid2vid", "facevid2vid-beta", "lia", "sadtalker", "liveportrait")
WHOLE = {"crop": "none", "driver_crop": "none"}
FPS = Fraction(25)

# A side renders frames from driving pictures `[B, 3, 256, 256]`, in turn.
Side = Callable[[Tensor], Tensor]


def driving_frames(n: int) -> np.ndarray:
    """The example picture at 256 x 256, going to and fro: `[n, 256, 256, 3]`."""
    face = np.ascontiguousarray(read_image(example_source())[::2, ::2])
    return np.stack([np.roll(face, round(12 * np.sin(i / 3)), axis=1) for i in range(n)])


def planes(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def plain_networks(model: Any) -> dict[str, Any]:
    with empty_networks():
        networks: dict[str, Any] = model.build_networks()
    fill_networks(networks, model.model.variant, "random")
    return networks


def plain_side(model: Any, source: Tensor) -> Side:
    """One frame of the published loop. Movement is absolute on both sides."""
    networks, name = plain_networks(model), model.spec.name
    if name == "lia":
        return lambda picture: lia_plain.frame(networks["gen"], source, picture, None)
    generator = networks["generator"]

    def depth(picture: Tensor) -> Tensor:
        return networks["depth_decoder"](networks["depth_encoder"](picture))

    def observe(picture: Tensor) -> KeyPoints:
        if name == "dagan":
            picture = torch.cat([picture, depth(picture)], dim=1)
        return networks["kp_detector"](picture)

    def posed(canonical: Tensor, picture: Tensor) -> Tensor:
        pose: HeadPose = networks["he_estimator"](picture)
        return pose.pose(canonical, "roll-pitch-yaw" if model.model.name.endswith("beta") else "pitch-yaw-roll")

    with as_published():
        if name == "facevid2vid":
            canonical = networks["kp_detector"](source)
            of_source = posed(canonical, source)
        else:
            kp_source = observe(source)
            depth_of_source = [depth(source)] if name == "dagan" else []

    def frame(picture: Tensor) -> Tensor:
        with as_published():
            if name == "facevid2vid":
                return generator.render(generator.encode(source), of_source, posed(canonical, picture))
            return generator.render(generator.encode(source, *depth_of_source), kp_source, observe(picture))

    return frame


def our_side(model: Any, portrait: Any) -> Side:
    batch = portrait.still_batch()
    move = model.transfer(portrait.identity, None, portrait.options)

    def frames(pictures: Tensor) -> Tensor:
        moved = move(model.observe(pictures))
        with model.runtime.autocast():
            return model.render(portrait.identity, batch, moved, portrait.options)

    return frames


def renderer_sides(name: str, source: Tensor) -> tuple[Side, Side]:
    """Plain and fast renderer of a model that is built on the volume generator."""

    def networks() -> tuple[Any, Any]:
        if name == "sadtalker":
            whole = SpadeVolumeGenerator(15, mask_floor=1e-3)
            return seeded(whole), whole.decoder
        parts = build_liveportrait()
        appearance, warping, decoder = (seeded(parts[part]) for part in "FWG")
        warping.encode = lambda picture: warping.prepare(appearance.encode_volume(picture))
        return warping, decoder

    points = 15 if name == "sadtalker" else 21
    draw = torch.Generator().manual_seed(0)
    kp_source = torch.rand(1, points, 3, generator=draw) - 0.5

    def side(warping: Any, decoder: Any, encoded: Any) -> Side:
        def frames(pictures: Tensor) -> Tensor:
            moved = kp_source + 0.1 * pictures.mean((1, 2, 3))[:, None, None]
            features = warping.warp(encoded() if callable(encoded) else encoded, kp_source, moved)
            return decoder(features, features)

        return frames

    (plain, plain_decoder), (fast, fast_decoder) = networks(), networks()
    for network in (fast, fast_decoder):
        fold_spectral_norm(network)
        fold_batch_norm(network)
    for network in {id(n): n for n in (fast, *(() if name == "sadtalker" else (fast_decoder,)))}.values():
        use_fast_forms(network)
    written = side(plain, plain_decoder, lambda: plain.encode(source))

    def published(pictures: Tensor) -> Tensor:
        with as_published():
            return written(pictures)

    return published, side(fast, fast_decoder, fast.encode(source))


def seeded(network: Any) -> Any:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state = fill_state_dict(shapes)
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in state.items()})
    return network.eval()


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def timed(run: Callable[[], Any], clock: str) -> float:
    begin = CLOCKS[clock]()
    run()
    return CLOCKS[clock]() - begin


def compare(what: str, plain: Side, ours: Side, size: int, rounds: int, clock: str) -> None:
    """Median of the ratios of neighbouring measurements: what disturbs one disturbs the other too."""
    pictures = planes(driving_frames(size))
    expected, found = plain(pictures[:1]), ours(pictures)[:1]
    error = (expected - found).abs()
    ratios, fast, slow = [], [], []
    for _ in range(rounds):
        slow.append(timed(lambda: plain(pictures[:1]), clock))
        fast.append(timed(lambda: ours(pictures), clock) / size)
        ratios.append(slow[-1] / fast[-1])
    middle = float(np.median(ratios))
    print(
        f"{what:34} {middle:6.2f} x  ({min(ratios):.2f} .. {max(ratios):.2f})  "
        f"plain {min(slow):6.3f} s  ours {min(fast):6.3f} s per frame, batch {size}; "
        f"error max {255 * float(error.max()):.2f} mean {255 * float(error.mean()):.3f} of 255",
        flush=True,
    )


def options_of(name: str) -> dict[str, Any]:
    return WHOLE | {"relative": False} | ({"noise": "none"} if name == "mcnet" else {})


def per_frame(name: str, precision: str, rounds: int, clock: str) -> None:
    source = resize_antialiased(planes(read_image(example_source())[None]), (256, 256))
    if name in ("sadtalker", "liveportrait"):
        if precision == "float32":
            compare(f"{name} (renderer) {precision}", *renderer_sides(name, source), 2, rounds, clock)
        return
    model = thg_zoo.load(name, weights="random", device="cpu", precision=precision)
    portrait = model.prepare(read_image(example_source()), **options_of(name))
    ours = our_side(model, portrait)
    if name == "lia":
        source, generator = portrait.identity.picture, plain_networks(model)["gen"]
        encoded = lia_plain.encode(generator.enc, source * 2 - 1)
        once = partial(lia_plain.frame_of_encoded, generator, encoded)
        compare(f"{name} {precision}, source once", once, ours, model.batch_size, rounds, clock)
    compare(f"{name} {precision}", plain_side(model, source), ours, model.batch_size, rounds, clock)


def files(name: str, n: int, folder: Path, clock: str) -> None:
    """From file to file, n frames of 256 x 256."""
    video = write_driver(folder / "driver.mp4", n)
    model: Any = thg_zoo.load(name, weights="random", device="cpu")
    source = resize_antialiased(planes(read_image(example_source())[None]), (256, 256))
    plain = plain_side(model, source)

    def published() -> None:
        with VideoReader(video) as reader:
            driving = list(reader)
        made = [plain(planes(frame[None]))[0].permute(1, 2, 0).numpy() for frame in driving]
        with VideoWriter(folder / "plain.mp4", FPS, (256, 256), overwrite=True) as writer:
            for frame in made:
                writer.write((frame * 255).round().astype(np.uint8))

    def ours() -> None:
        model.animate(example_source(), video, **options_of(name)).save(folder / "ours.mp4", overwrite=True)

    slow, fast = timed(published, clock), timed(ours, clock)
    print(f"{name + ' file to file':34} {slow / fast:6.2f} x  of {n} frames", flush=True)


def write_driver(path: Path, n: int) -> Path:
    with VideoWriter(path, FPS, (256, 256), overwrite=True) as writer:
        for chunk in chunks(n):
            writer.write(driving_frames(chunk))
        return writer.close()


def chunks(n: int) -> Iterator[int]:
    for start in range(0, n, 100):
        yield min(100, n - start)


def peaks(name: str, seconds: list[float], folder: Path) -> None:
    fixed = name in ("mcnet", "lia")
    options = [f"{key}={value}" for key, value in (WHOLE if fixed else WHOLE | {"size": "128"}).items()]
    for length in seconds:
        video = write_driver(folder / "long.mp4", round(length * FPS))
        run = [sys.executable, "-m", "thg_zoo", "run", name, str(example_source()), str(video), *options]
        took, peak = measure(
            [*run, "-o", str(folder / "out.mp4"), "--overwrite", "--weights", "random", "--device", "cpu", "--quiet"]
        )
        print(f"{name + ' peak memory':34} {peak:6.0f} MB  {length:g} s of driver, {took:.0f} s of work", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=3, help="0 for files and memory alone")
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--files", type=int, default=0, metavar="FRAMES")
    parser.add_argument("--memory", type=float, nargs="+", default=[], metavar="SECONDS")
    parser.add_argument("--trim", action="store_true")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    kept = not arguments.trim and keep_freed_memory()
    print(
        f"{torch.get_num_threads()} threads, {arguments.clock} time; freed memory {'kept' if kept else 'returned'}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for name in arguments.models:
            for precision in arguments.precisions if arguments.rounds else ():
                per_frame(name, precision, arguments.rounds, arguments.clock)
            adapter = name not in ("sadtalker", "liveportrait")
            if arguments.files and adapter:
                files(name, arguments.files, Path(folder), arguments.clock)
            if arguments.memory and adapter:
                peaks(name, arguments.memory, Path(folder))


if __name__ == "__main__":
    main()
