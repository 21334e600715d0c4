"""LivePortrait's networks against a plain loop that does what the published program does, in one process, in turns.

    python benchmarks/liveportrait.py [--precision float32 bfloat16] [--frames 2] [--rounds 2] [--clock wall]

The plain loop renders frame by frame, with norms as they are stored, and computes for every frame what depends on the
source alone. It always runs in float32, as the published program does without a GPU. Both sides have the same seeded
weights. Networks alone are timed: no reading, cropping, pasting back or encoding.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from first_order_plain import as_published
from thg_zoo.adapters.liveportrait.networks import LivePortraitNetworks, build
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons
from thg_zoo.runtime import Runtime, resolve_runtime
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe

# Stages of a frame: the modules whose time each one has.
STAGES = {
    "W hourglass": ["W.dense_motion_network.hourglass"],
    "W mask": ["W.dense_motion_network.mask"],
    "W occlusion": ["W.dense_motion_network.occlusion"],
    "W third, fourth": ["W.third", "W.fourth"],
    "G fc": ["G.fc"],
    "G middle": [f"G.G_middle_{i}" for i in range(6)],
    "G up_0": ["G.up_0"],
    "G up_1": ["G.up_1"],
    "G conv_img": ["G.conv_img"],
}
REST = "stitching, sampling"


class Clock:
    """Seconds by name, as `read` tells the time; on a GPU, when it has finished."""

    def __init__(self, runtime: Runtime, read: Callable[[], float]) -> None:
        self.runtime = runtime
        self.read = read
        self.taken: dict[str, float] = defaultdict(float)
        self._begun: list[float] = []

    def now(self) -> float:
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)
        return self.read()

    def watch(self, parts: Mapping[str, nn.Module]) -> None:
        """Take the time of every stage."""
        for stage, paths in STAGES.items():
            for path in paths:
                part, _, name = path.partition(".")
                module = parts[part].get_submodule(name)
                module.register_forward_pre_hook(lambda *_: self._begun.append(self.now()))
                module.register_forward_hook(lambda *_, stage=stage: self._add(stage))

    def _add(self, stage: str) -> None:
        self.taken[stage] += self.now() - self._begun.pop()

    @contextmanager
    def whole(self, name: str) -> Iterator[None]:
        begin = self.now()
        yield
        self.taken[name] += self.now() - begin


def random_networks(device: torch.device) -> dict[str, nn.Module]:
    with empty_networks():
        networks = build()
    fill_networks(networks, describe("liveportrait").variant, "random", device=device)
    return networks


def plain(
    parts: Mapping[str, nn.Module], clock: Clock, pictures: Tensor, kp_source: Tensor, kp_driving: Tensor
) -> Callable[[], Tensor]:
    """F once, and M, stitching, W and G for every frame. Gives the last frame."""
    perceptrons = Perceptrons(parts)

    def run() -> Tensor:
        with as_published():
            with clock.whole("F, once"):
                volume = parts["F"].encode_volume(pictures[:1])
            for i in range(len(kp_driving)):
                with clock.whole("M"):
                    parts["M"](pictures[i : i + 1])
                with clock.whole("frame"):
                    moved = perceptrons.stitch(kp_source, kp_driving[i : i + 1])
                    features = parts["W"].warp(parts["W"].prepare(volume), kp_source, moved)
                    frame: Tensor = parts["G"](features, features)
        return frame

    return run


def ours(
    networks: LivePortraitNetworks, clock: Clock, pictures: Tensor, kp_source: Tensor, kp_driving: Tensor
) -> Callable[[], Tensor]:
    """The same in one batch. Gives the last frame."""

    def run() -> Tensor:
        with clock.whole("F, once"):
            source = networks.encode(pictures[:1])
        with clock.whole("M"):
            networks.motion(pictures)
        with clock.whole("frame"):
            frames = networks.render(source, kp_source, networks.stitch(kp_source, kp_driving))
        return frames[-1:]

    return run


def table(frames: int, base: Mapping[str, float], sides: Mapping[str, Mapping[str, float]]) -> None:
    """Milliseconds per frame by stage, and how many times faster each side is than the plain loop."""
    print(f"{'ms per frame':22}{'plain':>9}" + "".join(f"{name:>18}" for name in sides))
    for stage in ["F, once", "M", "frame", *STAGES, REST]:
        per = 1 if stage == "F, once" else frames
        columns = [f"{base[stage] / per * 1e3:9.1f}"]
        columns += [f"{side[stage] / per * 1e3:9.1f} {base[stage] / side[stage]:6.2f} x" for side in sides.values()]
        print(f"{'W + G' if stage == 'frame' else stage:22}" + "".join(columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=2, help="frames in a batch")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--clock",
        choices=["wall", "processor"],
        default="wall",
        help="processor: the time of all threads together, for machines that do other things as well",
    )
    arguments = parser.parse_args()
    read = time.perf_counter if arguments.clock == "wall" else time.process_time
    runtimes = {name: resolve_runtime(arguments.device, name) for name in arguments.precision}
    device = next(iter(runtimes.values())).device
    parts = random_networks(device)
    torch.manual_seed(0)
    pictures = torch.rand(arguments.frames, 3, 256, 256, device=device)
    kp_source = torch.rand(1, 21, 3, device=device) - 0.5
    inputs = pictures, kp_source, kp_source + 0.03 * torch.randn(arguments.frames, 21, 3, device=device)
    ways: dict[str, Callable[[], Tensor]] = {}
    clocks: dict[str, Clock] = {}
    for name, runtime in runtimes.items():
        clocks[name], copied = Clock(runtime, read), copy.deepcopy(parts)
        networks = LivePortraitNetworks(copied, runtime)
        clocks[name].watch(copied)
        ways[name] = ours(networks, clocks[name], *inputs)
    clocks["plain"] = Clock(next(iter(runtimes.values())), read)
    clocks["plain"].watch(parts)
    ways["plain"] = plain(parts, clocks["plain"], *inputs)
    compare(ways, clocks, arguments)


@torch.inference_mode()
def compare(
    ways: Mapping[str, Callable[[], Tensor]], clocks: Mapping[str, Clock], arguments: argparse.Namespace
) -> None:
    expected = ways["plain"]()
    for way, run in ways.items():
        error = (run() - expected).abs()
        if way != "plain":
            print(
                f"{way}: grey levels off the plain loop's: mean {error.mean() * 255:.4f}, most {error.max() * 255:.3f}"
            )
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            clocks[way].taken.clear()
            run()
            taken = dict(clocks[way].taken)
            rounds[way].append(taken | {REST: taken["frame"] - sum(taken[stage] for stage in STAGES)})
    medians = {way: {s: statistics.median(t[s] for t in all_) for s in all_[0]} for way, all_ in rounds.items()}
    base = medians.pop("plain")
    what = f"{arguments.frames} frames, {arguments.clock} clock, median of {arguments.rounds}"
    print(f"{clocks['plain'].runtime.description}, {what}")
    table(arguments.frames, base, medians)


if __name__ == "__main__":
    main()
