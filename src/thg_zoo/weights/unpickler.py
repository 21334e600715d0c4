"""Reading pickles without running anything: what a checkpoint may name is a short list, the rest is refused.

torch.load(weights_only=True) does this for torch's own current formats. Here are the layouts it does not read:
TorchScript archives, the tar archives of the first torch releases, and plain pickles of numbers and lists.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from thg_zoo.errors import CheckpointError

Global = tuple[str, str]
Allowed = Mapping[Global, Callable[..., Any]]


class ForbiddenGlobal(CheckpointError):
    """A pickle that needs code to be read. `name` is the global it asks for."""

    def __init__(self, name: str, path: Path | str = "The checkpoint") -> None:
        super().__init__(
            f"{path} needs the pickle global {name!r}, which could run code: it is refused.",
            "Use the published file, or a safetensors copy of it.",
        )
        self.name = name


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that finds nothing but what it is given.

    `allowed`: (module, name) -> what stands for it; `find_other` is asked for every other global and raises
    ForbiddenGlobal unless it knows better; `load_persistent` resolves references to storages.
    """

    def __init__(
        self,
        stream: IO[bytes],
        allowed: Allowed,
        load_persistent: Callable[[Any], Any] | None = None,
        find_other: Callable[[str, str], Any] | None = None,
    ) -> None:
        super().__init__(stream, encoding="utf-8")
        self._allowed = allowed
        self._load_persistent = load_persistent
        self._find_other = find_other or forbid

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global; never an import."""
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        return self._find_other(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """The storage that a reference means."""
        if self._load_persistent is None:
            raise CheckpointError("The pickle refers to storages that are not there.", "Use the published file.")
        return self._load_persistent(pid)


class StandIn:
    """What a permitted global becomes: callable, and without any attribute that a pickle could change."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        """What the global would have returned."""
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"a pickle may not set {name!r} of a function")


def forbid(module: str, name: str) -> Any:
    """Raise ForbiddenGlobal, naming it."""
    raise ForbiddenGlobal(f"{module}.{name}")


def containers() -> dict[Global, Callable[..., Any]]:
    """Stand-ins for the containers of the standard library that state dicts are made of."""
    return {("collections", "OrderedDict"): StandIn(OrderedDict)}


def load_plain(stream: IO[bytes]) -> Any:
    """A pickle of numbers, texts, lists, tuples and dicts alone."""
    return RestrictedUnpickler(stream, containers()).load()
