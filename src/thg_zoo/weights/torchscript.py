"""TorchScript archives: parameters and buffers are read, the code that lies beside them is never run.

An archive is a zip of stored records. `data.pkl` pickles the module as nested objects of classes under
`__torch__`, whose attributes are parameters, buffers, submodules and constants; `data/N` are the storages.
Here every such class becomes a bag of attributes, and the tensors in it are named by their path.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from thg_zoo.errors import CheckpointError
from thg_zoo.weights import unpickler
from thg_zoo.weights.tensors import Storage, rebuilders, storage_type, storage_types
from thg_zoo.weights.unpickler import RestrictedUnpickler, StandIn

LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class Bag:
    """An object of a class whose code is not read: its attributes alone."""

    __slots__ = ("attributes",)

    def __init__(self, *_: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


class Archive:
    """The stored records of a torch zip archive, mapped into memory as one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            self._entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            self.pickle = archive.open(self._entry("data.pkl")).read()

    def record(self, name: str) -> torch.UntypedStorage:
        """The bytes of a record, as a view of the file."""
        info = self._entry(name)
        with self._path.open("rb") as file:
            file.seek(info.header_offset)
            header = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        start = info.header_offset + LOCAL_HEADER.size + header[-2] + header[-1]
        data: torch.UntypedStorage = self._bytes[start : start + info.file_size]
        return data

    def _entry(self, name: str) -> zipfile.ZipInfo:
        info = self._entries.get(name)
        if info is None or info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{self._path} is damaged: its record {name!r} is missing.", "Fetch the file again.")
        return info


def read(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a scripted or traced module: {dotted name: tensor}, views of the mapped file.

    Raises CheckpointError where the archive is damaged or names anything but tensors and attributes.
    """
    archive = Archive(path)
    storages: dict[str, Storage] = {}

    def load_storage(reference: Any) -> Storage:
        _, kind, key, _, numel = reference
        if key not in storages:
            dtype = storage_type(kind)
            data = archive.record(f"data/{key}")
            if data.nbytes() < numel * dtype.itemsize:
                raise CheckpointError(f"{path} is damaged: its record {key!r} is cut off.", "Fetch the file again.")
            storages[key] = Storage(data, dtype)
        return storages[key]

    root = RestrictedUnpickler(io.BytesIO(archive.pickle), _allowed(), load_storage, _find_bag).load()
    if not isinstance(root, Bag):
        raise CheckpointError(f"{path} is a TorchScript archive without a module.", "Use the published file.")
    return dict(_tensors(root, ""))


def _allowed() -> dict[unpickler.Global, Any]:
    def first(value: Any, *_: Any) -> Any:
        return value

    typed = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
    lists = {("torch.jit._pickle", name): StandIn(first) for name in typed}
    return {**unpickler.containers(), **storage_types(), **rebuilders(), **lists}


def _find_bag(module: str, name: str) -> Any:
    if module == "__torch__" or module.startswith("__torch__."):
        return Bag
    return unpickler.forbid(module, name)


def _tensors(bag: Bag, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in bag.attributes.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, Bag):
            yield from _tensors(value, f"{prefix}{name}.")
