"""Comparing a network with the figures that the published implementation returned.

A golden file (tests/golden/NAME.json) holds cases: inputs by name, shape and range, drawn from their names
alone, and a summary of each output: shape, moments, extremes, and values at fixed positions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thg_zoo.weights.seeded import uniform

GOLDEN = Path(__file__).parent / "golden"
NETWORK_TOLERANCE = 1e-4
CHAIN_TOLERANCE = 1e-3


@cache
def load_golden(name: str) -> dict[str, Any]:
    """The golden file of a model."""
    data: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return data


def draw_inputs(case: str, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """The inputs of a case, each fixed by the case's and its own name."""
    return {name: uniform(f"{case}:{name}", i["shape"], i["low"], i["high"]) for name, i in inputs.items()}


def summarize(name: str, array: ArrayLike, samples: int = 128) -> dict[str, Any]:
    """Shape, mean, standard deviation, extremes and `samples` values at positions fixed by `name`."""
    shape = list(np.shape(array))
    flat = np.asarray(array, dtype=np.float64).reshape(-1)
    index = (uniform("index:" + name, (samples,), 0.0, 1.0).astype(np.float64) * flat.size).astype(np.int64)
    index = np.minimum(index, flat.size - 1)
    return {
        "shape": shape,
        "mean": float(flat.mean()),
        "std": float(flat.std()),
        "min": float(flat.min()),
        "max": float(flat.max()),
        "samples": [float(f"{x:.7g}") for x in flat[index]],
    }


def difference(name: str, array: ArrayLike, golden: Mapping[str, Any]) -> float:
    """Largest error over samples, mean and standard deviation, relative to the golden standard deviation.

    An output that is constant by nature (standard deviation 0) has to be equal: any error is huge.
    """
    shape: Sequence[int] = list(np.shape(array))
    if shape != golden["shape"]:
        raise AssertionError(f"{name}: shape {shape}, expected {golden['shape']}")
    mine = summarize(name, array, len(golden["samples"]))
    error = float(np.max(np.abs(np.array(mine["samples"]) - np.array(golden["samples"]))))
    error = max(error, abs(mine["mean"] - golden["mean"]), abs(mine["std"] - golden["std"]))
    return error / max(golden["std"], 1e-8)
