"""Attention whose map is never held as a whole, and the products that it takes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# What of the map is held at once: 16 MB in float32, about a processor's last cache.
_ENTRIES_AT_ONCE = 2**22
# From so many pictures on PyTorch gives 1x1 convolutions to oneDNN however many threads there are.
_PICTURES = 16


def turns(queries: int, keys: int) -> Iterator[slice]:
    """The queries in turns, so many at once that what is held of the map stays in a processor's cache."""
    rows = max(1, _ENTRIES_AT_ONCE // keys)
    for start in range(0, queries, rows):
        yield slice(start, start + rows)


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `F.linear` computes: rows `[N, C]`, weight `[O, C]`, bias `[O]` to `[N, O]`.

    On CPUs as a convolution: PyTorch gives convolutions to oneDNN and products of matrices to the BLAS it was built
    with, which reaches less of some processors (MKL on AMD's: a quarter to a third less was measured).
    """
    if rows.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return F.linear(rows, weight, bias)
    pictures = _PICTURES if len(rows) % _PICTURES == 0 else 1
    maps = rows.reshape(pictures, -1, 1, rows.shape[1]).permute(0, 3, 1, 2)
    return F.conv2d(maps, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(len(rows), -1)


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
    """softmax(scale query key^T) value: `[B, N, d]`, `[B, M, d]`, `[B, M, C]` to `[B, N, C]`; any C.

    Queries are taken in turns; a fused kernel of the library would do it for d = C alone, and no faster.
    """
    out = value.new_empty(len(value), query.shape[1], value.shape[2])
    for queries, keys, values, result in zip(query, key * scale, value.mT.contiguous(), out, strict=True):
        for some in turns(len(queries), len(keys)):
            result[some] = linear(torch.softmax(linear(queries[some], keys), dim=1), values)
    return out
