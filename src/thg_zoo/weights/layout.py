"""From a checkpoint's nested names to one network's state dict, and what is wrong where the two do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thg_zoo.errors import CheckpointError, nearest
from thg_zoo.spec import Lookalike, Part
from thg_zoo.weights.checkpoint import Checkpoint

SHOWN = 4
"""Names that a difference lists of each sort; the rest is counted."""

COUNTER = "num_batches_tracked"
"""Steps that a batch norm has seen in training: of no use later, and absent from old or converted files."""


@dataclass(frozen=True)
class Difference:
    """How a state dict differs from what a network takes: names, and (name, shape in the file, shape wanted)."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        """The difference in a sentence or two."""
        shapes = [f"{name} {list(found)} instead of {list(wanted)}" for name, found, wanted in self.misshapen]
        parts = [
            _listed("missing", self.missing),
            _listed("unexpected", self.unexpected),
            _listed("of another shape", shapes),
        ]
        return "; ".join(filter(None, parts))


def extract(checkpoint: Checkpoint, part: Part) -> dict[str, Tensor]:
    """The state dict of the part: {name in the network: tensor}.

    A file that holds nothing but tensors at its top (a conversion, a TorchScript archive, a state dict saved
    alone) is the state dict itself, whatever `part.at` says, less `part.flat_prefix`. Raises CheckpointError where the
    part is absent.
    """
    node: Any = checkpoint.tree
    path = [key for key in part.at.split("/") if key]
    prefix = part.prefix
    if _is_flat(node) and path and path[0] not in node:
        prefix = part.flat_prefix or prefix
    else:
        for key in path:
            if not isinstance(node, Mapping) or key not in node:
                keys = [str(k) for k in node] if isinstance(node, Mapping) else []
                raise CheckpointError(
                    f"{checkpoint.path} has no {part.at!r} in it.", nearest(key, keys[:20]) or "Use the published file."
                )
            node = node[key]
    if not isinstance(node, Mapping):
        raise CheckpointError(f"{checkpoint.path} has no state dict at {part.at!r}.", "Use the published file.")
    tensors = {str(name): value for name, value in node.items() if isinstance(value, Tensor)}
    chosen = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    used = {name: value for name, value in chosen.items() if not name.startswith(part.unused)}
    # At the beginning and behind a dot alone: `module.` is no part of the name `flow_module.conv`.
    removed = re.compile(rf"(?:^|(?<=\.)){re.escape(part.remove)}")
    return {removed.sub("", name): value for name, value in used.items()}


def compare(state: Mapping[str, Tensor], network: nn.Module) -> Difference:
    """How `state` differs from the entries the network takes.

    Neither a missing batch counter nor a constant that the network makes itself is a difference.
    """
    wanted = network.state_dict()
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    state = without_constants(state, network)
    return Difference(
        missing=tuple(n for n in wanted if n not in state and not n.endswith(COUNTER)),
        unexpected=tuple(n for n in state if n not in wanted),
        misshapen=tuple(
            (n, tuple(v.shape), shapes[n]) for n, v in state.items() if n in shapes and tuple(v.shape) != shapes[n]
        ),
    )


def looks_like(state: Mapping[str, Tensor], lookalikes: Iterable[Lookalike]) -> str:
    """A sentence that names the known layout to which the entries belong, or ""."""
    for known in lookalikes:
        value = state.get(known.key)
        if value is not None and known.shape in {None, tuple(value.shape)}:
            return f"This looks like {known.what}."
    return ""


def without_constants(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`state` less the buffers that the network does not keep in its own state dict.

    TorchScript archives hold these too, and so do files of older versions of a network.
    """
    own = {name for name, _ in network.named_buffers()} - set(network.state_dict())
    return {name: value for name, value in state.items() if name not in own}


def with_counters(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with zeros for the batch counters it lacks."""
    absent = [name for name in wanted if name.endswith(COUNTER) and name not in state]
    return state | {name: torch.zeros((), dtype=torch.int64) for name in absent}


def _is_flat(tree: Mapping[Any, Any]) -> bool:
    return bool(tree) and all(isinstance(value, Tensor) for value in tree.values())


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"
