"""Tensors from raw bytes, by the conventions of torch's own pickles: storages, and views into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from thg_zoo.errors import CheckpointError
from thg_zoo.weights.unpickler import Global, StandIn

STORAGE_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class StorageType:
    """Stands for a class such as torch.FloatStorage: all that a file says by it is the type of the elements."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class Storage:
    """Bytes of a file and the type of their elements."""

    __slots__ = ("data", "dtype")

    def __init__(self, data: torch.UntypedStorage, dtype: torch.dtype) -> None:
        self.data = data
        self.dtype = dtype

    def view(self, offset: int, size: Sequence[int], stride: Sequence[int]) -> torch.Tensor:
        """The tensor of `size` and `stride` that begins at element `offset`. Its bytes are not copied.

        Raises CheckpointError where it would reach beyond the storage.
        """
        try:
            # An empty storage would grow, with whatever lies in memory, where others refuse.
            if math.prod(size) and not self.data.nbytes():
                raise RuntimeError("the storage is empty")
            return torch.empty(0, dtype=self.dtype).set_(self.data, offset, tuple(size), tuple(stride))
        except (RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"The checkpoint is damaged: a tensor of shape {list(size)} does not fit into its storage.",
                "Fetch the file again.",
            ) from error


def storage_types() -> dict[Global, Any]:
    """Stand-ins for torch's storage classes."""
    return {("torch", name): StorageType(dtype) for name, dtype in STORAGE_TYPES.items()}


def rebuilders() -> dict[Global, Callable[..., Any]]:
    """Stand-ins for the functions that pickled tensors name."""
    return {
        ("torch._utils", "_rebuild_tensor_v2"): StandIn(_rebuild_tensor),
        ("torch._utils", "_rebuild_tensor"): StandIn(_rebuild_tensor),
        ("torch._utils", "_rebuild_parameter"): StandIn(_rebuild_parameter),
    }


def storage_type(value: Any) -> torch.dtype:
    """The element type that a pickle gave. Raises CheckpointError for anything else."""
    if not isinstance(value, StorageType):
        raise CheckpointError("The checkpoint is damaged: a storage has no type.", "Fetch the file again.")
    return value.dtype


def _rebuild_tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> torch.Tensor:
    if not isinstance(storage, Storage):
        raise CheckpointError("The checkpoint is damaged: a tensor has no storage.", "Fetch the file again.")
    return storage.view(offset, size, stride)


def _rebuild_parameter(data: torch.Tensor, *_: Any) -> torch.Tensor:
    return data
