"""Deterministic weights from names and shapes alone: what `weights="random"` and the parity tests use.

Every value follows from (base, name), so that the same network is filled alike on every machine, whatever
the order in which its entries are visited.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def uniform(
    name: str, shape: Sequence[int], low: float = -1.0, high: float = 1.0, base: int = 0
) -> NDArray[np.float32]:
    """float32 array of `shape`, uniform in [low, high), fixed by (base, name) alone."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"{base}:{name}".encode())))
    flat = low + (high - low) * generator.random(math.prod(shape))
    return flat.astype(np.float32).reshape(tuple(shape))


def fill(name: str, shape: Sequence[int], base: int = 0, gain: float = 1.0) -> NDArray[np.generic]:
    """The seeded value of the state-dict entry `name`: variance-preserving for weights, near 1 for scales."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(tuple(shape), dtype=np.int64)
    if leaf == "running_var":
        return uniform(name, shape, 0.5, 1.5, base)
    if leaf == "weight_g" or (leaf == "weight" and len(shape) <= 1):
        return uniform(name, shape, 0.8, 1.2, base)
    if leaf == "running_mean" or len(shape) <= 1:
        return uniform(name, shape, -0.1, 0.1, base)
    bound = gain * math.sqrt(3.0 / math.prod(shape[1:]))
    return uniform(name, shape, -bound, bound, base)


def fill_state_dict(
    shapes: Mapping[str, Sequence[int]], base: int = 0, gain: float = 1.0, keep: Collection[str] = ()
) -> dict[str, NDArray[np.generic]]:
    """Seeded arrays for {name: shape}.

    Names in `keep` (buffers whose value the architecture fixes: blur kernels, grids) are left out. The power
    iteration vectors of a spectral norm, `weight_u` and a 1-D `weight_v` beside `weight_orig`, are the
    leading singular vectors of that weight, as they are after training.
    """
    derived = {n for n, s in shapes.items() if n.endswith("weight_u") or (n.endswith("weight_v") and len(s) == 1)}
    filled = {n: fill(n, s, base, gain) for n, s in shapes.items() if n not in keep and n not in derived}
    for name in derived - set(keep):
        if name.endswith("weight_u"):
            stem = name.removesuffix("weight_u")
            lengths = shapes[name][0], shapes[stem + "weight_v"][0]
            filled[name], filled[stem + "weight_v"] = _singular_vectors(filled[stem + "weight_orig"], lengths)
    return filled


def _singular_vectors(
    weight: NDArray[np.generic], lengths: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Leading singular vectors (u, v) of `weight` flattened so that they have the given lengths."""
    axis = next(d for d, n in enumerate(weight.shape) if n == lengths[0] and weight.size // n == lengths[1])
    matrix = np.moveaxis(weight, axis, 0).reshape(lengths).astype(np.float64)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    u, v = left[:, 0], right[0]
    sign = 1.0 if u[np.argmax(np.abs(u))] >= 0 else -1.0
    return (sign * u).astype(np.float32), (sign * v).astype(np.float32)
