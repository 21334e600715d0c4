"""Whether a file is still the one that was read: by size and time, and by its content where the time alone differs.

Looking at size and time costs microseconds, so that a restart can do it for every line of a long manifest. A file
that was copied, checked out again or touched has another time and the same content: then its hash decides, which
is computed when the file is used and when it is needed, never for all files ahead.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from thg_zoo.jobs import storage

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Identity:
    """A file as it was: size in bytes, `mark` (time of change in ns; for a URL what its storage offers: ETag, ...),
    sha256 (local files only)."""

    size: int
    mark: str
    sha256: str = ""


def identify(path: str) -> Identity:
    """What the file is now, with its hash. Raises MediaError if it is missing."""
    state = storage.state(path)
    return Identity(state.size, state.mark, "" if storage.is_remote(path) else _sha256(path, state.size, state.mark))


def is_same(path: str, recorded: Identity) -> bool:
    """Whether the file at `path` has the content that was recorded. A missing file has not."""
    state = storage.find(path)
    if state is None or state.size != recorded.size:
        return False
    if state.mark == recorded.mark:
        return True
    return bool(recorded.sha256) and _sha256(path, state.size, state.mark) == recorded.sha256


@lru_cache(maxsize=4096)
def _sha256(path: str, size: int, mark: str) -> str:  # noqa: ARG001 (size and mark are part of what is remembered)
    state = hashlib.sha256()
    with storage.local_path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()
