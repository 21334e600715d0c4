"""Attention whose map is never held as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# What of the map is held at once: 8 MB in float32, which stays in a processor's cache.
_ENTRIES_AT_ONCE = 2**21


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
    for picture in range(len(value)):
        keys = key[picture].mT * scale
        for chunk in turns(query.shape[1], key.shape[1]):
            torch.matmul(torch.softmax(query[picture, chunk] @ keys, dim=1), value[picture], out=out[picture, chunk])
    return out
