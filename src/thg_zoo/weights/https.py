"""Release assets and other plain addresses: fetched into a folder beside the hub's cache.

huggingface_hub's own transfer function moves the bytes (retries, ranges, proxies, HF_HUB_OFFLINE). A transfer
that was cut off is taken up where it ended, by this process or a later one; the file gets its name only when
its hash is right.
"""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from thg_zoo.errors import DownloadError, VerificationError
from thg_zoo.spec import FileSource, WeightFile
from thg_zoo.weights import folders, hub, verification
from thg_zoo.weights.progress import Progress, bar_class

RANGE_NOT_SATISFIABLE = 416


class _HashingFile(io.RawIOBase):
    """An append-only file that hashes what is written, so that a fresh download is read only once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.state = hashlib.sha256()
        file.seek(0)
        while block := file.read(verification.BLOCK):
            self.state.update(block)

    def write(self, data: Any) -> int:
        self._file.write(data)
        self.state.update(data)
        return len(data)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        """The server does not do ranges and begins again: so does the hash."""
        if (self.tell() if size is None else size) != 0:
            raise io.UnsupportedOperation("only to the beginning")
        self.state = hashlib.sha256()
        return self._file.truncate(0)


def download(file: WeightFile, source: FileSource, progress: Progress | None = None) -> Path:
    """Fetch the asset, prove it, and return where it lies.

    Raises DownloadError with the reason in one line, VerificationError where the bytes are wrong (nothing is kept
    of them, so that the next call begins anew); OSError where the disk is full.
    """
    target = folders.asset(source)
    partial = target.with_name(target.name + ".incomplete")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        sha256 = _transfer(file, source, partial, progress)
        verification.verify(partial, file, source, sha256)
    except VerificationError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(target)
    verification.remember_digest(target, sha256)
    return target


def _transfer(file: WeightFile, source: FileSource, partial: Path, progress: Progress | None) -> str:
    """Bring `partial` to its full length; its sha256."""
    from huggingface_hub.file_download import http_get

    wanted = verification.expected(file, source).size
    options: dict[str, Any] = {}
    if progress is not None and "tqdm_class" in inspect.signature(http_get).parameters:
        options["tqdm_class"] = bar_class(file.name, progress)
    with _opened(partial, wanted) as stream:
        done = stream.tell()
        try:
            http_get(
                source.url,
                cast(BinaryIO, stream),
                resume_size=done,
                expected_size=wanted,
                displayed_filename=file.name,
                **options,
            )
        except hub.transfer_errors() as error:
            hub.raise_if_local(error)
            if _status(error) == RANGE_NOT_SATISFIABLE:
                raise VerificationError(f"{partial} is not the beginning of {source.url}.") from error
            raise DownloadError(_reason(error)) from error
        return stream.state.hexdigest()


@contextmanager
def _opened(partial: Path, wanted: int | None) -> Iterator[_HashingFile]:
    """The unfinished file at its end; one that is longer than the whole begins again."""
    if partial.exists() and wanted is not None and partial.stat().st_size > wanted:
        partial.unlink()
    with partial.open("a+b") as file:
        yield _HashingFile(file)


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _reason(error: Exception) -> str:
    status = _status(error)
    return hub.one_line(error) if status is None else f"the server answered {status}"
