"""An accelerator that is simulated: its tensors say `cuda:0`, and their values lie on the host.

For machines without one. What a real device refuses is refused: tensors of the device and of the host in one operation,
NumPy arrays of its tensors, and float64, which Apple's does not have. Speed, memory, precisions lower than float32, and
operators that a device lacks cannot be seen here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda:0")

# Functions that take tensors of the device and of the host, beside indexing by tensors of the host.
_MIXING = {"copy_", "__set__"}


class OnDevice(Tensor):
    """A tensor of the device; `host_values` are its values."""

    host_values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnDevice:
        if values.dtype == torch.float64:
            raise TypeError("the device has no float64")
        like = {"strides": values.stride(), "storage_offset": values.storage_offset(), "dtype": values.dtype}
        made: OnDevice = Tensor._make_wrapper_subclass(cls, values.size(), device=DEVICE, **like)
        made.host_values = values
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # How `nn.Parameter` copies what it is given; all else happens in `_Simulation`.
        assert func is torch.ops.aten.detach.default, func
        return OnDevice(args[0].host_values)


class _Simulation(TorchFunctionMode):
    """Every function of the library is evaluated on the host, and its result is of the device of its arguments."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(isinstance(t, OnDevice) for t in tensors) and not _is_device(kwargs.get("device")):
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:
            return DEVICE
        if func is Tensor.cpu:
            return args[0].host_values.clone()
        if func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func is torch._has_compatible_shallow_copy_type:
            return False
        return _evaluated(func, args, kwargs, tensors)


def _evaluated(func: Callable[..., Any], args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
    of_device = {id(t.host_values): t for t in tensors if isinstance(t, OnDevice)}
    if of_device:
        _refuse_mixture(func, args, tensors)
    if asked := kwargs.get("device"):
        kwargs = kwargs | {"device": torch.device("cpu")}
    result = func(*tree_map(_on_host, args), **tree_map(_on_host, kwargs))

    # Sizes, which `tree_map` would make plain tuples of, are nothing of the device's.
    if isinstance(result, torch.Size) or (asked and not _is_device(asked)):
        return result

    def returned(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        # What is changed in place stays the tensor that it was.
        return of_device[id(leaf)] if id(leaf) in of_device else OnDevice(leaf)

    return tree_map(returned, result)


def _is_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _on_host(leaf: Any) -> Any:
    return leaf.host_values if isinstance(leaf, OnDevice) else leaf


def _refuse_mixture(func: Callable[..., Any], args: Any, tensors: list[Tensor]) -> None:
    """As devices do, with numbers (tensors without dimensions) and indices as exceptions."""
    mixed = any(not isinstance(t, OnDevice) and t.dim() > 0 for t in tensors)
    indexing = func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], OnDevice)
    if mixed and not indexing and func.__name__ not in _MIXING:
        raise RuntimeError(f"{func.__name__}: expected all tensors to be on the same device")


def _moved(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x.to(...)`."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype)
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    before: Tensor = _on_host(x)
    after = before if dtype is None else before.to(dtype)
    if memory_format is not None:
        after = after.contiguous(memory_format=memory_format)
    was_there = isinstance(x, OnDevice)
    is_there = was_there if device is None else _is_device(device)
    if is_there == was_there and after is before:
        return x
    after = after.clone() if after is before else after
    return OnDevice(after) if is_there else after


@contextlib.contextmanager
def simulated_device() -> Iterator[torch.device]:
    """The device exists within, in this thread and in those that are begun there."""
    run = threading.Thread.run

    def within(thread: threading.Thread) -> None:
        with _Simulation():
            run(thread)

    replaced = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with (
            mock.patch.object(threading.Thread, "run", within),
            mock.patch.object(torch.cuda, "get_device_name", return_value="simulated"),
            _Simulation(),
        ):
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(replaced)


def all_on_device(network: nn.Module) -> bool:
    """Whether everything that a network holds is on the device."""
    return all(isinstance(value, OnDevice) for value in (*network.parameters(), *network.buffers()))
