"""Attention whose map is never held as a whole."""

from __future__ import annotations

import torch
from torch import Tensor

# What of the map is held at once: 8 MB in float32, which stays in a processor's cache.
_ENTRIES_AT_ONCE = 2**21


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax(scale query key^T) value: `[B, N, d]`, `[B, M, d]`, `[B, M, C]` to `[B, N, C]`; any C.

    Queries are taken in turns; a fused kernel of the library would do it for d = C alone, and no faster.
    """
    rows = max(1, _ENTRIES_AT_ONCE // key.shape[1])
    out = value.new_empty(len(value), query.shape[1], value.shape[2])
    for picture in range(len(value)):
        keys = key[picture].mT * scale
        for start in range(0, query.shape[1], rows):
            chunk = slice(start, start + rows)
            torch.matmul(torch.softmax(query[picture, chunk] @ keys, dim=1), value[picture], out=out[picture, chunk])
    return out
