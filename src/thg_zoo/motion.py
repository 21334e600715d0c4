"""Motion: what a driver became, as small per-frame parameters that stream in batches.

Parameters are tensors whose first dimension is the output frame. A motion that needs the whole driver
(smoothing, scale adaptation) is a `MotionTable`; one that can begin before the driver has ended is a
`MotionStream`. Neither ever holds frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from typing import TypeAlias

import torch
from torch import Tensor

Parameters: TypeAlias = dict[str, Tensor]


def length(parameters: Parameters) -> int:
    """How many frames a batch of parameters is for."""
    return len(next(iter(parameters.values())))


def part(parameters: Parameters, start: int, stop: int) -> Parameters:
    """Frames `start` to `stop` of a batch."""
    return {name: value[start:stop] for name, value in parameters.items()}


class Gathered:
    """Parameters that grow piece by piece (float32), each in one block of memory.

    Many small tensors would lie scattered over the memory that frames are decoded into and keep it from being used
    again: measured, that takes a megabyte a frame.
    """

    def __init__(self) -> None:
        self._values: dict[str, array[float]] = {}
        self._shapes: dict[str, torch.Size] = {}

    def __len__(self) -> int:
        return next((len(v) // self._shapes[n].numel() for n, v in self._values.items()), 0)

    def add(self, piece: Parameters) -> None:
        """The next frames."""
        for name, value in piece.items():
            self._shapes[name] = value.shape[1:]
            self._values.setdefault(name, array("f")).frombytes(value.float().cpu().contiguous().numpy().tobytes())

    def whole(self, device: torch.device | str = "cpu") -> Parameters:
        """Everything so far."""
        return {
            name: torch.tensor(values, dtype=torch.float32).view(-1, *self._shapes[name]).to(device)
            for name, values in self._values.items()
        }


class Motion(ABC):
    """fps: exact frame rate of the output; n_frames: its length (for a stream, the driver's own estimate).

    extend: how a video source goes on when the motion is longer (`timing.EXTENSION_RULES`); with `cut` the
    output ends with the source.
    """

    def __init__(self, fps: Fraction, n_frames: int, extend: str = "loop") -> None:
        self.fps = fps
        self.n_frames = n_frames
        self.extend = extend

    @abstractmethod
    def batches(self, size: int) -> Generator[Parameters]:
        """Consecutive batches of `size` frames; the last one may be shorter. Each call starts anew."""


class MotionTable(Motion):
    """The parameters of the whole driver at once."""

    def __init__(self, parameters: Parameters, fps: Fraction, extend: str = "loop") -> None:
        super().__init__(fps, length(parameters), extend)
        self.parameters = parameters

    def batches(self, size: int) -> Generator[Parameters]:
        for start in range(0, self.n_frames, size):
            yield part(self.parameters, start, start + size)


class MotionStream(Motion):
    """Parameters made while the driver is read: `make` gives a new iterator over pieces of any length."""

    def __init__(
        self, make: Callable[[], Iterator[Parameters]], fps: Fraction, n_frames: int, extend: str = "loop"
    ) -> None:
        super().__init__(fps, n_frames, extend)
        self._make = make

    def batches(self, size: int) -> Generator[Parameters]:
        held: Parameters | None = None
        for piece in self._make():
            held = piece if held is None else {n: torch.cat([v, piece[n]]) for n, v in held.items()}
            while length(held) >= size:
                yield part(held, 0, size)
                held = part(held, size, length(held))
        if held is not None and length(held):
            yield held
