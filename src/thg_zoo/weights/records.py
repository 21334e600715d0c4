"""Small JSON records that several processes read and change."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def read(path: Path) -> Record:
    """The record's entries; none if it does not exist or is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("The record %s cannot be read (%s): it is taken as empty.", path, error)
        return {}
    return data if isinstance(data, dict) else {}


def change(path: Path, edit: Callable[[Record], None]) -> None:
    """Apply `edit` to the record's entries and write them, under a lock and all at once. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(path.name + ".lock")):
        data = read(path)
        edit(data)
        write_atomically(path, json.dumps(data, indent=1, sort_keys=True).encode())


def remember(path: Path, edit: Callable[[Record], None]) -> bool:
    """As `change`, for what may be forgotten: False where the folder cannot be written (a shared cache)."""
    try:
        change(path, edit)
    except OSError as error:
        logger.info("The record %s cannot be written: %s.", path, error)
        return False
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Write the whole file or nothing. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for other processes as long as they need."""
    lock = acquire(path)
    try:
        yield
    finally:
        lock.release()


def acquire(path: Path) -> BaseFileLock:
    """The lock file `path`, held until it is released. Raises OSError where it cannot be written."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logger.info("Waiting for another process that holds %s.", path)
        lock.acquire()
    return lock
