"""Wav2Lip file to file against a plain loop that does what the published program does, in one process, in turns.

    python benchmarks/wav2lip.py [--size 1280 720] [--seconds 2] [--rounds 2] [--memory-seconds 10]

The plain loop reads all frames into memory, looks for the face in each at full size with one forward at a time, decodes
the candidates and suppresses overlapping ones in Python, and generates and pastes frame after frame. Both sides have
the same seeded weights; the detector's are tuned so that some thirty positions of a frame are candidates, as with
trained ones. Memory is measured in processes of their own, with the face box given, so that it does not take hours.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import thg_zoo
from memory import measure, repeated_speech
from thg_zoo.adapters.wav2lip.networks import Generator
from thg_zoo.adapters.wav2lip.processing import (
    cut_face,
    network_input,
    network_output,
    padded_box,
    paste_face,
    smooth_boxes,
)
from thg_zoo.audio.mel import wav2lip_mel
from thg_zoo.audio.windows import mel_windows
from thg_zoo.demo import example_source
from thg_zoo.faces.s3fd import S3fdNetwork, decode
from thg_zoo.faces.s3fd import network_input as detector_input
from thg_zoo.media.audio import read_audio
from thg_zoo.media.image import read_image
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe

FPS = 25
CANDIDATES = 30
FAST = {"detector": "mtcnn", "detect_size": 640, "detect_every": 5}


def write_video(path: Path, size: tuple[int, int], seconds: float) -> Path:
    """The example picture in the middle of a frame of (width, height), under noise that changes."""
    width, height = size
    picture = read_image(example_source())
    side = min(size)
    frame = np.full((height, width, 3), 96, np.uint8)
    x, y = (width - side) // 2, (height - side) // 2
    frame[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0)
    with VideoWriter(path, Fraction(FPS), (height, width)) as writer:
        for _ in range(round(seconds * FPS)):
            shift = noise.integers(-3, 4, (height // 8 + 1, width // 8 + 1, 1)).repeat(8, 0).repeat(8, 1)
            writer.write(np.clip(frame + shift[:height, :width], 0, 255).astype(np.uint8))
        return writer.close()


def plain_networks() -> dict[str, torch.nn.Module]:
    with empty_networks():
        networks = {"generator": Generator(), "detector": S3fdNetwork()}
    fill_networks(networks, describe("wav2lip").variant, "random")
    return networks


def tune(detector: S3fdNetwork, frame: np.ndarray) -> None:
    """Of this frame's positions let the best score nearly 1 and the thirtieth 0.05, below which none is a candidate."""
    with torch.inference_mode():
        margins = decode(detector(detector_input(torch.from_numpy(frame[None])))).margins[0]
    best, last = margins.topk(CANDIDATES).values[[0, -1]].tolist()
    scale = 9 / (best - last)
    for level in S3fdNetwork.levels:
        head = detector.get_submodule(f"{level}_mbox_conf")
        head.weight.data *= scale
        head.bias.data *= scale
        head.bias.data[-1] += 6 - scale * best


def suppressed(rows: list[list[float]]) -> list[list[float]]:
    """Greedy suppression of boxes x1, y1, x2, y2, score."""
    waiting, kept = sorted(rows, key=lambda r: -r[4]), []
    while waiting:
        a = waiting.pop(0)
        kept.append(a)
        rest = []
        for b in waiting:
            w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
            h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
            areas = [(r[2] - r[0] + 1) * (r[3] - r[1] + 1) for r in (a, b)]
            if w * h / (sum(areas) - w * h) <= 0.3:
                rest.append(b)
        waiting = rest
    return kept


def plain_maps(network: S3fdNetwork, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The network layer after layer over whole maps, as published."""
    kept = {}
    for group in ("12", "12", "123", "123", "123"):
        stage = len(kept) + 1
        for i in group:
            x = F.relu(network.get_submodule(f"conv{stage}_{i}")(x))
        kept[stage] = x
        x = F.max_pool2d(x, 2)
    fc7 = F.relu(network.fc7(F.relu(network.fc6(x))))
    c6 = F.relu(network.conv6_2(F.relu(network.conv6_1(fc7))))
    c7 = F.relu(network.conv7_2(F.relu(network.conv7_1(c6))))
    normed = [network.get_submodule(f"conv{i}_3_norm")(kept[i]) for i in (3, 4, 5)]
    maps = []
    for level, feature in zip(S3fdNetwork.levels, [*normed, fc7, c6, c7], strict=True):
        confidence = network.get_submodule(f"{level}_mbox_conf")(feature)
        if confidence.shape[1] == 4:
            confidence = torch.cat((confidence[:, :3].amax(dim=1, keepdim=True), confidence[:, 3:]), dim=1)
        maps.append((confidence, network.get_submodule(f"{level}_mbox_loc")(feature)))
    return maps


def plain_corners(detector: S3fdNetwork, frame: np.ndarray) -> np.ndarray:
    """The published way: candidates level by level and one by one, suppression, the first above one half."""
    rows = []
    maps = plain_maps(detector, detector_input(torch.from_numpy(frame[None])).contiguous())
    for level, (confidence, location) in enumerate(maps):
        stride = 4 << level
        scores = confidence.softmax(dim=1)[0, 1]
        for y, x in zip(*np.where(scores.numpy() > 0.05), strict=True):
            offset = location[:, :, y, x][0]
            centre = torch.tensor([stride / 2 + x * stride, stride / 2 + y * stride]) + offset[:2] * 0.1 * 4 * stride
            size = 4 * stride * torch.exp(offset[2:] * 0.2)
            corner = centre - size / 2
            rows.append([*corner.tolist(), *(corner + size).tolist(), float(scores[y, x])])
    faces = [row for row in suppressed(rows) if row[4] > 0.5]
    if not faces:
        raise SystemExit("the tuned detector lost the face: change the picture")
    return np.array(faces[0][:4], np.float32)


@torch.inference_mode()
def plain(
    networks: dict[str, torch.nn.Module], video: Path, speech: Path, out: Path, box: tuple[int, ...] | None = None
) -> np.ndarray:
    """The boxes, after writing the file."""
    with VideoReader(video) as reader:
        frames, fps = list(reader), reader.fps
    mel = np.concatenate(list(mel_windows([wav2lip_mel(read_audio(speech, 16000).samples)], fps)))
    frames = frames[: len(mel)]
    if box is None:
        corners = [plain_corners(networks["detector"], frame) for frame in frames]
        boxes = list(smooth_boxes(padded_box(c, (0, 10, 0, 0), frames[0].shape[:2]) for c in corners))
    else:
        boxes = [np.array(box)] * len(frames)
    made = []
    for i, window in enumerate(mel):
        frame, place = frames[i % len(frames)].copy(), boxes[i % len(frames)]
        face = network_input(torch.from_numpy(cut_face(frame, place)[None]))
        moved = networks["generator"](torch.from_numpy(window)[None, None], face)
        paste_face(frame, network_output(moved)[0].numpy(), place)
        made.append(frame)
    with VideoWriter(out, fps, made[0].shape[:2], audio=speech, overwrite=True) as writer:
        for frame in made:
            writer.write(frame)
    return np.stack(boxes)


def timings(arguments: argparse.Namespace, folder: Path) -> None:
    video = write_video(folder / "video.mp4", arguments.size, arguments.seconds)
    speech = repeated_speech(arguments.seconds + 0.2, folder / "speech.wav")
    networks = plain_networks()
    tune(networks["detector"], next(iter(VideoReader(video))))
    model = thg_zoo.load("wav2lip", weights="random", device="cpu")
    detector = copy.deepcopy(networks["detector"]).to(memory_format=torch.channels_last)
    model.networks["detector"].load_state_dict(detector.state_dict())
    prepared = model.prepare(video)
    prepared.animate(speech).to_array()

    def ours(**options: object) -> Callable[[], object]:
        return lambda: model.animate(video, speech, **options).save(folder / "ours.mp4", overwrite=True)

    ways: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain(networks, video, speech, folder / "plain.mp4"),
        "default options": ours(cache_boxes=False),
        "default, boxes remembered": lambda: prepared.animate(speech).save(folder / "ours.mp4", overwrite=True),
        "fast options": ours(**FAST),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            begin = time.perf_counter()
            run()
            taken[way].append(time.perf_counter() - begin)
            print(f"  {way}: {taken[way][-1]:.1f} s", flush=True)
    width, height = arguments.size
    print(f"{arguments.seconds:g} s of {width} x {height} at {FPS} fps, {model.runtime.description}")
    base = statistics.median(taken["plain loop"])
    for way, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"{way:28} {middle:8.1f} s {base / middle:6.1f} x  ({min(seconds):.1f} .. {max(seconds):.1f})")
    print("fast options:", " ".join(f"{name}={value}" for name, value in FAST.items()))


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    width, height = arguments.size
    box = (height // 8, height // 3, width * 2 // 5, width // 2)
    video = write_video(folder / "long.mp4", arguments.size, arguments.memory_seconds)
    speech = repeated_speech(arguments.memory_seconds, folder / "long.wav")
    command = [sys.executable, __file__, "--run", str(video), str(speech), str(folder / "out.mp4"), *map(str, box)]
    print(f"peak memory, {arguments.memory_seconds:g} s of {width} x {height}, box given:")
    for way in ("plain", "ours"):
        took, peak = measure([*command, way])
        print(f"{way:28} {peak:8.0f} MB {took:8.1f} s", flush=True)


def run_once(video: str, speech: str, out: str, *rest: str) -> None:
    """One side alone, for its memory."""
    box, way = tuple(int(edge) for edge in rest[:4]), rest[4]
    if way == "plain":
        plain(plain_networks(), Path(video), Path(speech), Path(out), box)
        return
    model = thg_zoo.load("wav2lip", weights="random", device="cpu")
    model.animate(video, speech, box=box).save(out, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=[1280, 720], help="width and height")
    parser.add_argument("--seconds", type=float, default=2, help="length of the clip that is timed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory-seconds", type=float, default=10, help="length of the clip for memory; 0 for none")
    parser.add_argument("--run", nargs=8, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_once(*arguments.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.seconds:
            timings(arguments, Path(folder))
        if arguments.memory_seconds:
            memory(arguments, Path(folder))


if __name__ == "__main__":
    main()
