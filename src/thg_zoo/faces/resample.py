"""Crops in torch: many at once, from one or many pictures, on any device."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thg_zoo.faces.transforms import Border, Matrix, after_shrinking, invert, shrink_factor

_PADDING = {"edge": "border", "black": "zeros"}


def sample_crops(
    pictures: Tensor,
    matrices: ArrayLike,
    size: tuple[int, int],
    owner: ArrayLike | None = None,
    border: Border = "edge",
    origins: ArrayLike | None = None,
) -> Tensor:
    """Crops [M, C, h, w] of `size` (h, w), float32: `matrices` [M, 2, 3] map pictures to crops (see `transforms`).

    pictures: float [N, C, H, W]; owner: [M] which picture each crop is of (None: picture 0 if there is one,
    else crop i is of picture i). origins: [M, 2] whole x and y of the crop's first pixel in crop coordinates,
    to compute a window of a large crop only (None: 0, 0). Bilinear as `F.grid_sample` with
    `align_corners=False`, after averaging over `shrink_factor` pixels. A crop does not depend on the others.
    """
    m = np.asarray(matrices, np.float64).reshape(-1, 2, 3)
    starts = np.zeros((len(m), 2)) if origins is None else np.asarray(origins, np.float64)
    if owner is None:
        index = np.arange(len(m)) if len(pictures) > 1 else np.zeros(len(m), np.int64)
    else:
        index = np.asarray(owner, np.int64)
    crops = pictures.new_empty((len(m), pictures.shape[1], *size), dtype=torch.float32)
    factors = shrink_factor(m)
    for factor in np.unique(factors):
        of_factor = np.flatnonzero(factors == factor)
        users, counts = np.unique(index[of_factor], return_counts=True)
        # Pictures with equally many crops share a call: their crops are stacked into one tall grid.
        for count in np.unique(counts):
            owners = users[counts == count]
            rows = np.concatenate([of_factor[index[of_factor] == o] for o in owners])
            source = _shrunk(_select(pictures, owners), int(factor))
            back = invert(after_shrinking(m[rows], int(factor)))
            grid = _grid(back, starts[rows], size, source).reshape(len(owners), -1, size[1], 2)
            part = F.grid_sample(source, grid, "bilinear", _PADDING[border], align_corners=False)
            part = part.view(len(owners), -1, int(count), *size).transpose(1, 2).flatten(0, 1)
            if len(rows) == len(m) and np.array_equal(rows, np.arange(len(m))):
                return part
            crops[torch.from_numpy(rows).to(crops.device)] = part
    return crops


def _select(pictures: Tensor, owners: NDArray[np.int64]) -> Tensor:
    if not np.array_equal(owners, np.arange(len(pictures))):
        pictures = pictures[torch.from_numpy(owners).to(pictures.device)]
    return pictures.float()


def _shrunk(pictures: Tensor, factor: int) -> Tensor:
    """Averages over factor x factor pixels; the last row and column are repeated where they do not suffice."""
    if factor == 1:
        return pictures
    h, w = pictures.shape[-2:]
    return F.avg_pool2d(F.pad(pictures, (0, -w % factor, 0, -h % factor), "replicate"), factor)


def _grid(back: Matrix, starts: NDArray[np.float64], size: tuple[int, int], source: Tensor) -> Tensor:
    """Sampling positions [M, h, w, 2] in the coordinates of `F.grid_sample`.

    A position is a term of the column plus a term of the row. Both are made in float64 on the host, so that
    they are exact on devices that have no float64, and equal for one pixel whatever window it is computed in.
    Crops that are all sampled alike share one set.
    """
    count = len(back)
    if np.all(back == back[0]) and np.all(starts == starts[0]):
        back, starts = back[:1], starts[:1]
    x = starts[:, :1] + np.arange(size[1])
    y = starts[:, 1:] + np.arange(size[0])
    extent = np.array([source.shape[-1], source.shape[-2]], np.float64)
    columns = back[:, None, :, 0] * x[:, :, None] + back[:, None, :, 2]
    rows = back[:, None, :, 1] * y[:, :, None]
    columns = (2 * columns + 1) / extent - 1
    rows = 2 * rows / extent
    host = [torch.from_numpy(a.astype(np.float32)).to(source.device, non_blocking=True) for a in (columns, rows)]
    return (host[0][:, None] + host[1][:, :, None]).expand(count, -1, -1, -1)
