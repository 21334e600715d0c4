"""Source frames in the order in which the output shows them, whatever the source is.

A picture is a source whose one frame repeats. A video is decoded as it is needed, tracked on its first
pass only, and extended beyond its end by a rule (loop, ping-pong, mirror, hold) when the motion lasts longer.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from thg_zoo.errors import MediaError
from thg_zoo.inputs import Frame, Source
from thg_zoo.run import Run
from thg_zoo.timing import at_rate, extended_index, resample_index

if TYPE_CHECKING:
    from thg_zoo.adapter import Portrait
    from thg_zoo.motion import Motion

# A reversed pass decodes this many frames at a time, then turns them round.
_REVERSED_CHUNK = 32


@dataclass
class SourceBatch:
    """The source frames that belong to one batch of motion.

    frames: uint8 [B, H, W, 3] on the model's device, with B = 1 for a picture, whatever the batch of motion;
    tracked: what `Adapter.track` said of each; encoded: what `Adapter.encode` made of them.
    """

    frames: Tensor
    tracked: Sequence[Any]
    encoded: Any = None

    def select(self, rows: Sequence[int]) -> SourceBatch:
        """The frames `rows` alone, not encoded yet."""
        return SourceBatch(self.frames[list(rows)], [self.tracked[r] for r in rows])


def to_batch(frames: Sequence[Frame], tracked: Sequence[Any], device: torch.device) -> SourceBatch:
    """A batch from host frames uint8 [H, W, 3]."""
    return SourceBatch(torch.from_numpy(np.stack(frames)).to(device), tracked)


class SourceOrder(Protocol):
    """Source frames for output frames 0, 1, 2, ... in turn."""

    def take(self, n: int) -> SourceBatch | None:
        """Those of the next `n` output frames: fewer, or None, where the source has ended and is not extended."""

    def close(self) -> None:
        """Stop decoding."""


def order_of(portrait: Portrait[Any, Any], motion: Motion, run: Run) -> SourceOrder:
    """The order in which `motion` shows the source of `portrait`."""
    return _PictureOrder(portrait) if portrait.source.still else _VideoOrder(portrait, motion, run)


class _PictureOrder:
    """The one frame, always."""

    def __init__(self, portrait: Portrait[Any, Any]) -> None:
        self._portrait = portrait

    def take(self, n: int) -> SourceBatch | None:  # noqa: ARG002 (one frame stands for any number)
        return self._portrait.still_batch()

    def close(self) -> None:
        pass


class _VideoOrder:
    """A video's frames at the motion's frame rate, extended by the motion's rule."""

    def __init__(self, portrait: Portrait[Any, Any], motion: Motion, run: Run) -> None:
        self._adapter = portrait.adapter
        self._portrait = portrait
        self._source = portrait.source
        self._rule = motion.extend
        self._run = run
        self._shown = 1 + resample_index(motion.n_frames - 1, motion.fps, self._source.fps or motion.fps)
        # What belongs to each frame of the first pass, for the passes that follow.
        self._settled: list[Any] = []
        self._items = self._resampled(motion.fps)

    def take(self, n: int) -> SourceBatch | None:
        items = list(itertools.islice(self._items, n))
        if not items:
            return None
        return to_batch([frame for frame, _ in items], [t for _, t in items], self._adapter.runtime.device)

    def close(self) -> None:
        self._items.close()

    def _resampled(self, fps: Fraction) -> Generator[tuple[Frame, Any]]:
        """The frame on screen at the beginning of each output frame."""
        own = self._source.fps or fps
        with contextlib.closing(self._extended()) as frames:
            yield from at_rate(frames, own, fps)

    def _extended(self) -> Generator[tuple[Frame, Any]]:
        """The video's own frames in order, then on by the rule."""
        current = None
        for current in self._first_pass():
            yield current
        if current is None:
            raise MediaError(f"{self._source.name} holds no frames.", "Give another file.")
        if self._rule == "cut":
            return
        n = position = len(self._settled)
        while self._rule == "hold" or n == 1:
            yield current
        while True:
            index = extended_index(position, n, self._rule)
            rising = extended_index(position + 1, n, self._rule) > index
            again = _decoded(self._source, index, n) if rising else _decoded_backwards(self._source, index)
            with contextlib.closing(again):
                for k, frame in again:
                    yield frame, self._settled[k]
                    position += 1

    def _first_pass(self) -> Generator[tuple[Frame, Any]]:
        """Every frame once, with what belongs to it in this animation."""
        identity, options = self._portrait.identity, self._portrait.options
        for item in self._adapter.settle(identity, self._tracked(), self._shown, options):
            self._settled.append(item[1])
            yield item

    def _tracked(self) -> Generator[tuple[Frame, Any]]:
        """Every frame once. What tracking finds is kept for later passes and for the portrait's next driver."""
        frames = _decoded(self._source, 0, None)
        with contextlib.closing(frames):
            if self._portrait.tracked:
                for k, frame in frames:
                    yield frame, self._portrait.tracked[k]
                return
            found = []
            options, identity = self._portrait.options, self._portrait.identity
            for item in self._adapter.track(identity, (frame for _, frame in frames), options, self._run):
                found.append(item[1])
                yield item
            self._portrait.tracked = found


def _decoded(source: Source, start: int, stop: int | None) -> Generator[tuple[int, Frame]]:
    """(index, frame) from `start` on; the reader decodes ahead in a thread."""
    with contextlib.closing(source.frames(start, stop)) as frames:
        yield from enumerate(frames, start)


def _decoded_backwards(source: Source, start: int) -> Generator[tuple[int, Frame]]:
    """(index, frame) for start, start - 1, ..., 0."""
    stop = start + 1
    while stop > 0:
        begin = max(0, stop - _REVERSED_CHUNK)
        chunk = list(source.frames(begin, stop))
        yield from ((begin + k, chunk[k]) for k in reversed(range(len(chunk))))
        stop = begin
