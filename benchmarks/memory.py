"""Peak memory of a run against its length: a 10-minute driver must cost hardly more than a 10-second one.

    python benchmarks/memory.py [MODEL] [--size 512] [--seconds 10 600]

Every run is a process of its own; the figure is the peak resident memory of the largest process in it, which is
Python: ffmpeg is smaller.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from thg_zoo.demo import example_driver, example_source


def repeated_speech(seconds: float, path: Path) -> Path:
    """The example speech, over and over, for that long."""
    samples, rate = soundfile.read(example_driver(), dtype="float32")
    soundfile.write(path, np.resize(samples, int(seconds * rate)), rate)
    return path


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a command and its children."""
    program = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:]).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)\n"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=True)
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1024 if sys.platform != "darwin" else 1
    return time.perf_counter() - begin, int(done.stdout.split()[-1]) * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="warp")
    parser.add_argument("--size", type=int, default=512, help="sides of the picture in pixels")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 600])
    arguments = parser.parse_args()
    print(f"{'driver':>8} {'run':>8} {'fps':>6} {'peak memory':>12}")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "face.png")
        Image.open(example_source()).resize((arguments.size, arguments.size)).save(picture)
        for seconds in arguments.seconds:
            speech = repeated_speech(seconds, Path(folder, "speech.wav"))
            run = [sys.executable, "-m", "thg_zoo", "run", arguments.model, str(picture), str(speech)]
            took, peak = measure([*run, "-o", str(Path(folder, f"{seconds:g}.mp4")), "--device", "cpu", "--quiet"])
            print(f"{seconds:6.0f} s {took:6.1f} s {seconds * 25 / took:6.0f} {peak:9.0f} MB", flush=True)


if __name__ == "__main__":
    main()
