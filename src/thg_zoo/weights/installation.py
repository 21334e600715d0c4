"""What is on this machine already. Looks at folders only: no torch, no network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from thg_zoo.spec import FileSource, Variant, WeightFile
from thg_zoo.weights import folders, verification


@dataclass(frozen=True)
class CacheStatus:
    """Where weights lie and how much there is (bytes on disk, shared files counted once)."""

    folder: Path
    hub_folder: Path
    n_files: int
    n_bytes: int


def installed(file: WeightFile) -> Path | None:
    """Where a copy of the file lies, by its size where that is known, or None. Its hash is not read."""
    return next((path for path, source in copies(file) if _has_size(path, file, source)), None)


def is_installed(variant: Variant) -> bool:
    """Whether every file of the variant is on this machine. True for a model without files."""
    return all(installed(file) is not None for file in variant.files)


def copies(file: WeightFile) -> Iterator[tuple[Path, FileSource | None]]:
    """Copies with the source they came from (None: by hand): by hand first, then in the order of the sources."""
    by_hand = folders.by_hand(file)
    if by_hand.is_file():
        yield by_hand, None
    for source in file.sources:
        path = cached(source)
        if path is not None:
            yield path, source


def cached(source: FileSource) -> Path | None:
    """Where a fetched copy from this source lies, or None."""
    if source.kind == "huggingface":
        return folders.snapshot(source)
    if source.kind == "https" and folders.asset(source).is_file():
        return folders.asset(source)
    return None


def evict(path: Path) -> None:
    """Remove a copy with the bytes behind it, and what is remembered about it."""
    verification.forget(path)
    for link in _links(path):
        link.unlink(missing_ok=True)
    _remove_empty(path.parent)


def remove(files: Iterable[WeightFile], keep: Iterable[WeightFile]) -> list[Path]:
    """Remove every copy of `files` whose bytes no file of `keep` uses; the paths removed."""
    kept = {path.resolve() for file in keep for path, _ in copies(file)}
    removed = []
    for file in files:
        mine = [path for path, _ in copies(file) if path.resolve() not in kept]
        for path in mine:
            _remove_copy(path)
            removed.append(path)
        if mine:
            verification.distrust(file)
    return removed


def cache_status() -> CacheStatus:
    """The size of the caches: of the hub's whole cache, which other programs share, and of our own."""
    sizes = {}
    for folder in (folders.hub_cache(), folders.home()):
        for base, _, names in os.walk(folder):
            for name in names:
                path = Path(base, name)
                if not path.is_symlink():
                    state = path.stat()
                    sizes[state.st_dev, state.st_ino] = state.st_size
    return CacheStatus(folders.home(), folders.hub_cache(), len(sizes), sum(sizes.values()))


def _has_size(path: Path, file: WeightFile, source: FileSource | None) -> bool:
    if source is None and (verification.trusted(file, None) or any(s.conversion for s in file.sources)):
        return True
    wanted = verification.expected(file, source).size
    return wanted is None or path.stat().st_size == wanted


def _remove_copy(path: Path) -> None:
    """Remove one copy; bytes that another revision in the hub's cache points to stay."""
    links = _links(path)
    others = _snapshots_of_same_bytes(path) if len(links) > 1 else []
    verification.forget(path)
    for link in links[:1] if others else links:
        link.unlink(missing_ok=True)
    _remove_empty(path.parent)


def _links(path: Path) -> list[Path]:
    """The path and, where it is a link within the caches, each thing it leads to: pointer, blob, shared blob."""
    chain = [path]
    roots = [folders.hub_cache().resolve(), folders.home().resolve()]
    while chain[-1].is_symlink():
        following = Path(os.path.normpath(chain[-1].parent.resolve() / chain[-1].readlink()))
        if not any(root in following.parents for root in roots):
            break
        chain.append(following)
    return chain


def _snapshots_of_same_bytes(path: Path) -> list[Path]:
    repo = next((parent.parent for parent in path.parents if parent.name == "snapshots"), None)
    if repo is None:
        return []
    same = path.resolve()
    return [p for p in (repo / "snapshots").rglob("*") if p != path and p.is_symlink() and p.resolve() == same]


def _remove_empty(folder: Path) -> None:
    """Remove the folder and those above it that are empty, up to the caches' own."""
    stop = {folders.hub_cache().resolve(), folders.home().resolve()}
    for parent in (folder, *folder.parents):
        if parent.resolve() in stop or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
