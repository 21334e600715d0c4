"""Files wherever they lie: local paths, and URLs of every storage that fsspec knows (s3, gs, hf, ...).

Local files are used as they are. Those behind a URL are copied to the worker that needs them, and outputs are
uploaded when they are complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from thg_zoo.errors import MediaError, OutputError, ThgZooError
from thg_zoo.media.outputs import failed_write, move_into_place

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(://|::)")
_LOCAL = ("file://", "local://")
_MARKS = ("ETag", "etag", "e_tag", "md5Hash", "sha256", "blob_id", "oid", "mtime", "LastModified", "last_modified")
_KEPT_BYTES = 2_000_000_000
_KEPT_OF_NAME = 48


@dataclass(frozen=True)
class State:
    """A file as a glance shows it: bytes, and what changes when it is written (see `Identity`)."""

    size: int
    mark: str


def is_remote(path: str) -> bool:
    """Whether `path` is a URL of anything but the local file system."""
    return bool(_URL.match(path)) and not path.startswith(_LOCAL)


def local_path(path: str) -> Path:
    """The path that a local path or a `file://` URL names."""
    return Path(_plain(path))


def join(base: str, name: str) -> str:
    """`name` seen from the folder `base`; an absolute path or a URL stands for itself."""
    if _URL.match(name):
        return name
    if is_remote(base):
        return f"{base.rstrip('/')}/{name}"
    return os.path.normpath(os.path.join(_plain(base), name))  # noqa: PTH118


def find(path: str) -> State | None:
    """The state of a file, None if there is none. Raises MediaError if the storage cannot be asked."""
    if not is_remote(path):
        try:
            status = os.stat(_plain(path))  # noqa: PTH116 (a restart asks a hundred thousand times: Path is slower)
        except (OSError, ValueError):
            return None
        return State(status.st_size, str(status.st_mtime_ns)) if stat.S_ISREG(status.st_mode) else None
    with _asking(path):
        fs, inner = _open(path)
        try:
            info = fs.info(inner)
        except FileNotFoundError:
            return None
    if info.get("type") == "directory":
        return None
    mark = next((str(info[key]) for key in _MARKS if info.get(key)), "")
    return State(int(info.get("size") or 0), mark)


def state(path: str) -> State:
    """The state of a file. Raises MediaError if there is none."""
    found = find(path)
    if found is None:
        raise MediaError(f"There is no file {path!r}.", "Check the path.")
    return found


def open_binary(path: str) -> IO[bytes]:
    """The file, open for reading. Raises MediaError."""
    state(path)
    if not is_remote(path):
        return local_path(path).open("rb")
    with _asking(path):
        fs, inner = _open(path)
        return cast("IO[bytes]", fs.open(inner, "rb"))


def total_size(path: str) -> int | None:
    """Bytes of a file, or of all files of a folder; None if there is nothing."""
    if is_remote(path):
        found = find(path)  # what `list_folder` has asked for answers this at once
        if found is not None:
            return found.size
        with _asking(path):
            fs, inner = _open(path)
            return int(fs.du(inner)) if fs.isdir(inner) else None
    try:
        status = os.stat(_plain(path))  # noqa: PTH116
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        return sum(entry.stat().st_size for entry in os.scandir(_plain(path)))
    except OSError:
        return None


def is_folder(path: str) -> bool:
    """Whether there is a folder of that name. Raises MediaError if the storage cannot be asked."""
    if not is_remote(path):
        return local_path(path).is_dir()
    with _asking(path):
        fs, inner = _open(path)
        return bool(fs.isdir(inner))


def matches(base: str, name: str) -> list[str]:
    """What a pattern with `*`, `?`, `[...]` or `**` names, sorted; the path itself if it is that of a file. `name` is
    seen from the folder `base`."""
    pattern = join(base, name)
    if find(pattern) is not None:
        return [pattern]
    if not is_remote(pattern):
        import glob

        pattern = join(glob.escape(base), name)  # the folder's own name may have brackets
        return sorted(p for p in glob.iglob(pattern, recursive=True) if Path(p).is_file())  # noqa: PTH207
    with _asking(pattern):
        fs, inner = _open(pattern)
        return sorted(fs.unstrip_protocol(found) for found in fs.glob(inner))


def list_folder(path: str) -> None:
    """Ask for the folder of a URL at once: storages remember it, and then answer for each of its files."""
    with contextlib.suppress(MediaError), _asking(path):
        fs, inner = _open(path)
        folder = inner.rpartition("/")[0]
        fs.invalidate_cache(folder)
        fs.ls(folder)


def publish(finished: Path, target: str) -> None:
    """Move a finished local file or folder to `target`, where it appears whole. Raises OutputError.

    It is on the disk when this returns: a power failure leaves the old state or the new one. What is put on a
    storage appears whole where the storage does so (s3, gs and hf do).
    """
    if is_remote(target):
        _upload(finished, target)
        return
    path = local_path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in [finished, *(finished.iterdir() if finished.is_dir() else ())]:
            _flush(part)
    except OSError as error:
        raise failed_write(path, error) from error
    move_into_place(finished, path, overwrite=True)
    _flush(path.parent)


def upload(local: Path, target: str) -> None:
    """Copy a local file to a URL. Raises OutputError."""
    _upload(local, target)


def download(path: str, local: Path) -> bool:
    """Copy a file of a storage to `local`; False if there is none. Raises MediaError."""
    if find(path) is None:
        return False
    with _asking(path):
        fs, inner = _open(path)
        fs.get_file(inner, str(local))
    return True


class LocalCopies:
    """Files of storages, copied to a folder when they are needed; the least recently used are removed.

    A local file is not copied. The file that was asked for last is never removed.
    """

    def __init__(self, folder: Path, limit: int = _KEPT_BYTES) -> None:
        self._folder = folder
        self._limit = limit
        self._kept: OrderedDict[tuple[str, State], Path] = OrderedDict()

    def path(self, source: str) -> str:
        """A local path with the content of `source`. Raises MediaError."""
        if not is_remote(source):
            return str(local_path(source))
        now = state(source)
        if (source, now) not in self._kept:
            name = hashlib.sha256(f"{source} {now.mark}".encode()).hexdigest()[:16]
            # The end of the name alone: signed addresses are longer than names of files may be.
            copy = self._folder / f"{name}-{PurePosixPath(source.partition('?')[0]).name[-_KEPT_OF_NAME:]}"
            self._folder.mkdir(parents=True, exist_ok=True)
            download(source, copy)
            self._kept[source, now] = copy
        self._kept.move_to_end((source, now))
        self._make_room()
        return str(self._kept[source, now])

    def _make_room(self) -> None:
        while len(self._kept) > 2 and sum(copy.stat().st_size for copy in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)[1].unlink(missing_ok=True)


def _plain(path: str) -> str:
    return path.partition("://")[2] if path.startswith(_LOCAL) else path


def _flush(path: Path) -> None:
    """Make sure that a file or the entries of a folder survive a power failure."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(path: str) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    fs, inner = url_to_fs(path)
    return fs, str(inner)


def _upload(finished: Path, target: str) -> None:
    try:
        with _asking(target):
            fs, inner = _open(target)
            if finished.is_dir():
                fs.makedirs(inner, exist_ok=True)
                fs.put([str(p) for p in sorted(finished.iterdir())], inner + "/")
            else:
                fs.makedirs(inner.rpartition("/")[0], exist_ok=True)
                fs.put_file(str(finished), inner)
    except MediaError as error:
        raise OutputError(error.message, error.remedy) from error


@contextlib.contextmanager
def _asking(path: str) -> Iterator[None]:
    """What a storage and its driver raise, which is anything, as one error that names the file."""
    try:
        yield
    except ThgZooError:
        raise
    except ImportError as error:
        raise MediaError(f"{path!r} cannot be reached: {error}.", "Install the package that it names.") from error
    except Exception as error:
        text: Any = str(error) or type(error).__name__
        raise MediaError(f"{path!r} cannot be reached: {text}.", "Check the address, rights and network.") from error
