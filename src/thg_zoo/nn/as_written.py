"""Networks as their papers' code writes them: the measure that faster forms of them are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_WANTED: ContextVar[bool] = ContextVar("networks as written", default=False)


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Inside, in this thread, models that are loaded and prepared keep their layers: no norm is folded into a
    convolution, and nothing is replaced by a faster form. They compute the same, up to rounding."""
    before = _WANTED.set(True)
    try:
        yield
    finally:
        _WANTED.reset(before)


def kept_as_written() -> bool:
    """Whether layers are to stay as they are."""
    return _WANTED.get()
