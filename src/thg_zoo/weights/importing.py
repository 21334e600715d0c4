"""Hand-downloaded files: recognised, checked, and put where `fetch` finds them."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from thg_zoo.errors import CheckpointError, DownloadError, VerificationError
from thg_zoo.spec import Variant, WeightFile
from thg_zoo.weights import folders, verification
from thg_zoo.weights.fetching import BY_HAND, WeightRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def import_file(
    path: str | Path,
    variant: Variant,
    networks: Callable[[], Mapping[str, nn.Module]],
    trust: bool = False,
) -> WeightRecord:
    """Copy a file into the cache as the file of the variant that it is.

    It is recognised by its hash, else by its layout: then `networks` is called for the variant's networks
    without weights. Bytes that are not the published ones are taken where the card knows no hash for some
    published copy, or with `trust`; their hash is recorded. Raises CheckpointError where the layout is that of no
    file of the variant, VerificationError for bytes that are known to be wrong or not to be trusted.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"The file {path} does not exist.", "Check the path.")
    sha256 = verification.digest(path)
    for file in variant.files:
        if verification.is_published(file, sha256):
            return _put(path, file, sha256, verification.PROVED)
    for file in variant.files:
        verification.refuse_known_wrong(path, file, sha256)
    file = _by_layout(path, variant, networks())
    if not trust and not verification.has_unknown_bytes(file):
        raise VerificationError(
            f"{path} has the layout of {file.name}, not its bytes: its sha256 is {sha256} instead of {file.sha256}.",
            "If you know where it comes from, repeat the command with --trust.",
        )
    record = _put(path, file, sha256, verification.FIRST_USE)
    verification.trust(file, None, sha256)
    return record


def _by_layout(path: Path, variant: Variant, networks: Mapping[str, nn.Module]) -> WeightFile:
    from thg_zoo.weights.checkpoint import read_checkpoint
    from thg_zoo.weights.filling import identify

    checkpoint = read_checkpoint(path)
    fitting = identify(checkpoint, variant.files, networks)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CheckpointError(
            f"{path} could be any of {_names(fitting)}.",
            "Put it into place by hand; `thg-zoo weights path` says where.",
        )
    raise CheckpointError(
        f"{path} has the layout of no file of {variant.name}: {_differences(path, variant.files, networks)}",
        "Use the published file.",
    )


def _differences(path: Path, files: Iterable[WeightFile], networks: Mapping[str, nn.Module]) -> str:
    from thg_zoo.weights import layout
    from thg_zoo.weights.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(path)
    said = []
    for file in files:
        for name, part in file.parts.items():
            try:
                state = layout.extract(checkpoint, part)
            except CheckpointError as error:
                said.append(f"{file.name}: {error.message}")
                continue
            difference = layout.compare(state, networks[name])
            said.append(
                f"{file.name}, part {name!r}: {difference}. {layout.looks_like(state, file.lookalikes)}".strip()
            )
    return " ".join(said)


def _put(path: Path, file: WeightFile, sha256: str, how: str) -> WeightRecord:
    target = folders.by_hand(file)
    partial = target.with_name(target.name + ".incomplete")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise DownloadError(
            f"{path} cannot be copied to {target}: {why}.", "Free some space, or set HF_HOME to another folder."
        ) from error
    verification.remember_digest(target, sha256)
    return WeightRecord(file.name, target, sha256, BY_HAND, how)


def _names(files: Iterable[WeightFile]) -> str:
    return ", ".join(file.name for file in files)
