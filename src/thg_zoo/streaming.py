"""The one loop that every model runs on: motion and source frames in, finished frames out.

    decode (thread) -> motion, track (thread) -> encode the source -> render -> compose -> host -> encode (thread)

Only a few batches exist at any moment, so memory does not depend on the length of the video.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.background import Ahead
from thg_zoo.errors import DeviceError
from thg_zoo.memory import release
from thg_zoo.motion import Motion, Parameters, length, part
from thg_zoo.run import Run
from thg_zoo.runtime import is_out_of_memory
from thg_zoo.source_stream import SourceBatch, order_of

if TYPE_CHECKING:
    from thg_zoo.adapter import Portrait

logger = logging.getLogger(__name__)


class Renderer:
    """Renders one portrait with the options and for the run of one animation."""

    def __init__(self, portrait: Portrait[Any, Any], options: Any, run: Run) -> None:
        self._adapter = portrait.adapter
        self._portrait = portrait
        self._options = options
        self._run = run
        self._size = portrait.adapter.batch_size

    def frames(self, motion: Motion) -> Iterator[NDArray[np.uint8]]:
        """Finished frames, uint8 [B, H, W, 3], batch by batch.

        Raises DeviceError when a single frame does not fit into the device's memory, Cancelled when the
        caller stops the run.
        """
        done = 0
        with contextlib.closing(Ahead(self._inputs(motion))) as inputs:
            while True:
                with self._run.stage("wait for inputs"):
                    batch = next(inputs, None)
                if batch is None:
                    return
                for finished in self._fitting(*batch):
                    yield finished
                    done += len(finished)
                    self._run.advance("render", done, motion.n_frames)

    def _inputs(self, motion: Motion) -> Generator[tuple[Parameters, SourceBatch]]:
        """Batches of motion with their source frames. In a thread of its own: nothing here depends on rendering."""
        with (
            contextlib.closing(motion.batches(self._size)) as batches,
            contextlib.closing(order_of(self._portrait, motion, self._run)) as order,
        ):
            while True:
                with self._run.stage("motion"), self._adapter.inference():
                    parameters = next(batches, None)
                if parameters is None:
                    return
                with self._run.stage("read source"), self._adapter.inference():
                    source = order.take(length(parameters))
                if source is None:
                    return
                if not self._portrait.source.still:
                    parameters = part(parameters, 0, len(source.frames))
                yield parameters, source

    def _fitting(self, parameters: Parameters, source: SourceBatch) -> Iterator[NDArray[np.uint8]]:
        """Render in batches that fit: on out-of-memory the batch is halved, and stays so."""
        start, n = 0, length(parameters)
        while start < n:
            rows = range(start, min(start + self._size, n))
            frames = None
            try:
                with self._adapter.inference():
                    frames = self._render(part(parameters, rows.start, rows.stop), source, rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._size == 1:
                    raise DeviceError(
                        f"A single frame does not fit into the memory of {self._adapter.runtime.device}.",
                        "Use a smaller picture, --precision bfloat16, or --device cpu.",
                    ) from error
            if frames is None:
                # Only here: as long as the error is there, so is everything that the failed batch had made.
                self._shrink()
                continue
            yield frames
            start = rows.stop

    def _shrink(self) -> None:
        self._size //= 2
        release()
        self._run.warn(f"Out of memory on {self._adapter.runtime.device}: continuing with batches of {self._size}.")

    def _render(self, parameters: Parameters, source: SourceBatch, rows: range) -> NDArray[np.uint8]:
        """One batch to the end. Frames that show nothing to animate pass unchanged."""
        if self._portrait.source.still:
            return self._finish(parameters, source).cpu().numpy()
        shown = [r for r in rows if source.tracked[r] is not None]
        if not shown:
            return source.frames[rows.start : rows.stop].cpu().numpy()
        chosen = source.select(shown)
        with self._run.stage("encode source"), self._adapter.runtime.autocast():
            chosen.encoded = self._adapter.encode(self._portrait.identity, chosen, self._portrait.options)
        kept = [r - rows.start for r in shown]
        animated = self._finish({name: value[kept] for name, value in parameters.items()}, chosen)
        if len(shown) == len(rows):
            return animated.cpu().numpy()
        result = source.frames[rows.start : rows.stop].clone()
        result[kept] = animated
        return result.cpu().numpy()

    def _finish(self, parameters: Parameters, source: SourceBatch) -> Tensor:
        """Networks and composition: uint8 [B, H, W, 3] on the device."""
        device, identity = self._adapter.runtime.device, self._portrait.identity
        moved = {name: value.to(device, non_blocking=True) for name, value in parameters.items()}
        with self._run.stage("render"), self._adapter.runtime.autocast():
            rendered = self._adapter.render(identity, source, moved, self._options)
        with self._run.stage("compose"):
            floating = rendered.float() if rendered.is_floating_point() else rendered
            return self._adapter.compose(floating, identity, source, self._options)
