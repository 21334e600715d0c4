"""Worker processes on this machine: one per device, or several on the CPU.

concurrent.futures and loky give up a whole pool when one of its processes dies, and multiprocessing.Pool waits for
the lost job for ever; here one process is replaced and one job lost. So this is the little that is missing above
multiprocessing's processes and pipes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from thg_zoo.errors import UsageError
from thg_zoo.jobs.engine import Finished, Gone, Message, Ready
from thg_zoo.jobs.job import Failure, Job, Place, WorkerFactory, describe_failure
from thg_zoo.jobs.performing import limit_threads, perform

_GRACE_S = 3.0
_MOST_BY_DEFAULT = 8


class LocalEngine:
    """Jobs on this machine.

    workers: how many processes, None for one per device (on the CPU one per core, 8 at most); device: auto, cpu,
    cuda (all of them), cuda:N or mps, or several with commas between, one worker for each time that one is named;
    retries: how often a job is started again after its worker crashed;
    timeout: seconds after which a job is taken for hanging (loading the model counts for the first one). CPU threads
    are divided among the workers. Raises DeviceError, UsageError.
    """

    def __init__(
        self, workers: int | None = None, device: str = "auto", retries: int = 1, timeout: float | None = None
    ) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"{workers} workers can do nothing.", "Give a whole number from 1.")
        self.retries = retries
        self.timeout = timeout
        self.devices = _devices(device)
        by_default = min(cores(), _MOST_BY_DEFAULT) if self.devices == ["cpu"] else len(self.devices)
        self.workers = workers or by_default

    def open(self, factory: WorkerFactory) -> LocalPool:
        """Processes are started by the pool's `start`."""
        threads = max(1, cores() // self.workers)
        return LocalPool(
            factory,
            [Place(f"worker {n}", self.devices[n % len(self.devices)], threads) for n in range(self.workers)],
        )

    def describe(self) -> str:
        """The engine in words."""
        return f"{self.workers} workers on {', '.join(self.devices)}"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices(device: str) -> list[str]:
    """The devices that workers are spread over."""
    if "," in device:
        return [found for part in device.split(",") for found in _devices(part.strip())]
    if device == "cpu":
        return ["cpu"]
    from thg_zoo.runtime import resolve_runtime

    found = str(resolve_runtime(device).device)
    if device in ("auto", "cuda") and found.startswith("cuda"):
        import torch

        return [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    return [found]


@dataclass
class _Process:
    """A worker as its parent sees it."""

    process: SpawnProcess
    pipe: Connection


class LocalPool:
    """Processes started with `spawn`, each behind a pipe of its own. See `thg_zoo.jobs.engine.Pool`."""

    def __init__(self, factory: WorkerFactory, places: list[Place]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._factory = factory
        self._places = places
        self._living: dict[int, _Process] = {}
        self._ending: list[SpawnProcess] = []

    def start(self, worker: int) -> None:
        pipe, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._places[worker]), name=f"thg-zoo-{worker}", daemon=True
        )
        process.start()
        theirs.close()
        self._living[worker] = _Process(process, pipe)
        # Sent, not passed as an argument: what it imports may read the number of threads, which is set first.
        self._send(worker, self._factory)

    def submit(self, worker: int, job: Job) -> None:
        self._send(worker, job)

    def wait(self, seconds: float) -> list[Message]:
        workers = {living.pipe: worker for worker, living in self._living.items()}
        return [self._receive(workers[pipe]) for pipe in wait(list(workers), seconds) if isinstance(pipe, Connection)]

    def stop(self, worker: int) -> None:
        living = self._living.pop(worker)
        living.pipe.close()
        self._ending.append(living.process)

    def kill(self, worker: int) -> None:
        self._living[worker].process.kill()

    def close(self) -> None:
        for worker in list(self._living):
            process = self._living[worker].process
            self.stop(worker)
            process.terminate()
        for process in self._ending:
            process.join(_GRACE_S)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self._ending.clear()

    def _send(self, worker: int, what: object) -> None:
        # A worker that is gone cannot be written to: `wait` will say so.
        with contextlib.suppress(OSError):
            self._living[worker].pipe.send(what)

    def _receive(self, worker: int) -> Message:
        living = self._living[worker]
        try:
            what = living.pipe.recv()
        except (EOFError, OSError):
            what = None
        if what == _READY:
            return Ready(worker)
        if what is not None and not isinstance(what, Failure):
            return Finished(worker, what)
        del self._living[worker]
        living.pipe.close()
        living.process.join(_GRACE_S)
        reason = _in_words(living.process.exitcode)
        living.process.kill()
        self._ending.append(living.process)
        return Gone(worker, reason, what)


_READY = "ready"


def _in_words(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its pipe"
    if exit_code >= 0:
        return f"it ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"it was ended by {name}"


def _work(pipe: Any, place: Place) -> None:
    """The worker's process: load once, then one job after the other until the pipe is closed."""
    # Ctrl-C reaches every process of the terminal: the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="thg-zoo-parent", daemon=True).start()
    limit_threads(place)
    try:
        function = pipe.recv()(place)
    except Exception as error:
        pipe.send(describe_failure(error))
        return
    with contextlib.suppress(EOFError, OSError):
        pipe.send(_READY)
        while True:
            pipe.send(perform(function, pipe.recv(), place))


def _end_with_parent() -> None:
    """End at once when the parent has gone, in the middle of whatever is done: nobody would take the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
