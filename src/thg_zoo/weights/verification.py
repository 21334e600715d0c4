"""Proving that a file is the published one: its size, its sha256, and what is known to be wrong."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from thg_zoo.errors import VerificationError
from thg_zoo.spec import FileSource, WeightFile
from thg_zoo.weights import content, folders, records

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
PROVED = "sha256"
FIRST_USE = "first use"


@dataclass(frozen=True)
class Expected:
    """What a file has to be: `sha256` "" and `size` None where nothing is known."""

    sha256: str
    size: int | None


def expected(file: WeightFile, source: FileSource | None = None) -> Expected:
    """What the file must be when it comes from `source`; a conversion has other bytes than the original."""
    if source is not None and source.conversion:
        return Expected(source.sha256, None)
    return Expected(file.sha256, file.size)


def digest(path: Path) -> str:
    """sha256 of the file, read now. Raises OSError."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def known_digest(path: Path) -> str:
    """sha256 of the file, read once and remembered as long as its size and time of change stay the same."""
    real = path.resolve()
    state = real.stat()
    seen = records.read(_verified()).get(str(real), {})
    if seen.get("size") == state.st_size and seen.get("mtime_ns") == state.st_mtime_ns:
        return str(seen["sha256"])
    value = digest(real)
    _remember(real, state, value)
    return value


def remember_digest(path: Path, sha256: str) -> None:
    """Note the sha256 of a file that was hashed while it was written or just now."""
    real = path.resolve()
    _remember(real, real.stat(), sha256)


def _remember(real: Path, state: os.stat_result, sha256: str) -> None:
    """`state` is from before the file was read: what changed it meanwhile is noticed."""
    entry = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": sha256}
    records.remember(_verified(), lambda data: data.update({str(real): entry}))


def forget(path: Path) -> None:
    """Drop what is remembered about a file that is about to be removed."""
    records.remember(_verified(), lambda data: data.pop(str(path.resolve()), None))


def verify(path: Path, file: WeightFile, source: FileSource | None, sha256: str = "") -> tuple[str, str]:
    """(sha256, "sha256" or "first use") of a file that is what the card says. Raises VerificationError.

    `source` is None for a file that a person brought; it may be the original or a conversion. `sha256` is given
    where the file has been hashed already. Where the card knows no hash, the first one seen for this source is
    recorded and reported, and every later copy must have the same.
    """
    if source is None:
        return _verify_by_hand(path, file, sha256 or known_digest(path))
    wanted = expected(file, source)
    size = path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        raise _wrong(path, file, f"it has {size} bytes instead of {wanted.size}")
    value = sha256 or known_digest(path)
    refuse_known_wrong(path, file, value)
    if not wanted.sha256:
        _trust_first(path, file, source, value)
        return value, FIRST_USE
    if value != wanted.sha256:
        raise _wrong(path, file, f"its sha256 is {value} instead of {wanted.sha256}")
    return value, PROVED


def is_published(file: WeightFile, sha256: str) -> bool:
    """Whether these are the bytes of the original or of a conversion that the card knows."""
    return sha256 in {file.sha256, *(source.sha256 for source in file.sources)} - {""}


def has_unknown_bytes(file: WeightFile) -> bool:
    """Whether some published copy of the file has bytes of which the card knows no hash."""
    return not file.sha256 or any(source.conversion and not source.sha256 for source in file.sources)


def _verify_by_hand(path: Path, file: WeightFile, value: str) -> tuple[str, str]:
    refuse_known_wrong(path, file, value)
    if is_published(file, value):
        return value, PROVED
    if trusted(file, None) != value:
        if file.sha256:
            raise _wrong(path, file, f"its sha256 is {value} instead of {file.sha256}")
        _trust_first(path, file, None, value)
    return value, FIRST_USE


def _wrong(path: Path, file: WeightFile, why: str) -> VerificationError:
    instead = content.disguise(path)
    return VerificationError(
        f"{path} is not {file.name}: {why}" + (f", and it is {instead}." if instead else "."),
        "Fetch the file again, or from another source.",
    )


def refuse_known_wrong(path: Path, file: WeightFile, sha256: str) -> None:
    """Raise VerificationError for bytes that the card knows as something else."""
    if sha256 in file.refused:
        raise VerificationError(
            f"{path} is not {file.name}: it is {file.refused[sha256]}.", "Use the published file that was asked for."
        )


def trust(file: WeightFile, source: FileSource | None, sha256: str) -> None:
    """Record the hash of a file that is taken on trust."""
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    records.remember(_trusted(), lambda data: data.update({_origin(file, source): {"sha256": sha256, "when": when}}))


def trusted(file: WeightFile, source: FileSource | None) -> str:
    """The hash taken on trust for the file from this source, or ""."""
    return str(records.read(_trusted()).get(_origin(file, source), {}).get("sha256", ""))


def distrust(file: WeightFile) -> None:
    """Forget every hash that was taken on trust for the file."""
    origins = [_origin(file, None), *(_origin(file, source) for source in file.sources)]

    def edit(data: records.Record) -> None:
        for origin in origins:
            data.pop(origin, None)

    if set(origins) & set(records.read(_trusted())):
        records.remember(_trusted(), edit)


def _trust_first(path: Path, file: WeightFile, source: FileSource | None, value: str) -> None:
    before = trusted(file, source)
    if before and before != value:
        raise VerificationError(
            f"{path} is not the {file.name} of the first use: its sha256 is {value}, recorded was {before}.",
            f"If the new file is meant, run `thg-zoo weights remove {file.model}` and fetch it again.",
        )
    if not before:
        logger.warning(
            "No hash of %s is published: the first file is trusted and its sha256 recorded: %s.", file.name, value
        )
        trust(file, source, value)


def _origin(file: WeightFile, source: FileSource | None) -> str:
    return f"{file.model}/{file.name} from {source or 'a person'}"


def _verified() -> Path:
    return folders.records() / "verified.json"


def _trusted() -> Path:
    return folders.records() / "trusted.json"
