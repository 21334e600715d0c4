"""Where files are kept: the hub's own cache, and beside it what the hub does not hold.

$HF_HOME/hub/              the cache of huggingface_hub, in its published layout
$HF_HOME/thg-zoo/assets/   release assets fetched over https, one folder per address
$HF_HOME/thg-zoo/models/   files that a person downloaded, one folder per model
$HF_HOME/thg-zoo/records/  which files were proved, and which hashes were trusted on first use
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from thg_zoo.spec import FileSource, WeightFile


def home() -> Path:
    """The folder of everything that is not in the hub's own cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME).expanduser() / "thg-zoo"


def hub_cache() -> Path:
    """The cache folder of huggingface_hub (HF_HUB_CACHE, HF_HOME)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def asset(source: FileSource) -> Path:
    """Where the release asset of a `https` source lies once it is fetched."""
    address = hashlib.sha256(source.url.encode()).hexdigest()[:16]
    return home() / "assets" / address / (source.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or "asset")


def by_hand(file: WeightFile) -> Path:
    """Where a hand-downloaded copy of the file may be put; `thg-zoo weights import` puts it there."""
    return home() / "models" / (file.model or "unnamed") / file.name


def records() -> Path:
    """The folder of the records."""
    return home() / "records"


def snapshot(source: FileSource) -> Path | None:
    """Where the hub's cache holds a `huggingface` source, if it does. Reads folders only.

    A branch is resolved by the reference that the cache keeps, a shortened commit by the snapshots it holds.
    """
    repo = hub_cache() / "--".join([f"{source.repo_type}s", *source.repo_id.split("/")])
    commits = [source.revision]
    if not source.pinned:
        reference = repo / "refs" / source.revision
        commits = [reference.read_text(encoding="utf-8").strip()] if reference.is_file() else []
    if source.abbreviated and (repo / "snapshots").is_dir():
        commits += [p.name for p in (repo / "snapshots").iterdir() if p.name.startswith(source.revision)]
    found = (repo / "snapshots" / commit / source.path for commit in commits)
    return next((path for path in found if path.is_file()), None)


def settings() -> Path:
    """The user's settings folder, by the platform's custom. Accepted licences are recorded there."""
    if os.name == "nt":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin" and "XDG_CONFIG_HOME" not in os.environ:
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "thg-zoo"
