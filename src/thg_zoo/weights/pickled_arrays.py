"""Pickles of numpy arrays, numbers, texts, lists, tuples and dicts, read without running anything.

numpy's own classes are never handed to the pickle: stand-ins collect type, shape and bytes, and arrays of plain numbers
are made of them afterwards.
"""

from __future__ import annotations

import math
import pickle
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from thg_zoo.weights.unpickler import Global, RestrictedUnpickler, StandIn, containers

_NUMBERS = "fiub"


class _Type:
    """What stands for numpy.dtype: one of plain numbers, or a refusal."""

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or text[:1] not in _NUMBERS or not text[1:].isdecimal():
            raise pickle.UnpicklingError(f"an array of type {code!r} holds no plain numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """What stands for a numpy.ndarray that is being filled."""

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, column_major, data = state
        self.fill(data, kind, shape, "F" if column_major else "C")

    def fill(self, data: Any, kind: Any, shape: Any, order: Any) -> _Array:
        """The array of these bytes."""
        if not isinstance(kind, _Type) or not isinstance(data, (bytes, bytearray)) or order not in ("C", "F"):
            raise pickle.UnpicklingError("an array that is not made of bytes")
        if len(data) != math.prod(shape) * kind.dtype.itemsize:
            raise pickle.UnpicklingError("an array whose bytes do not fit its shape")
        flat = np.frombuffer(data, kind.dtype).astype(kind.dtype.newbyteorder("="))
        self.array = flat.reshape(shape, order=order)
        return self


def load_arrays(stream: IO[bytes]) -> Any:
    """The pickle's tree with its arrays. Raises ForbiddenGlobal for a global that is none of numpy's own, and what
    damaged pickles raise (`checkpoint.DAMAGE`).
    """
    return _finished(RestrictedUnpickler(stream, _allowed()).load())


def _allowed() -> dict[Global, Any]:
    allowed: dict[Global, Any] = dict(containers())
    for package in ("numpy.core", "numpy._core"):
        allowed[f"{package}.multiarray", "_reconstruct"] = StandIn(_Array)
        allowed[f"{package}.multiarray", "scalar"] = StandIn(_scalar)
        allowed[f"{package}.numeric", "_frombuffer"] = StandIn(_from_buffer)
    allowed["numpy", "ndarray"] = StandIn(_Array)
    allowed["numpy", "dtype"] = StandIn(_Type)
    # How older protocols write bytes.
    allowed["_codecs", "encode"] = StandIn(_encoded)
    return allowed


def _scalar(kind: _Type, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def _from_buffer(*args: Any) -> _Array:
    return _Array().fill(*args)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _finished(tree: Any) -> Any:
    """The tree with arrays in the place of their stand-ins."""
    if isinstance(tree, _Array):
        if tree.array is None:
            raise pickle.UnpicklingError("an array without contents")
        return tree.array
    if isinstance(tree, dict):
        return {name: _finished(value) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_finished(value) for value in tree)
    return tree
