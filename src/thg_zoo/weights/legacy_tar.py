"""The tar archives of torch before 0.2: three pickled streams, read with no other global than torch's own types.

`storages`: their number, then per storage (key, device, class), its length, its bytes; then views of them.
`tensors`: their number, then per tensor (key, storage key, class), its dimensions, sizes, strides, offset.
`pickle`: the object, in which persistent references stand for tensors and storages.
"""

from __future__ import annotations

import struct
import tarfile
from pathlib import Path
from typing import IO, Any

import torch

from thg_zoo.errors import CheckpointError
from thg_zoo.weights import unpickler
from thg_zoo.weights.tensors import STORAGE_TYPES, Storage, rebuilders, storage_type, storage_types
from thg_zoo.weights.unpickler import RestrictedUnpickler, StandIn


def read(path: Path) -> Any:
    """The object that was saved. Raises ForbiddenGlobal, and what damaged bytes make tarfile and pickle raise."""
    with tarfile.open(path, "r:") as archive:
        storages = _storages(_member(archive, "storages"))
        known: dict[Any, Any] = {**storages, **_tensors(_member(archive, "tensors"), storages)}
        allowed = {**unpickler.containers(), **storage_types(), **rebuilders()}
        return RestrictedUnpickler(_member(archive, "pickle"), allowed, known.__getitem__).load()


def _storages(stream: IO[bytes]) -> dict[Any, Storage]:
    found: dict[Any, Storage] = {}
    for _ in range(_load(stream)):
        key, _, kind = _load(stream)
        dtype = storage_type(kind)
        (numel,) = struct.unpack("<q", _exactly(stream, 8))
        data = _exactly(stream, numel * dtype.itemsize)
        found[key] = Storage(_untyped(data), dtype)
    for key, root, offset, numel in _load(stream):
        whole = found[root]
        size = whole.dtype.itemsize
        found[key] = Storage(whole.data[offset * size : (offset + numel) * size], whole.dtype)
    return found


def _tensors(stream: IO[bytes], storages: dict[Any, Storage]) -> dict[Any, torch.Tensor]:
    found = {}
    for _ in range(_load(stream)):
        key, storage, _ = _load(stream)
        # The number of dimensions was written as eight bytes, of which four count.
        n_dims, _ = struct.unpack("<ii", _exactly(stream, 8))
        size = struct.unpack(f"<{n_dims}q", _exactly(stream, 8 * n_dims))
        stride = struct.unpack(f"<{n_dims}q", _exactly(stream, 8 * n_dims))
        (offset,) = struct.unpack("<q", _exactly(stream, 8))
        found[key] = storages[storage].view(offset, size, stride)
    return found


def _load(stream: IO[bytes]) -> Any:
    tensor_types = {("torch", name.replace("Storage", "Tensor")): StandIn(tuple) for name in STORAGE_TYPES}
    return RestrictedUnpickler(stream, {**storage_types(), **tensor_types}).load()


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    stream = archive.extractfile(name)
    if stream is None:
        raise CheckpointError(f"The checkpoint is damaged: its member {name!r} is no file.", "Fetch the file again.")
    return stream


def _exactly(stream: IO[bytes], length: int) -> bytes:
    """`length` bytes, which must be there: a length that a damaged file claims allocates nothing."""
    data = stream.read(length) if length > 0 else b""
    if length < 0 or len(data) != length:
        raise EOFError("it ends too early")
    return data


def _untyped(data: bytes) -> torch.UntypedStorage:
    if not data:
        return torch.empty(0).untyped_storage()
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).untyped_storage()
