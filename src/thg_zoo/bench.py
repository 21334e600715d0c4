"""How fast models are on this machine: seeded weights, no download, file to file, by stage, with peak memory."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import soundfile

from thg_zoo.errors import Cancelled, ThgZooError, UsageError
from thg_zoo.media.audio import Audio, read_audio
from thg_zoo.media.image import Picture, read_image, write_image
from thg_zoo.media.writer import VideoWriter
from thg_zoo.memory import Memory, MemoryMeter, release
from thg_zoo.plots import bars, stacked_bars
from thg_zoo.report import versions
from thg_zoo.run import CancelCheck, ProgressCallback, Run
from thg_zoo.runtime import resolve_runtime
from thg_zoo.zoo import describe, load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter

_RANDOM = "random"
_FPS = 25
# A driving video that moves enough for every stage to have work, and whose encoding costs next to nothing.
_SWAY = 6
_WHOLE_RUN = ("prepare", "read driver", "finish file")


@dataclass(frozen=True)
class Measurement:
    """One model in one setting. Seconds; `per_frame` and `stages` are of the warm run.

    load: seeding the weights (not reading a file); cold, warm: file to file, the first and the second time; fps: frames
    of the warm run over its seconds; stages: milliseconds per frame by stage; error: why there is nothing else.
    """

    model: str
    batch_size: int
    precision: str
    device: str = ""
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    load: float = 0.0
    cold: float = 0.0
    warm: float = 0.0
    fps: float = 0.0
    stages: Mapping[str, float] = dataclasses.field(default_factory=dict)
    once: Mapping[str, float] = dataclasses.field(default_factory=dict)
    memory: Memory | None = None
    error: str = ""

    @property
    def name(self) -> str:
        """The setting in a few words, for tables and charts."""
        return f"{self.model} b{self.batch_size} {self.precision}"


@dataclass(frozen=True)
class Inputs:
    """Files of a benchmark: a picture, speech of `seconds`, and a video of the picture in motion."""

    source: Path
    drivers: Mapping[str, Path]


def bench(
    models: Sequence[str],
    source: str | Path,
    speech: str | Path,
    *,
    size: int | None = None,
    seconds: float = 2.0,
    batch_sizes: Sequence[int | None] = (None,),
    precisions: Sequence[str] = ("float32",),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Iterator[Measurement]:
    """Measure every model with every batch size (None: what suits the device) and precision, one after another.

    source: the picture that is animated, made square of `size` pixels if that is given; speech: the driver of models
    driven by sound; the others are driven by `seconds` of the source swaying. Each setting runs twice, from files to a
    file. A model that fails gives a measurement with `error`. Raises UnknownModelError, UsageError, Cancelled.
    """
    if seconds < 2 / _FPS:
        raise UsageError(f"{seconds} seconds cannot be timed.", f"Give at least {2 / _FPS}.")
    for name in models:
        describe(name)
    run = Run(0, progress, cancel)
    settings = [(m, b, p) for m in models for b in batch_sizes for p in precisions]
    with tempfile.TemporaryDirectory(prefix="thg-zoo-") as folder:
        inputs = _write_inputs(Path(folder), _picture(source, size), read_audio(speech), seconds)
        for k, (model, batch_size, precision) in enumerate(settings):
            run.advance(model, k, len(settings))
            yield _measure(model, batch_size, precision, device, inputs, (options or {}).get(model, {}))
    run.advance("bench", len(settings), len(settings))


def to_json(measurements: Sequence[Measurement]) -> str:
    """All measurements and the versions of what ran, indented."""
    found = [dataclasses.asdict(measurement) for measurement in measurements]
    return json.dumps({"versions": versions(), "measurements": found}, indent=2, ensure_ascii=False) + "\n"


def chart(measurements: Sequence[Measurement]) -> str:
    """A page with two charts: milliseconds per frame by stage, and peak memory."""
    worked = [m for m in measurements if not m.error]
    stages = {m.name: m.stages for m in worked}
    memory = {m.name: m.memory.peak / 1e6 for m in worked if m.memory is not None}
    device = worked[0].device if worked else ""
    body = (
        f"<h1>thg-zoo bench</h1><p>{device}; seeded weights</p><h2>Milliseconds per frame by stage, warm, file to file"
        f"</h2>{stacked_bars(stages, 'ms')}<h2>Peak memory of the process</h2>{bars(memory, 'MB')}"
        if worked
        else "<p>Nothing could be measured.</p>"
    )
    style = ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;margin:2rem}h2{font-size:1rem}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>thg-zoo bench</title><style>{style}'
        f"</style></head>\n<body>{body}</body></html>\n"
    )


def _measure(
    model: str, batch_size: int | None, precision: str, device: str, inputs: Inputs, options: Mapping[str, Any]
) -> Measurement:
    try:
        return _measured(model, batch_size, precision, device, inputs, options)
    except Cancelled:
        raise
    except ThgZooError as error:
        return Measurement(model, batch_size or 0, precision, error=str(error))
    finally:
        release()


def _measured(
    model: str, batch_size: int | None, precision: str, device: str, inputs: Inputs, options: Mapping[str, Any]
) -> Measurement:
    meter = MemoryMeter(resolve_runtime(device, precision).device)
    begin = time.perf_counter()
    adapter = load(model, weights=_RANDOM, device=device, precision=precision, batch_size=batch_size)
    loaded = time.perf_counter() - begin
    cold, _ = _file_to_file(adapter, inputs, options)
    warm, report = _file_to_file(adapter, inputs, options)
    assert report is not None
    stages = {name: 1000 * seconds / report.frames for name, seconds in report.timings.items()}
    return Measurement(
        model=model,
        batch_size=adapter.batch_size,
        precision=precision,
        device=adapter.runtime.description,
        frames=report.frames,
        size=report.size,
        load=loaded,
        cold=cold,
        warm=warm,
        fps=report.frames / warm,
        stages={name: value for name, value in stages.items() if name not in _WHOLE_RUN},
        once={name: seconds for name, seconds in report.timings.items() if name in _WHOLE_RUN},
        memory=meter.result(),
    )


def _file_to_file(adapter: Adapter[Any, Any], inputs: Inputs, options: Mapping[str, Any]) -> tuple[float, Any]:
    """Seconds from the files to a file, and the report of the run."""
    kind = next((kind for kind in adapter.spec.drivers if kind in inputs.drivers), None)
    if kind is None:
        raise UsageError(f"{adapter.model.name} is driven by neither sound nor video.", "It cannot be timed here.")
    output = inputs.source.with_name("output.mp4")
    begin = time.perf_counter()
    animation = adapter.animate(inputs.source, inputs.drivers[kind], **options)
    animation.save(output, overwrite=True)
    return time.perf_counter() - begin, animation.report


def _picture(source: str | Path, size: int | None) -> Picture:
    picture = read_image(source)
    if size is None:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _write_inputs(folder: Path, source: Picture, speech: Audio, seconds: float) -> Inputs:
    picture = write_image(folder / "source.png", source)
    samples = np.resize(speech.samples, int(seconds * speech.sample_rate))
    soundfile.write(folder / "speech.wav", samples, speech.sample_rate)
    frames = round(seconds * _FPS)
    with VideoWriter(folder / "driver.mp4", Fraction(_FPS), source.shape[:2]) as writer:
        for k in range(frames):
            writer.write(np.roll(source, round(_SWAY * np.sin(2 * np.pi * k / _FPS)), axis=1))
    return Inputs(picture, {"audio": folder / "speech.wav", "video": folder / "driver.mp4"})
