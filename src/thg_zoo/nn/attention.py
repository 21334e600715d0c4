"""Attention whose map is never held as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from thg_zoo.nn.linear import linear

# What of the map is held at once: 16 MB in float32, about a processor's last cache.
_ENTRIES_AT_ONCE = 2**22


def turns(queries: int, keys: int) -> Iterator[slice]:
    """The queries in turns, so many at once that what is held of the map stays in a processor's cache."""
    rows = max(1, _ENTRIES_AT_ONCE // keys)
    for start in range(0, queries, rows):
        yield slice(start, start + rows)


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax(scale query key^T) value: `[B, N, d]`, `[B, M, d]`, `[B, M, C]` to `[B, N, C]`; any C.

    Queries are taken in turns; a fused kernel of the library would do it for d = C alone, and no faster.
    """
    out = value.new_empty(len(value), query.shape[1], value.shape[2])
    for queries, keys, values, result in zip(query, key * scale, value.mT.contiguous(), out, strict=True):
        for some in turns(len(queries), len(keys)):
            result[some] = linear(torch.softmax(linear(queries[some], keys), dim=1), values)
    return out
