"""Networks without memory, and how they get their weights: published, local, or random."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thg_zoo.errors import CheckpointError, SpecError, nearest
from thg_zoo.spec import Lookalike, Part, Variant, WeightFile
from thg_zoo.weights import layout, seeded
from thg_zoo.weights.checkpoint import Checkpoint, read_checkpoint
from thg_zoo.weights.fetching import WeightRecord
from thg_zoo.weights.layout import extract
from thg_zoo.weights.progress import Progress
from thg_zoo.weights.resolving import RANDOM, find_local, resolve, resolve_file

logger = logging.getLogger(__name__)

STATISTICS = ("running_mean", "running_var", layout.COUNTER, "weight_u", "weight_v")
"""Buffers that training fills. Other buffers are constants of the architecture."""


class _UninitializedOnMeta(TorchFunctionMode):
    """Sends `torch.empty` to the meta device: the values are going to be replaced anyway."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@contextmanager
def empty_networks() -> Iterator[None]:
    """Inside, the parameters of new modules take no memory and no time to initialise.

    They lie on the meta device until `fill_networks` replaces them. Buffers made of values (zeros, ones, grids,
    kernels) are real: under `torch.device("meta")` the ones that no checkpoint holds would be lost.
    """
    with _UninitializedOnMeta():
        yield


def fill_networks(
    networks: Mapping[str, nn.Module],
    variant: Variant,
    weights: str | Path | None = None,
    *,
    base: int = 0,
    gain: float | Mapping[str, float] = 1.0,
    accept_licence: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> list[WeightRecord]:
    """Give every network its weights; what each file was, for the report.

    networks: by the names of the card's parts, built inside `empty_networks()`; weights: None for the published
    set, a folder or a file laid out like it, or "random" (seeded by `base`, scaled by `gain`, one for all or by
    part). Afterwards they are on `device`, in evaluation mode, without gradients. Tensors are mapped from the
    file where its kind permits and never held twice. Raises LicenceError, DownloadError, VerificationError,
    CheckpointError, and SpecError where the card's parts are not the networks.
    """
    _check_parts(networks, variant)
    if weights == RANDOM:
        for name, network in networks.items():
            factor = gain if isinstance(gain, int | float) else gain.get(name, 1.0)
            _fill_random(network, base, factor)
        found = [WeightRecord(name, None, "", RANDOM, RANDOM) for name in networks]
    else:
        found = _fill_from_files(networks, variant, weights, accept_licence, torch.device(device), progress)
    for name, network in networks.items():
        _check_complete(network, name)
        network.to(device).eval().requires_grad_(False)
    return found


def fill(
    network: nn.Module,
    state: Mapping[str, Tensor],
    what: str,
    lookalikes: Iterable[Lookalike] = (),
    device: torch.device | str = "cpu",
) -> None:
    """Replace the network's entries by those of `state`, which must be exactly they. Nothing is copied that need
    not be; each entry keeps the network's type of element.

    `what` names the state dict in errors. Raises CheckpointError with the difference, and with the layout that
    it looks like among `lookalikes`.
    """
    difference = layout.compare(state, network)
    if difference:
        hint = layout.looks_like(state, lookalikes)
        raise CheckpointError(
            f"{what} does not fit the network: {difference}. {hint}".rstrip(), "Use the published file."
        )
    wanted = network.state_dict()
    whole = layout.with_counters(dict(state), wanted)
    ready = {name: _prepared(f"{what} {name}", whole[name], value.dtype, device) for name, value in wanted.items()}
    network.load_state_dict(ready, strict=True, assign=True)


def load_part(path: str | Path, part: Part) -> dict[str, Tensor]:
    """The state dict of one part of a checkpoint file. Raises CheckpointError."""
    return extract(read_checkpoint(path), part)


def identify(
    checkpoint: Checkpoint, files: Iterable[WeightFile], networks: Mapping[str, nn.Module]
) -> list[WeightFile]:
    """Those of `files` whose parts the checkpoint holds, exactly as the networks take them."""
    return [f for f in files if f.parts and all(_fits(checkpoint, p, networks[n]) for n, p in f.parts.items())]


def _fill_from_files(
    networks: Mapping[str, nn.Module],
    variant: Variant,
    weights: str | Path | None,
    accept_licence: bool,
    device: torch.device,
    progress: Progress | None,
) -> list[WeightRecord]:
    if weights is None or Path(weights).is_dir():
        found = resolve(variant, weights, accept_licence=accept_licence, progress=progress)
    else:
        found = _resolve_single(networks, variant, Path(weights), accept_licence, progress)
    for file in variant.files:
        path = found[file.name].path
        if file.parts and path is not None:
            checkpoint = read_checkpoint(path)
            for name, part in file.parts.items():
                _fill_part(networks, name, checkpoint, part, file, device)
    return list(found.values())


def _fill_part(
    networks: Mapping[str, nn.Module],
    name: str,
    checkpoint: Checkpoint,
    part: Part,
    file: WeightFile,
    device: torch.device,
) -> None:
    state = extract(checkpoint, part)
    try:
        fill(networks[name], state, f"{checkpoint.path}, part {name!r},", file.lookalikes, device)
    except CheckpointError as error:
        fitting = [n for n, other in networks.items() if n != name and not layout.compare(state, other)]
        if fitting:
            raise CheckpointError(f"{error.message} It fits the part {fitting[0]!r}.", error.remedy) from error
        raise


def _resolve_single(
    networks: Mapping[str, nn.Module], variant: Variant, path: Path, accept_licence: bool, progress: Progress | None
) -> dict[str, WeightRecord]:
    """One file given by hand stands for the file of the set that it is; the others come from the hub."""
    chosen = find_local(variant, path)
    if chosen is None:
        fitting = identify(read_checkpoint(path), variant.files, networks)
        chosen = fitting[0] if fitting else next(f for f in variant.files if f.parts)
    return {
        file.name: resolve_file(
            file, path if file is chosen else None, accept_licence=accept_licence, progress=progress
        )
        for file in variant.files
    }


def _fits(checkpoint: Checkpoint, part: Part, network: nn.Module) -> bool:
    try:
        return not layout.compare(extract(checkpoint, part), network)
    except CheckpointError:
        return False


def _prepared(what: str, value: Tensor, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """The tensor as the network keeps it; itself where nothing has to change."""
    if value.is_floating_point() != dtype.is_floating_point:
        raise CheckpointError(f"{what} is {value.dtype} where the network has {dtype}.", "Use the published file.")
    return value.detach().to(device=device, dtype=dtype).contiguous()


def _fill_random(network: nn.Module, base: int, gain: float) -> None:
    """Seeded values for everything that training would set; constants of the architecture stay."""
    state = network.state_dict()
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    constant = {
        name
        for name, value in state.items()
        if name not in parameters and not name.endswith(STATISTICS) and not value.is_meta
    }
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    arrays = seeded.fill_state_dict(shapes, base=base, gain=gain, keep=constant)
    filled = {name: torch.from_numpy(arrays[name]).to(state[name].dtype) for name in shapes if name not in constant}
    network.load_state_dict({**{n: state[n] for n in constant}, **filled}, strict=True, assign=True)


def _check_parts(networks: Mapping[str, nn.Module], variant: Variant) -> None:
    listed = [name for file in variant.files for name in file.parts]
    for name in listed:
        if name not in networks:
            raise SpecError(f"The card of {variant.name!r} has the part {name!r}.", nearest(name, networks))
    for name in networks:
        if name not in listed:
            raise SpecError(f"No file of {variant.name!r} fills the network {name!r}.", nearest(name, listed))


def _check_complete(network: nn.Module, name: str) -> None:
    for entry, value in [*network.named_parameters(), *network.named_buffers()]:
        if value.is_meta:
            raise CheckpointError(
                f"Nothing fills {entry!r} of the network {name!r}.", "Build it inside weights.empty_networks()."
            )
