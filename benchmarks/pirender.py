"""PIRenderer against a plain loop that does what the published program does, in one process, one after the other.

    python benchmarks/pirender.py [--frames 4] [--batch-size 2] [--clock wall]

First the network alone: the plain side cuts a window of 27 frames for every frame, convolves the portrait and its
warped form together, enlarges before it convolves, and computes the branch of the residual blocks that the published
code drops; then once more without that branch. Then file to file from a table of coefficients, with paste-back on our
side only. Both sides have the same seeded weights. At the end what it costs to read a driver's coefficients, with the
bundled landmarks: seeded weights of the published ones find no face.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from first_order_plain import conv_of_nearest, narrow
from sadtalker import CLOCKS, report, timed
from thg_zoo.adapters.pirender import editing
from thg_zoo.adapters.pirender.adapter import PIRenderAdapter
from thg_zoo.adapters.pirender.networks import FaceGenerator
from thg_zoo.allocation import keep_freed_memory
from thg_zoo.demo import example_source
from thg_zoo.face3d.mapping import REACH
from thg_zoo.inputs import Clip
from thg_zoo.media.image import read_image
from thg_zoo.media.writer import VideoWriter
from thg_zoo.nn import convolution
from thg_zoo.runtime import resolve_runtime
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe

FPS = Fraction(25)


def first_block(self: Any, warped: Tensor, image: Tensor) -> Tensor:
    together = torch.cat([image, warped], dim=1)
    return F.leaky_relu(self.model(together), editing.SLOPE)


def residual_block(self: Any, x: Tensor, z: Tensor) -> Tensor:
    out: Tensor = self.norm2(self.conv2(x), z) + x
    return out


def whole_residual_block(self: Any, x: Tensor, z: Tensor) -> Tensor:
    F.leaky_relu(self.norm1(self.conv1(x), z), editing.SLOPE)
    return residual_block(self, x, z)


@contextlib.contextmanager
def as_published(*, dropped_branch: bool = True) -> Iterator[None]:
    """Inside, the network as it is stored computes every operation as the published code does."""
    written: list[tuple[Any, str, Any]] = [
        (editing, "conv_of_nearest", conv_of_nearest),
        (editing, "_channels_last", lambda x: x),
        (editing.FirstBlock, "of_image", lambda _, image: image),
        (editing.FirstBlock, "forward", first_block),
        (editing.ResidualBlock, "forward", whole_residual_block if dropped_branch else residual_block),
        (convolution.NarrowConv2d, "forward", narrow),
    ]
    with contextlib.ExitStack() as stack:
        for place, name, plain in written:
            stack.enter_context(mock.patch.object(place, name, plain))
        yield


def both_sides(batch_size: int) -> tuple[PIRenderAdapter, FaceGenerator]:
    """The model, and its generator as it is stored."""
    ours = PIRenderAdapter(describe("pirender"), resolve_runtime("cpu", "float32", batch_size))
    with empty_networks():
        networks = ours.build_networks()
    fill_networks(networks, describe("pirender").variant, "random")
    stored = copy.deepcopy(networks["net_G_ema"])
    assert isinstance(stored, FaceGenerator)
    ours.networks = networks
    ours.finish_loading()
    return ours, stored


def plain_frames(network: FaceGenerator, picture: Tensor, rows: Tensor) -> Iterator[Tensor]:
    """Frame by frame `[3, 256, 256]` in 0..1: its window, the portrait anew, the network."""
    for i in range(len(rows)):
        window = rows[torch.arange(i - REACH, i + REACH + 1).clamp(0, len(rows) - 1)].T[None]
        frames, _ = network(network.encode(picture), network.mapping_net(window).squeeze(2))
        yield (frames[0].clamp(-1, 1) + 1) / 2


def plain_run(network: FaceGenerator, picture: Tensor, rows: Tensor, out: Path) -> Path:
    """All frames, then the file."""
    frames = [(frame * 255).byte().permute(1, 2, 0).numpy() for frame in plain_frames(network, picture, rows)]
    with VideoWriter(out, FPS, frames[0].shape[:2]) as writer:
        writer.write(np.stack(frames))
        return writer.close()


def our_frames(ours: PIRenderAdapter, portrait: Any, driver: Path) -> Tensor:
    source = portrait.still_batch()
    batches = portrait.animate(driver, norm_crop_param=False)._motion.batches(ours.batch_size)
    return torch.cat([ours.render(portrait.identity, source, batch, portrait.options) for batch in batches])


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    arguments = parser.parse_args()
    clock, n = CLOCKS[arguments.clock], arguments.frames
    keep_freed_memory()
    ours, stored = both_sides(arguments.batch_size)
    portrait = ours.prepare(example_source())
    picture = portrait.identity.picture.contiguous()
    rows = portrait.identity.coefficients + 0.1 * torch.randn(n, 73, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.npz")
        np.savez(table, rows.numpy())
        print(f"{ours.runtime.description}; {n} frames, {torch.get_num_threads()} threads")
        print(f"{'':34} {'plain':>8} {'ours':>8}")
        our_frames(ours, portrait, table)
        fast, found = timed(clock, lambda: our_frames(ours, portrait, table))
        for what, dropped in (("network, a frame", True), ("without the dropped branch", False)):
            with as_published(dropped_branch=dropped):
                slow, expected = timed(clock, lambda: torch.stack(list(plain_frames(stored, picture, rows))))
            report(what, slow / n, fast / n, "s")
        print(f"{'':34} largest difference {(found - expected).abs().max() * 255:.3f} grey levels")
        with as_published():
            slow, _ = timed(clock, lambda: plain_run(stored, picture, rows, Path(folder, "plain.mp4")))
        fast, _ = timed(clock, lambda: portrait.animate(table, paste_back=True).save(Path(folder, "ours.mp4")))
        report("coefficients to file", slow, fast, "s")
        clip = Clip(np.repeat(read_image(example_source())[None], 16, axis=0), FPS)
        reading, _ = timed(clock, lambda: ours.save_motion(clip, Path(folder, "read.npz"), landmarks="mtcnn"))
        print(f"{'reading a driver, a frame':34} {'':8} {reading / 16:8.3f} s")


if __name__ == "__main__":
    main()
