"""What accompanies one run through all its stages: seed, progress, cancellation, timings, warnings."""

from __future__ import annotations

import contextlib
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from thg_zoo.errors import Cancelled, UsageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` (None where it is not known) items."""

    stage: str
    done: int
    total: int | None


ProgressCallback: TypeAlias = Callable[[Progress], None]
CancelCheck: TypeAlias = Callable[[], bool]


@dataclass
class Run:
    """One prepare or animate call.

    progress is called from the calling thread; cancel is asked between batches (pass
    `threading.Event().is_set` for an event). timings: seconds per stage; warnings: what the user should know.
    """

    seed: int = 0
    progress: ProgressCallback | None = None
    cancel: CancelCheck | None = None
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"{self.seed} is no seed.", "Give a whole number from 0.")

    def advance(self, stage: str, done: int, total: int | None) -> None:
        """Report progress, and stop here if the caller wants to: raises Cancelled."""
        if self.progress:
            self.progress(Progress(stage, done, total))
        if self.cancel and self.cancel():
            raise Cancelled("The run was cancelled.", "Nothing was written.")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to `timings[name]`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - begin

    def warn(self, message: str) -> None:
        """Tell the user something once: in the log and in the report."""
        if message not in self.warnings:
            self.warnings.append(message)
            logger.warning(message)

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose, fixed by the seed and the purpose's name alone."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])
