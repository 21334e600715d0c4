"""What many jobs cost beyond the jobs themselves; prints the figures of docs/scale.md.

    python benchmarks/batch.py overhead          # one worker against a plain loop, two workers against one
    python benchmarks/batch.py manifest          # 100,000 lines: checking, restart, memory
    python benchmarks/batch.py sizing [--engine ray] [--workers 1 2 4 8 16]   # a stub whose time is set

`sizing` simulates more machines than there are: workers that only wait need no core each, so that what is left is
the cost of handing jobs out, of the records, and of the engine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from PIL import Image

import thg_zoo
from thg_zoo.demo import example_driver, example_source
from thg_zoo.jobs import Job, JobFunction, LocalEngine, Place, RayEngine, Record, run_jobs
from thg_zoo.jobs.animator import is_intact
from thg_zoo.jobs.checking import Defaults, ManifestJobs
from thg_zoo.jobs.identity import identify
from thg_zoo.jobs.ledger import Ledger
from thg_zoo.jobs.manifest import read_manifest


def inputs(folder: Path, faces: int, lines: int, seconds: float, side: int) -> Path:
    """A manifest of every pair of so many faces and lines of speech."""
    for k in range(faces):
        Image.open(example_source()).convert("RGB").resize((side, side)).save(folder / f"face{k}.png")
    samples, rate = soundfile.read(example_driver())
    for k in range(lines):
        start = int((0.3 + 0.05 * k) * rate)
        soundfile.write(folder / f"line{k}.wav", samples[start : start + int(seconds * rate)], rate)
    manifest = folder / "m.csv"
    rows = [f"face{i}.png,line{k}.wav" for i in range(faces) for k in range(lines)]
    manifest.write_text("source,driver\n" + "\n".join(rows) + "\n")
    return manifest


def plain_loop(folder: Path, lines: int, clock: str) -> float:
    """Seconds per animation of one face in a loop, the first one left out."""
    model = thg_zoo.load("warp", device="cpu")
    portrait = model.prepare(folder / "face0.png")
    times = []
    for k in range(lines):
        begin = time.perf_counter() if clock == "wall" else processor_time()
        portrait.animate(folder / f"line{k}.wav").save(folder / f"plain{k}.mp4")
        times.append((time.perf_counter() if clock == "wall" else processor_time()) - begin)
    return statistics.mean(times[1:])


def per_job(manifests: list[Path], output: Path, workers: int, on: set[int], clock: str) -> float:
    """Seconds per job on these cores: a short and a long manifest, so that starting and loading cancel out."""
    seconds = []
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, on)
    for manifest in manifests:
        begin = time.perf_counter() if clock == "wall" else processor_time()
        summary = thg_zoo.batch(manifest, output / manifest.stem, model="warp", engine=LocalEngine(workers, "cpu"))
        end = time.perf_counter() if clock == "wall" else processor_time()
        seconds.append((end - begin, summary["done"]))
    os.sched_setaffinity(0, before)
    found = (seconds[1][0] - seconds[0][0]) / (seconds[1][1] - seconds[0][1])
    print(f"{workers} workers on {len(on)} cores: {1e3 * found:.0f} ms per job ({clock})", flush=True)
    return found


def processor_time() -> float:
    """Seconds of this process and of its children that have ended, and theirs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def overhead(folder: Path, faces: int, lines: int, clock: str) -> None:
    whole = inputs(folder, faces, lines, 1.0, 256)
    rows = whole.read_text().splitlines()
    short = folder / "short.csv"
    short.write_text("\n".join([rows[0], *(row for row in rows[1:] if "line0.wav" in row)]) + "\n")
    print(f"{faces * lines} jobs of one second of speech, 256 x 256")
    both = set(sorted(os.sched_getaffinity(0))[:2])
    single = per_job([short, whole], folder / "single", 1, {min(both)}, clock)
    double = per_job([short, whole], folder / "double", 2, both, clock)
    # Two cores do two seconds of work in one, as far as the workers do not wait for each other.
    ratio = single / double * (2 if clock == "processor" else 1)
    print(f"throughput of two workers on two cores: {ratio:.2f} x one worker on one core")
    os.sched_setaffinity(0, {min(both)})
    loop = plain_loop(folder, lines, clock)
    print(f"the same in a plain loop: {1e3 * loop:.0f} ms, so the batch adds {1e3 * (single - loop):.0f} ms per job")
    ends: list[float] = []
    for _ in run_jobs(stubs(200), partial(timed, seconds=0.0), folder / "stub", engine=LocalEngine(1, "cpu")):
        ends.append(time.perf_counter())
    print(f"an empty job: {1e3 * (ends[-1] - ends[0]) / (len(ends) - 1):.1f} ms (wall)")


def timed(place: Place, seconds: float) -> JobFunction:  # noqa: ARG001 (what a factory takes)
    """A model whose time is set."""

    def work(job: Job) -> dict[str, Any]:  # noqa: ARG001 (what a job function takes)
        time.sleep(seconds)
        return {"model": "stub", "frames": 25, "video_seconds": 1.0}

    return work


def stubs(n: int) -> Iterator[Job]:
    return (Job(f"job{k:06}", "", {}, affinity=f"family{k // 10}") for k in range(n))


def sizing(folder: Path, engine: str, workers: list[int], seconds: float) -> None:
    if engine == "ray":
        import ray

        ray.init(num_cpus=max(workers), include_dashboard=False, log_to_driver=False)
    print(f"{engine}, jobs of {seconds} s: workers, jobs/s, share of what they could do")
    for n in workers:
        ends: list[float] = []
        chosen = RayEngine(n) if engine == "ray" else LocalEngine(n, "cpu")
        ready = 0

        def notify(event: Mapping[str, Any], n: int = n, ends: list[float] = ends) -> None:
            nonlocal ready
            ready += event["event"] == "worker"
            if event["event"] == "job" and ready == n:
                ends.append(time.perf_counter())

        # Enough that all are at work for a while after the last of them has started.
        jobs = stubs(n * (6 + int(3 / seconds)))
        for _ in run_jobs(jobs, partial(timed, seconds=seconds), folder / f"{engine}{n}", engine=chosen, notify=notify):
            pass
        steady = ends[: max(2, len(ends) - n)]
        rate = (len(steady) - 1) / (steady[-1] - steady[0])
        print(f"{n:4} {rate:8.1f} {rate * seconds / n:6.0%}", flush=True)


def long_manifest(folder: Path, n: int) -> None:
    """A manifest of n lines, 1000 pictures and n / 1000 sounds: checking it, and a restart when all is done."""
    for kind, count, suffix in (("faces", 1000, "png"), ("lines", n // 1000, "wav")):
        (folder / kind).mkdir()
        for k in range(count):
            (folder / kind / f"{k}.{suffix}").write_bytes(b"content")
    manifest, out = folder / "m.csv", folder / "out"
    with manifest.open("w") as file:
        file.write("source,driver,model,mouth\n")
        file.writelines(f"faces/{i}.png,lines/{k}.wav,warp,0.5\n" for i in range(1000) for k in range(n // 1000))

    def jobs() -> ManifestJobs:
        return ManifestJobs("m", read_manifest(str(manifest)), str(folder), str(out), Defaults(), fresh=False)

    before = peak()
    begin = time.process_time()
    count = sum(1 for _ in jobs())
    print(
        f"{count} lines checked in {time.process_time() - begin:.1f} s of one core, memory + {peak() - before:.0f} MB"
    )
    out.mkdir()
    with (out / "results.jsonl").open("w") as file:
        for job in jobs():
            inputs = tuple(identify(path) for path in job.inputs)
            record = Record(job.id, job.fingerprint, "done", 1.0, "worker 0", "", inputs=inputs, value={"bytes": 1})
            file.write(json.dumps(record.to_json()) + "\n")
            (out / job.id).write_bytes(b"x")
    before = peak()
    begin = time.process_time()
    for _ in run_jobs(
        jobs(), partial(timed, seconds=0.0), out, engine=LocalEngine(1, "cpu"), intact=partial(is_intact, str(out))
    ):
        raise AssertionError("everything is done")
    seconds = time.process_time() - begin
    print(f"restart: nothing to do after {seconds:.1f} s of one core, memory + {peak() - before:.0f} MB")
    with tempfile.TemporaryDirectory() as empty:
        ledger = Ledger(Path(empty))
        begin = time.perf_counter()
        for _ in range(100):
            ledger.append(Record("job", "", "done", 1.0, "worker 0", ""))
        print(f"a record on the disk: {10 * (time.perf_counter() - begin):.2f} ms")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "manifest", "sizing"))
    parser.add_argument("--engine", default="local", choices=("local", "ray"))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=0.25, help="of one stub job")
    parser.add_argument("--faces", type=int, default=4)
    parser.add_argument("--lines", type=int, default=10)
    parser.add_argument("--clock", default="wall", choices=("wall", "processor"), help="processor: on a busy machine")
    parser.add_argument("--length", type=int, default=100_000, help="lines of the manifest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.what == "overhead":
            overhead(Path(name), arguments.faces, arguments.lines, arguments.clock)
        elif arguments.what == "manifest":
            long_manifest(Path(name), arguments.length)
        else:
            sizing(Path(name), arguments.engine, arguments.workers, arguments.seconds)


if __name__ == "__main__":
    main()
