"""Reading a checkpoint file of any published kind without running anything in it."""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from thg_zoo.errors import CheckpointError
from thg_zoo.weights import content, legacy_tar, torchscript, unpickler
from thg_zoo.weights.content import Kind
from thg_zoo.weights.unpickler import ForbiddenGlobal

DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What readers raise on damaged bytes: a file cut or changed anywhere ends in one of these, and no other fault of
theirs can reach this far."""

GLOBAL_IN_MESSAGE = re.compile(r"GLOBAL `?([\w.]+)`?")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: `tree` is a state dict, or nested dicts with state dicts in them.

    Tensors are views of the mapped file where its kind permits (safetensors, torch zip, TorchScript): their
    bytes are read when they are used, and writing to them does not change the file.
    """

    path: Path
    kind: Kind
    tree: Mapping[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The file's contents, recognised by content, not by suffix.

    Raises CheckpointError for a file that is no checkpoint (and says what it is instead), is damaged, or needs
    a pickle global other than those of tensors (`ForbiddenGlobal`, naming it); and where it does not exist.
    """
    path = Path(path)
    try:
        kind = content.kind_of(path)
        if kind is None:
            what = content.disguise(path) or "a file of no known kind"
            raise CheckpointError(f"{path} is not a checkpoint: it is {what}.", "Fetch the published file.")
        tree = READERS[kind](path)
    except ForbiddenGlobal as error:
        raise ForbiddenGlobal(error.name, path) from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} is damaged, or is no {kind.value if kind else 'checkpoint'}: {_first_line(error)}.",
            "Fetch the file again.",
        ) from error
    if not isinstance(tree, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(tree).__name__} instead of named tensors.", "Fetch the published file."
        )
    return Checkpoint(path, kind, tree)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_torch_zip(path: Path) -> Any:
    # torch.load takes a path that ends in .safetensors for such a file, whatever is in it.
    return _read_torch_legacy(path) if path.suffix == ".safetensors" else _load_weights_only(path, mmap=True)


def _read_torch_legacy(path: Path) -> Any:
    with path.open("rb") as stream:
        return _load_weights_only(stream, mmap=False)


def _load_weights_only(source: Path | IO[bytes], mmap: bool) -> Any:
    # Some published files carry the options of their training: an object that holds plain values, and does nothing.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return _load_tensors(source, mmap)


def _load_tensors(source: Path | IO[bytes], mmap: bool) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        named = GLOBAL_IN_MESSAGE.search(str(error))
        if named:
            raise ForbiddenGlobal(named[1]) from error
        raise


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as stream:
        return unpickler.load_plain(stream)


def _read_npz(path: Path) -> dict[str, torch.Tensor]:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def _read_mat(path: Path) -> dict[str, torch.Tensor]:
    """The numeric variables; cells, structs and texts are left out."""
    import numpy as np
    from scipy.io import loadmat

    variables = loadmat(path)
    numeric = {n: v for n, v in variables.items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"}
    return {name: torch.from_numpy(np.ascontiguousarray(_native(value))) for name, value in numeric.items()}


def _native(array: Any) -> Any:
    """The array in this machine's byte order and in a type that torch knows."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.astype("int64") if native.dtype.kind == "u" and native.dtype.itemsize > 1 else native


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


READERS: Mapping[Kind, Callable[[Path], Any]] = {
    Kind.SAFETENSORS: _read_safetensors,
    Kind.TORCH_ZIP: _read_torch_zip,
    Kind.TORCHSCRIPT: torchscript.read,
    Kind.TORCH_LEGACY: _read_torch_legacy,
    Kind.TORCH_TAR: legacy_tar.read,
    Kind.PICKLE: _read_pickle,
    Kind.NPZ: _read_npz,
    Kind.MAT: _read_mat,
}
