"""From a sequence of coefficients to what a renderer is told of each frame, which depends on 27 of them.

Published programs cut a window of 27 frames for every frame and run the network on each (Ren et al., "PIRenderer",
ICCV 2021; SadTalker took it over). The convolutions have no padding, so that here they run once over the sequence, as
it arrives: the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Frames on either side that count.
REACH = 13
_LAYERS = 3
_SLOPE = 0.1


class SequenceEncoder(nn.Module):
    """Coefficients `[B, rows, T + 26]` to descriptors of T frames, `[B, width, T]`."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(rows, width, 7))
        for i in range(_LAYERS):
            layer = nn.Sequential(nn.LeakyReLU(_SLOPE), nn.Conv1d(width, width, 3, dilation=3))
            self.add_module(f"encoder{i}", layer)

    def forward(self, coefficients: Tensor) -> Tensor:
        x: Tensor = self.first(coefficients)
        for i in range(_LAYERS):
            x = self.get_submodule(f"encoder{i}")(x) + x[:, :, 3:-3]
        return F.avg_pool1d(x, 3, 1)


def sections(pieces: Iterable[Tensor], reach: int = REACH) -> Iterator[Tensor]:
    """A sequence that arrives in pieces `[k, rows]`, with `reach` frames more on either side: `[n + 2 reach, rows]` for
    n frames at a time.

    Beyond its ends the sequence stands still. At most the last piece and 2 reach rows are kept.
    """
    held: Tensor | None = None
    for piece in pieces:
        held = torch.cat([piece[:1].expand(reach, -1) if held is None else held, piece])
        if len(held) > 2 * reach:
            yield held
            held = held[len(held) - 2 * reach :]
    if held is not None and reach:
        yield torch.cat([held, held[-1:].expand(reach, -1)])
