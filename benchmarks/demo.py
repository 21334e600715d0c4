"""What the page costs: seconds until it answers, memory of its process, files and processes after many runs.

    python benchmarks/demo.py --runs 50

Runs are those of the API, one after the other, each by a client of its own, with the model `warp` on one second of the
bundled speech and the bundled face at 256 x 256.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import wave
from pathlib import Path

from gradio_client import Client, handle_file
from PIL import Image

from thg_zoo.demo import example_driver, example_source

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from demo_server import Page, running

_KEEP_MINUTES = 0.2


def main() -> None:
    """Print one line before the first run, one after every tenth, and one when the visitors' files had time to go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        face, speech = _inputs(folder)
        (folder / "server").mkdir()
        with running(folder / "server", "--keep-minutes", str(_KEEP_MINUTES)) as page:
            print(f"the page answers after {page.started:.1f} s", flush=True)
            _say(page, 0)
            begin = time.monotonic()
            for k in range(1, runs + 1):
                client = Client(page.url, download_files=str(folder / "results"), verbose=False)
                client.predict(handle_file(face), handle_file(speech), api_name="/animate")
                client.close()
                if k in (1, 2) or k % 10 == 0:
                    _say(page, k)
            print(f"{(time.monotonic() - begin) / runs:.2f} s per run, client and transfer included")
            time.sleep(120 * _KEEP_MINUTES)
            _say(page, runs)


def _inputs(folder: Path) -> tuple[Path, Path]:
    face, speech = folder / "face.png", folder / "speech.wav"
    Image.open(example_source()).resize((256, 256)).save(face)
    with wave.open(str(example_driver())) as whole, wave.open(str(speech), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(whole.getframerate()))
    return face, speech


def _say(page: Page, runs: int) -> None:
    process = Path(f"/proc/{page.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    children = [c for task in (process / "task").iterdir() for c in (task / "children").read_text().split()]
    print(
        f"after {runs:3} runs: {int(status['VmRSS'].split()[0]) / 1000:6.0f} MB resident "
        f"(peak {int(status['VmHWM'].split()[0]) / 1000:.0f}), "
        f"{status['Threads'].strip()} threads, {len(list((process / 'fd').iterdir()))} open files, "
        f"{len(children)} child processes, {len(page.files())} files of visitors",
        flush=True,
    )


if __name__ == "__main__":
    main()
