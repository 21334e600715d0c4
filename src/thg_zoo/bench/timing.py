"""One model, loaded and run twice from files to a file: as it is used, or by the plain loop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thg_zoo.bench.inputs import Inputs
from thg_zoo.bench.plain import Made, run_plain
from thg_zoo.memory import Memory, MemoryMeter
from thg_zoo.nn.as_written import as_written
from thg_zoo.runtime import resolve_runtime
from thg_zoo.zoo import load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter

_WHOLE_RUN = ("prepare", "read driver", "finish file")
# Enough frames for everything that happens once to have happened.
_FRAMES_TO_WARM_UP = 2

Way = Callable[["Adapter[Any, Any]", Inputs, Mapping[str, Any]], Made]


@dataclass(frozen=True)
class Timed:
    """Seconds. load: seeding the weights (not reading a file); cold, warm: file to file, the first time and the fastest
    of those that follow; processor: what the warm run took of the processor's time, without ffmpeg, on all cores; once:
    of the warm run what is done once, by stage; stages: the rest in milliseconds per frame by stage. Those of different
    frames overlap, except in the plain loop.
    """

    batch_size: int
    device: str
    frames: int
    size: tuple[int, int]
    load: float
    cold: float
    warm: float
    processor: float
    once: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    memory: Memory | None = None

    @property
    def per_frame(self) -> float:
        """Milliseconds per frame of the warm run, file to file."""
        return 1000 * self.warm / self.frames


@dataclass(frozen=True)
class Setting:
    """What is timed: a model, how it is loaded, on what it runs, and how many warm runs there are."""

    model: str
    batch_size: int | None
    precision: str
    device: str
    inputs: Inputs
    options: Mapping[str, Any]
    rounds: int = 1


def time_model(setting: Setting) -> Timed:
    """As it is used. Raises whatever loading and running raise."""
    return _time(setting, run_as_used, run_as_used)


def time_plain(setting: Setting) -> Timed:
    """By the plain loop, with layers as they are written. Its first run, `cold`, is of two frames only."""

    def warm_up(adapter: Adapter[Any, Any], inputs: Inputs, options: Mapping[str, Any]) -> Made:
        return run_plain(adapter, inputs, options, most=_FRAMES_TO_WARM_UP)

    with as_written():
        return _time(dataclasses.replace(setting, batch_size=1), warm_up, run_plain)


def run_as_used(adapter: Adapter[Any, Any], inputs: Inputs, options: Mapping[str, Any]) -> Made:
    """By the streaming loop, into a file."""
    animation = adapter.animate(inputs.source, inputs.driver_of(adapter.spec), **options)
    animation.save(inputs.output, overwrite=True)
    assert animation.report is not None
    return Made(animation.report.frames, animation.report.size, animation.report.timings)


def _time(setting: Setting, first: Way, then: Way) -> Timed:
    meter = MemoryMeter(resolve_runtime(setting.device, setting.precision).device)
    begin = time.perf_counter()
    adapter = load(
        setting.model,
        weights="random",
        device=setting.device,
        precision=setting.precision,
        batch_size=setting.batch_size,
    )
    loaded = time.perf_counter()
    first(adapter, setting.inputs, setting.options)
    cold = time.perf_counter() - loaded
    warm, processor, made = min((_one(then, adapter, setting) for _ in range(setting.rounds)), key=lambda one: one[0])
    return Timed(
        batch_size=adapter.batch_size,
        device=adapter.runtime.description,
        frames=made.frames,
        size=made.size,
        load=loaded - begin,
        cold=cold,
        warm=warm,
        processor=processor,
        once={name: seconds for name, seconds in made.timings.items() if name in _WHOLE_RUN},
        stages={name: 1000 * s / made.frames for name, s in made.timings.items() if name not in _WHOLE_RUN},
        memory=meter.result(),
    )


def _one(way: Way, adapter: Adapter[Any, Any], setting: Setting) -> tuple[float, float, Made]:
    """Seconds by the clock and of the processor, and what was made."""
    begin, used = time.perf_counter(), time.process_time()
    made = way(adapter, setting.inputs, setting.options)
    return time.perf_counter() - begin, time.process_time() - used, made


def to_json(timed: Timed | None) -> dict[str, Any] | None:
    """As JSON can hold it."""
    return None if timed is None else {**dataclasses.asdict(timed), "per_frame": timed.per_frame}
