"""Products of matrices by the faster of a CPU's libraries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# With fewer rows it takes longer to bring the weight into the other library's order than that library saves.
_LEAST_ROWS = 1024
# From so many pictures on PyTorch gives 1x1 convolutions to oneDNN however many threads there are.
_LEAST_PICTURES, _MOST_PICTURES = 16, 128


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `F.linear` computes: rows `[N, C]`, weight `[O, C]`, bias `[O]` to `[N, O]`.

    On CPUs as a convolution: PyTorch gives convolutions to oneDNN and products of matrices to the BLAS it was built
    with, which reaches less of some processors (MKL on AMD's: a quarter to a third less was measured).
    """
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if rows.device.type != "cpu" or len(rows) < _LEAST_ROWS or not has_onednn:
        return F.linear(rows, weight, bias)
    # Only of rows that lie one after the other the convolution keeps the layout.
    maps = rows.contiguous().view(_pictures(len(rows)), -1, 1, rows.shape[1]).permute(0, 3, 1, 2)
    return F.conv2d(maps, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(len(rows), -1)


def _pictures(rows: int) -> int:
    """Into how many equal pictures rows are cut, few but enough; one if that cannot be."""
    return next((n for n in range(_LEAST_PICTURES, _MOST_PICTURES + 1) if rows % n == 0), 1)
