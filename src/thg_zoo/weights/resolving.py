"""`weights=...`: the published set, a folder or a file of the user's, or random."""

from __future__ import annotations

import logging
from pathlib import Path

from thg_zoo.errors import CheckpointError
from thg_zoo.spec import Variant, WeightFile
from thg_zoo.weights import licences, verification
from thg_zoo.weights.fetching import WeightRecord, fetch, fetch_all
from thg_zoo.weights.progress import Progress

logger = logging.getLogger(__name__)

RANDOM = "random"
LOCAL = "local"


def resolve(
    variant: Variant,
    weights: str | Path | None = None,
    *,
    accept_licence: bool = False,
    progress: Progress | None = None,
) -> dict[str, WeightRecord]:
    """Paths of the variant's files, proved as far as they can be, by the card's names.

    weights: None for the published set; a folder laid out like it; a file, if the set has only one or it bears
    the published name; "random" for none at all. Raises LicenceError, DownloadError, VerificationError,
    CheckpointError.
    """
    if weights == RANDOM:
        return {}
    if weights is None:
        return fetch_all(variant, accept_licence=accept_licence, progress=progress)
    path = Path(weights)
    if not path.exists():
        raise CheckpointError(f"The weights {path} do not exist.", 'Give a folder, a file, or "random".')
    licences.require([file.licence for file in variant.files], accept_licence)
    if path.is_dir():
        return {file.name: _local(file, _in_folder(file, path)) for file in variant.files}
    chosen = find_local(variant, path) or (variant.files[0] if variant.files else None)
    return {
        file.name: resolve_file(
            file, path if file is chosen else None, accept_licence=accept_licence, progress=progress
        )
        for file in variant.files
    }


def resolve_file(
    file: WeightFile, path: Path | None, *, accept_licence: bool = False, progress: Progress | None = None
) -> WeightRecord:
    """The file at `path`, or the published one where that is None."""
    licences.require([file.licence], accept_licence)
    if path is None:
        return fetch(file, accept_licence=accept_licence, progress=progress)
    return _local(file, path)


def find_local(variant: Variant, path: Path) -> WeightFile | None:
    """The file of the set that `path` is, by its hash or else by its name.

    Raises CheckpointError where there is no such file, VerificationError where it is known to be another.
    """
    if not path.is_file():
        raise CheckpointError(f"The weights {path} do not exist.", 'Give a folder, a file, or "random".')
    sha256 = verification.known_digest(path)
    for file in variant.files:
        if verification.is_published(file, sha256):
            return file
    for file in variant.files:
        verification.refuse_known_wrong(path, file, sha256)
    return next((file for file in variant.files if path.name in _names(file)), None)


def _local(file: WeightFile, path: Path) -> WeightRecord:
    """A user's own copy: refused if it is known to be something else, else taken and named as what it is."""
    sha256 = verification.known_digest(path)
    verification.refuse_known_wrong(path, file, sha256)
    if verification.is_published(file, sha256):
        return WeightRecord(file.name, path, sha256, LOCAL, verification.PROVED)
    logger.warning("%s is not the published %s; it is used because it was asked for.", path, file.name)
    return WeightRecord(file.name, path, sha256, LOCAL, LOCAL)


def _in_folder(file: WeightFile, folder: Path) -> Path:
    names = _names(file)
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(
            f"The folder {folder} has no {file.name}.", f"It should lie there as one of: {', '.join(names)}."
        )
    return found


def _names(file: WeightFile) -> list[str]:
    """The names and relative paths under which the file is published, the card's first."""
    paths = [file.name, *(source.path or source.url.rsplit("/", 1)[-1] for source in file.sources)]
    return list(dict.fromkeys([*paths, *(path.rsplit("/", 1)[-1] for path in paths)]))
