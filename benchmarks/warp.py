"""How fast `warp` is, file to file, and where the time goes; prints the table of adapters/warp/README.md.

    python benchmarks/warp.py [PICTURE] [--sizes 512 1024 1080p] [--seconds 20] [--device cpu]

PICTURE (the bundled example without one) is cut to the face, so that the head fills the frame, which is the dear
case: time grows with the head's area. `whole` is the bundled picture as it is. Every row is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

import thg_zoo
from thg_zoo.demo import example_driver, example_source
from thg_zoo.faces.choose import choose_face
from thg_zoo.faces.mtcnn import Mtcnn

STAGES = ("prepare", "read driver", "render", "compose", "wait for encoder")


def portrait(path: Path, size: str, output: Path) -> None:
    """Write the picture for one row: the head fills a square, or a frame of 1920 x 1080, or the picture as it is."""
    picture = Image.open(path).convert("RGB")
    if size != "whole":
        face = choose_face(Mtcnn().detect([np.asarray(picture)])[0], "largest", str(path))
        x1, y1, x2, y2 = (float(v) for v in face.box)
        half, cx, cy = 1.1 * max(x2 - x1, y2 - y1), (x1 + x2) / 2, (y1 + y2) / 2
        side = 1080 if size == "1080p" else int(size)
        head = picture.crop((int(cx - half), int(cy - half), int(cx + half), int(cy + half))).resize((side, side))
        picture = Image.new("RGB", (1920, 1080), (90, 90, 90)) if size == "1080p" else Image.new("RGB", head.size)
        picture.paste(head, ((picture.width - side) // 2, 0))
    picture.save(output)


def measure(picture: str, speech: str, output: str, device: str) -> None:
    """One run in this process; prints its figures as JSON."""
    model = thg_zoo.load("warp", device=device)
    begin = time.perf_counter()
    animation = model.animate(picture, speech)
    animation.save(output, overwrite=True)
    seconds = time.perf_counter() - begin
    assert animation.report is not None
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1024 if sys.platform != "darwin" else 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    timings = {name: animation.report.timings.get(name, 0.0) for name in STAGES}
    print(json.dumps({"frames": animation.n_frames, "seconds": seconds, "peak": peak, "timings": timings}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path, default=example_source())
    parser.add_argument("--sizes", nargs="+", default=["whole", "512", "1024", "1080p"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure", nargs=3, metavar=("PICTURE", "SPEECH", "OUTPUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure, arguments.device)
        return
    print(f"{platform.processor() or platform.machine()}, {arguments.device}; milliseconds per frame by stage")
    print(f"{'size':>8} {'fps':>6} {'real time':>9} {'peak':>8} " + " ".join(f"{name:>16}" for name in STAGES))
    with tempfile.TemporaryDirectory() as folder:
        speech, picture = Path(folder, "speech.wav"), Path(folder, "face.png")
        samples, rate = soundfile.read(example_driver(), dtype="float32")
        soundfile.write(speech, np.resize(samples, int(arguments.seconds * rate)), rate)
        for size in arguments.sizes:
            portrait(arguments.picture, size, picture)
            output = Path(folder, f"{size}.mp4")
            command = [sys.executable, __file__, "--device", arguments.device, "--measure", picture, speech, output]
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            fps = row["frames"] / row["seconds"]
            stages = " ".join(f"{row['timings'][name] / row['frames'] * 1e3:16.1f}" for name in STAGES)
            print(f"{size:>8} {fps:6.0f} {fps / 25:8.1f}x {row['peak']:5.0f} MB {stages}", flush=True)


if __name__ == "__main__":
    main()
