"""Workers on a Ray cluster: one actor per worker, each with its share of a machine. Needs the extra `ray`.

Jobs carry paths, and an actor has one of them at a time, so that nothing piles up. Actors that no machine has room
for wait, which is what makes an autoscaling cluster grow; those that find no more jobs end, which lets it shrink.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
from typing import Any

from thg_zoo.errors import UsageError
from thg_zoo.jobs.engine import Finished, Gone, Message, Ready
from thg_zoo.jobs.job import Failure, Job, JobFunction, Place, Record, WorkerFactory, describe_failure
from thg_zoo.jobs.performing import limit_threads, perform


class RayEngine:
    """Jobs on a Ray cluster.

    workers: how many actors at most, None for as many as the cluster has room for now; address: of the cluster
    (`auto`, host:port, ray://...), None for RAY_ADDRESS or else a cluster of this machine alone; device: cpu, cuda,
    or auto for CUDA if the cluster has GPUs; cpus, gpus: of one actor (a share of a GPU is possible); retries: how
    often a job is started again after its actor or machine was lost; timeout: see `LocalEngine`. Connects at once,
    and stays connected (`ray.shutdown` ends that). Raises UsageError if it cannot.
    """

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        device: str = "auto",
        cpus: int = 1,
        gpus: float = 1.0,
        retries: int = 3,
        timeout: float | None = None,
    ) -> None:
        if (workers is not None and workers < 1) or cpus < 1 or gpus <= 0:
            raise UsageError(f"{workers} workers with {cpus} CPUs and {gpus} GPUs are not possible.", "Take 1 or more.")
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"Ray chooses the device: {device!r} cannot be asked for.", "Give auto, cpu or cuda.")
        self.retries = retries
        self.timeout = timeout
        ray = _connect(address)
        resources = ray.cluster_resources()
        self._on_gpu = device == "cuda" or (device == "auto" and resources.get("GPU", 0) > 0)
        self._cpus, self._gpus = cpus, gpus
        room = int(resources.get("CPU", 0) // cpus)
        if self._on_gpu:
            room = min(room, int(resources.get("GPU", 0) / gpus))
        self.workers = workers or room
        if not self.workers:
            raise UsageError(
                f"The cluster has no room for a worker: it has {resources.get('CPU', 0):g} CPUs and "
                f"{resources.get('GPU', 0):g} GPUs.",
                "Give --workers if it grows by itself, or let a worker take less.",
            )

    def open(self, factory: WorkerFactory) -> RayPool:
        """Actors are started by the pool's `start`."""
        device = "cuda:0" if self._on_gpu else "cpu"  # each actor sees the GPUs that Ray gave it
        shares = {"num_cpus": self._cpus, "num_gpus": self._gpus if self._on_gpu else 0, "max_restarts": 0}
        places = [Place(f"worker {n}", device, self._cpus) for n in range(self.workers)]
        return RayPool(factory, places, shares)

    def describe(self) -> str:
        """The engine in words."""
        return (
            f"up to {self.workers} Ray worker{'s' if self.workers > 1 else ''} on {'GPUs' if self._on_gpu else 'CPUs'}"
        )


class RayPool:
    """Actors of one cluster. See `thg_zoo.jobs.engine.Pool`."""

    def __init__(self, factory: WorkerFactory, places: list[Place], shares: dict[str, Any]) -> None:
        import ray

        self._ray = ray
        self._actor = ray.remote(_Actor).options(**shares)
        self._factory = ray.put(factory)
        self._places = places
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}

    def start(self, worker: int) -> None:
        self._actors[worker] = self._actor.remote(self._places[worker])
        self._waiting[self._actors[worker].load.remote(self._factory)] = worker

    def submit(self, worker: int, job: Job) -> None:
        self._waiting[self._actors[worker].run.remote(job)] = worker

    def wait(self, seconds: float) -> list[Message]:
        answers = list(self._waiting)
        if self._ray.wait(answers, num_returns=1, timeout=seconds)[0]:
            finished = self._ray.wait(answers, num_returns=len(answers), timeout=0)[0]
            return [self._receive(answer) for answer in finished]
        return []

    def stop(self, worker: int) -> None:
        self._ray.kill(self._actors.pop(worker))

    def kill(self, worker: int) -> None:
        self._ray.kill(self._actors[worker])

    def close(self) -> None:
        for worker in list(self._actors):
            with contextlib.suppress(self._ray.exceptions.RayError):
                self.stop(worker)
        self._waiting.clear()

    def _receive(self, answer: Any) -> Message:
        worker = self._waiting.pop(answer)
        try:
            what: Record | Failure | None = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()
            with contextlib.suppress(self._ray.exceptions.RayError):
                self.stop(worker)  # it may be out of reach only: it must not go on with a job that another one gets
            return Gone(worker, reason[0].rstrip(".") if reason else type(error).__name__)
        if isinstance(what, Record):
            return Finished(worker, what)
        if what is None:
            return Ready(worker)
        self.stop(worker)
        return Gone(worker, "it could not start", what)


class _Actor:
    """One worker: loads once, then does one job after the other."""

    def __init__(self, place: Place) -> None:
        self._place = dataclasses.replace(place, name=f"{place.name} on {socket.gethostname()}")
        limit_threads(place)
        self._function: JobFunction | None = None

    def load(self, factory: WorkerFactory) -> Failure | None:
        """Make the function that does jobs; what went wrong, if something did."""
        try:
            self._function = factory(self._place)
        except Exception as error:
            return describe_failure(error)
        return None

    def run(self, job: Job) -> Record:
        """Do one job."""
        assert self._function is not None
        return perform(self._function, job, self._place)


def _connect(address: str | None) -> Any:
    """Ray, connected. A connection that the caller made already is used."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("The engine `ray` is not installed.", "Run `pip install 'thg-zoo[ray]'`.") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"The cluster {address or 'of this machine'!r} cannot be reached: {error}.",
                "Check the address: `ray status --address ...` shows a cluster that answers.",
            ) from error
    return ray
