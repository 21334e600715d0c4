"""The published layouts (tests/golden/NAME.layout.json: file, part, entry, shape) and state-dict round trips."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from parity import GOLDEN

Layout = dict[str, dict[str, dict[str, list[int]]]]


@cache
def load_layout(model: str) -> Layout:
    layout: Layout = json.loads((GOLDEN / f"{model}.layout.json").read_text(encoding="utf-8"))
    return layout


def assert_layout(model: str, file: str, part: str, make: Callable[[], nn.Module]) -> None:
    """A network's entries are exactly the published ones, and every one of them can be written and read back."""
    published = load_layout(model)[file][part]
    with torch.device("meta"):
        network = make()
    state = network.state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == published
    assert {n for n, t in state.items() if t.dtype != torch.float32} == {n for n in published if "num_batches" in n}
    fresh = {name: torch.empty(shape, dtype=state[name].dtype) for name, shape in published.items()}
    network.load_state_dict(fresh, strict=True, assign=True)
    assert all(tensor is not None and not tensor.is_meta for tensor in network.state_dict().values())
    assert {n: t.data_ptr() for n, t in network.state_dict().items()} == {n: t.data_ptr() for n, t in fresh.items()}
