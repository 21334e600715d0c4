"""From the record of a file to a proved file on disk: ordered sources, the cache first, one clear error."""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thg_zoo.errors import DownloadError, VerificationError
from thg_zoo.spec import FileSource, Variant, WeightFile
from thg_zoo.weights import folders, https, hub, installation, licences, records, verification
from thg_zoo.weights.progress import Progress

logger = logging.getLogger(__name__)

BY_HAND = "by hand"


@dataclass(frozen=True)
class WeightRecord:
    """A weight file in use, for the run report.

    name: the card's name of the file (of the network, for random weights); source: where it came from;
    verified: "sha256" (the published hash), "first use" (no hash is published: the first one was recorded),
    "local" (the user's own file, not the published bytes), or "random".
    """

    name: str
    path: Path | None
    sha256: str
    source: str
    verified: str

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON can hold it."""
        return asdict(self) | {"path": None if self.path is None else str(self.path)}


def fetch(file: WeightFile, *, accept_licence: bool = False, progress: Progress | None = None) -> WeightRecord:
    """The file, proved: from the caches where it is there, else from the first source that delivers it.

    Raises LicenceError where its terms are not accepted, DownloadError naming every source tried and why it
    failed, where to put a copy, and what it must be.
    """
    licences.require([file.licence], accept_licence)
    found, _ = _from_caches(file, evict=False)
    if found is not None:
        return found
    # One process at a time fetches a file; the others find it when they get the lock.
    with _turn(file):
        found, reasons = _from_caches(file, evict=True)
        if found is not None:
            return found
        return _from_sources(file, reasons, progress)


def fetch_all(
    variant: Variant, *, accept_licence: bool = False, progress: Progress | None = None
) -> dict[str, WeightRecord]:
    """Every file of the variant, by its name. All licences are asked for before anything is fetched."""
    licences.require([file.licence for file in variant.files], accept_licence)
    return {file.name: fetch(file, accept_licence=accept_licence, progress=progress) for file in variant.files}


def _from_caches(file: WeightFile, evict: bool) -> tuple[WeightRecord | None, dict[str, str]]:
    """The file if any cache holds it, and why copies that are there were not taken; with `evict`, fetched ones
    that are wrong are removed, so that the next try starts clean."""
    reasons = {}
    for path, source in installation.copies(file):
        try:
            sha256, how = verification.verify(path, file, source)
        except VerificationError as error:
            reasons[str(source or BY_HAND)] = error.message
            if evict and source is not None:
                logger.warning("%s It is removed from the cache.", error.message)
                installation.evict(path)
        else:
            return WeightRecord(file.name, path, sha256, str(source or BY_HAND), how), reasons
    return None, reasons


def _from_sources(file: WeightFile, reasons: dict[str, str], progress: Progress | None) -> WeightRecord:
    silent = ""
    for source in file.sources:
        if source.kind == "manual":
            continue
        if source.kind == "huggingface" and silent:
            reasons[str(source)] = silent
            continue
        try:
            return _from_source(file, source, progress)
        except (DownloadError, VerificationError) as error:
            reasons[str(source)] = error.message
            logger.info("%s could not be had from %s: %s", file.name, source, error.message)
            if isinstance(error, hub.Unreachable):
                silent = error.message
    raise _nothing_found(file, reasons)


def _from_source(file: WeightFile, source: FileSource, progress: Progress | None) -> WeightRecord:
    try:
        return _from_source_once(file, source, progress)
    except VerificationError as error:
        # What was taken up from an earlier transfer may have been wrong: the bytes are gone, a fresh try follows.
        logger.info("%s It is fetched once more.", error.message)
        return _from_source_once(file, source, progress)


def _from_source_once(file: WeightFile, source: FileSource, progress: Progress | None) -> WeightRecord:
    if hub.offline():
        raise DownloadError("it is not in the cache, and HF_HUB_OFFLINE forbids to fetch it")
    _check_space(file, source)
    logger.info("Fetching %s from %s.", file.name, source)
    download = hub.download if source.kind == "huggingface" else https.download
    try:
        path = download(file, source, progress)
    except OSError as error:
        raise _not_written(file, _cache_folder(source), error) from error
    try:
        sha256, how = verification.verify(path, file, source)
    except VerificationError:
        installation.evict(path)
        raise
    return WeightRecord(file.name, path, sha256, str(source), how)


class DiskError(DownloadError):
    """The file cannot be written: no other source would help."""


def _check_space(file: WeightFile, source: FileSource) -> None:
    """Raise DiskError before the transfer where the file cannot fit."""
    folder = _nearest_existing(_cache_folder(source))
    free = shutil.disk_usage(folder).free
    if file.size is not None and not source.conversion and free < file.size:
        raise _no_space(file, folder, free)


def _not_written(file: WeightFile, folder: Path, error: OSError) -> DiskError:
    folder = _nearest_existing(folder)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _no_space(file, folder, shutil.disk_usage(folder).free)
    return DiskError(
        f"{file.name} cannot be written under {folder}: {error.strerror or error}.",
        "Make the folder writable, or set HF_HOME to a folder that is.",
    )


def _no_space(file: WeightFile, folder: Path, free: int) -> DiskError:
    needs = f" needs {file.size / 1e6:.0f} MB" if file.size else " does not fit"
    return DiskError(
        f"The disk is full: {file.name}{needs}, {folder} has {free / 1e6:.0f} MB free.",
        "Free some space, or set HF_HOME to a folder on another disk.",
    )


def _cache_folder(source: FileSource) -> Path:
    return folders.hub_cache() if source.kind == "huggingface" else folders.home()


def _nearest_existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _nothing_found(file: WeightFile, reasons: dict[str, str]) -> DownloadError:
    """The one error that tells all: sources, reasons, and what a person can do."""
    tried = [f"({i}) {source}: {reason.rstrip('.')}" for i, (source, reason) in enumerate(reasons.items(), 1)]
    by_hand = [s for s in file.sources if s.kind == "manual"]
    links = [s.url + (f" as {s.path}" if s.path else "") + (f" ({s.note})" if s.note else "") for s in by_hand]
    message = f"{file.name} ({file.role}) could not be had."
    if tried:
        message += f" Tried: {'; '.join(tried)}."
    if links:
        message += f" A person can download it from {', or '.join(links)}."
    what = f"sha256 {file.sha256}" if file.sha256 else "no hash is published"
    size = f", {file.size} bytes" if file.size else ""
    remedy = (
        f"Download it by hand and run `thg-zoo weights import FILE {file.model or 'MODEL'}`, or put it at "
        f"{folders.by_hand(file)} ({what}{size})."
    )
    if hub.offline():
        remedy += " Or unset HF_HUB_OFFLINE."
    return DownloadError(message, remedy)


@contextmanager
def _turn(file: WeightFile) -> Iterator[None]:
    """Hold the right to fetch these bytes; two files with one published hash are one."""
    identity = file.sha256 or "\n".join([file.model, file.name, *map(str, file.sources)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    try:
        lock = records.acquire(folders.records() / "locks" / f"{name}.lock")
    except OSError as error:
        raise _not_written(file, folders.home(), error) from error
    try:
        yield
    finally:
        lock.release()
