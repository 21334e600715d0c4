"""IP_LAP file to file against a plain loop that does what the published program does, in one process, in turns.

    python benchmarks/iplap.py [--references 25] [--frames 2] [--rounds 1] [--memory-seconds 10 60]

The plain loop keeps all frames in memory and runs the networks as they are published, frame after frame: the flow
module once for every reference, from its picture on; the encoders of the landmark generator on every window. Both sides
have the same seeded weights and find landmarks in the same way, once per frame; the published program finds them three
times, and computes its perceptual loss for every frame: that is left out here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import thg_zoo
from memory import measure, repeated_speech
from thg_zoo.adapters.iplap.flow import Warped
from thg_zoo.adapters.iplap.landmark_generator import LandmarkGenerator
from thg_zoo.adapters.iplap.landmarks import find_points
from thg_zoo.adapters.iplap.options import IpLapOptions
from thg_zoo.adapters.iplap.points import OUTLINE, POSE
from thg_zoo.adapters.iplap.processing import cut_face, from_crop, levels, network_faces, paste_face
from thg_zoo.adapters.iplap.renderer import Renderer
from thg_zoo.adapters.iplap.sketch import draw_sketch
from thg_zoo.adapters.iplap.source import FPS, Track, box_size, follow
from thg_zoo.adapters.iplap.speech import sounds
from thg_zoo.inputs import open_source
from thg_zoo.media.audio import read_audio
from thg_zoo.media.writer import VideoWriter
from thg_zoo.run import Run
from thg_zoo.runtime import Runtime
from thg_zoo.weights import empty_networks, fill_networks
from thg_zoo.zoo import describe
from wav2lip import write_video

CPU = torch.device("cpu")
SIZE = (640, 480)


def plain_networks() -> tuple[LandmarkGenerator, Renderer]:
    with empty_networks():
        generator, renderer = LandmarkGenerator(), Renderer()
    fill_networks({"landmark_generator": generator, "renderer": renderer}, describe("iplap").variant, "random")
    return generator, renderer


def sketches_of(track: Track, rows: list[int]) -> Tensor:
    drawn = [draw_sketch(track.landmarks[k], box_size(track.boxes[k])) / 255 for k in rows]
    return torch.from_numpy(np.stack(drawn))[:, None].expand(-1, 3, -1, -1)


def plain_frame(
    renderer: Renderer, faces: Tensor, drawn: Tensor, face: Tensor, sketches: Tensor, mel: Tensor
) -> Tensor:
    """One face: every reference from its picture on, with everything that depends on the frame computed again."""
    flow, sums = renderer.flow_module, []
    for r in range(len(faces)):
        reference = flow.read(faces[r : r + 1], drawn[r : r + 1], torch.ones(1))
        sums.append(flow.weigh(reference, flow.modulations(sketches)))
    fine, coarse, weight = (torch.cat(maps).sum(0, keepdim=True) for maps in zip(*sums, strict=True))
    fine, coarse = fine / (weight + 1e-5), coarse / (weight + 1e-5)[:, :, ::2, ::2]
    masked = face.clone()
    masked[:, :, 64:] = 0
    return renderer.translation(torch.cat((masked, sketches), dim=1), Warped(fine[:, :3], fine[:, 3:], coarse), mel)


@torch.inference_mode()
def plain(
    networks: tuple[LandmarkGenerator, Renderer], video: Path, speech: Path, out: Path, n: int, references: int
) -> None:
    generator, renderer = networks
    source, options, run = open_source(video, ("video",)), IpLapOptions(landmarks="template"), Run()
    track = follow(find_points(source.frames(), None, options, Runtime(CPU)), source, options, False, run)
    frames = list(source.frames())
    chosen = track.references(references).tolist()
    faces = network_faces(np.stack([cut_face(frames[k], track.boxes[k]) for k in chosen]), CPU)
    drawn = sketches_of(track, chosen)
    mel = torch.from_numpy(np.concatenate(list(sounds([read_audio(speech, 16000).samples], n))))[:, None]
    known = torch.from_numpy(track.landmarks[track.references(options.landmark_references)])
    made = []
    for i in range(n):
        window = track.order(i - 2, i + 3, "mirror")
        pose = torch.from_numpy(track.landmarks[window, :, :POSE])
        heard = mel[np.clip(np.arange(i - 4, i + 1), 0, None)]
        tokens = generator.encode_references(known), generator.encode_sounds(heard), generator.encode_poses(pose)
        content = generator.predict(tokens[0], tokens[1][None], tokens[2][None])[0]
        landmarks = torch.cat((pose, content), dim=2).numpy()
        sizes = [box_size(track.boxes[k]) for k in window]
        lines = np.stack([draw_sketch(points, size) / 255 for points, size in zip(landmarks, sizes, strict=True)])
        k, frame = window[2], frames[window[2]].copy()
        face = network_faces(cut_face(frame, track.boxes[k])[None], CPU)
        sketches = torch.from_numpy(lines).repeat_interleave(3, dim=0)[None]
        moved = plain_frame(renderer, faces, drawn, face, sketches, heard[2:3])
        outline = from_crop(track.landmarks[k][:, OUTLINE], track.boxes[k])
        paste_face(frame, levels(moved)[0].numpy(), track.boxes[k], outline)
        made.append(frame)
    with VideoWriter(out, FPS, made[0].shape[:2], audio=speech, overwrite=True) as writer:
        for frame in made:
            writer.write(frame)


def timings(arguments: argparse.Namespace, folder: Path) -> None:
    n, references = arguments.frames, arguments.references
    # As many frames as references, so that all of these are different.
    video = write_video(folder / "video.mp4", SIZE, max(n, references) / 25)
    speech = repeated_speech(n / 25, folder / "speech.wav")
    networks = plain_networks()
    model = thg_zoo.load("iplap", weights="random", device="cpu")
    options = {"landmarks": "template", "references": references}
    ways: dict[str, Callable[[], object]] = {
        "plain loop": lambda: plain(networks, video, speech, folder / "plain.mp4", n, references),
        "thg-zoo": lambda: model.animate(video, speech, **options).save(folder / "ours.mp4", overwrite=True),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way, run in ways.items():
            begin = time.perf_counter()
            run()
            taken[way].append(time.perf_counter() - begin)
            print(f"  {way}: {taken[way][-1]:.1f} s", flush=True)
    print(f"{n} frames, {references} references, {model.runtime.description}")
    base = statistics.median(taken["plain loop"])
    for way, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"{way:12} {middle:8.1f} s {middle / n:6.2f} s a frame {base / middle:6.1f} x")


def memory(seconds: float, folder: Path) -> None:
    """Peak memory of a run without the renderer's arithmetic, which would take hours and keeps nothing."""
    video = write_video(folder / f"{seconds:g}.mp4", SIZE, seconds)
    speech = repeated_speech(seconds, folder / "long.wav")
    took, peak = measure([sys.executable, __file__, "--run", str(video), str(speech), str(folder / "out.mp4")])
    print(f"{seconds:g} s of video: peak {peak:.0f} MB, {took:.1f} s")


def run_once(video: str, speech: str, out: str) -> None:
    """One run alone, for its memory, in which faces come back as they are."""
    model = thg_zoo.load("iplap", weights="random", device="cpu")
    model.networks["renderer"].forward = lambda faces, *_: faces.clone()  # type: ignore[method-assign]
    model.animate(video, speech, landmarks="template").save(out, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=25)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory-seconds", type=float, nargs="*", default=(), help="lengths of clips for memory")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        run_once(*arguments.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.frames:
            timings(arguments, Path(folder))
        for seconds in arguments.memory_seconds:
            memory(seconds, Path(folder))


if __name__ == "__main__":
    main()
