"""Published weights: fetched once, proved, read without running anything, and filled into networks.

docs/weights.md is the guide. Names are imported when they are first used, so that asking what is installed
needs neither torch nor the network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thg_zoo.weights.checkpoint import Checkpoint, read_checkpoint
    from thg_zoo.weights.fetching import WeightRecord, fetch, fetch_all
    from thg_zoo.weights.filling import empty_networks, fill, fill_networks, load_part
    from thg_zoo.weights.hub import HubStatus, hub_status
    from thg_zoo.weights.importing import import_file
    from thg_zoo.weights.installation import CacheStatus, cache_status, installed, is_installed, remove
    from thg_zoo.weights.progress import Progress
    from thg_zoo.weights.resolving import resolve

_ORIGIN = {
    "Checkpoint": "checkpoint",
    "read_checkpoint": "checkpoint",
    "WeightRecord": "fetching",
    "fetch": "fetching",
    "fetch_all": "fetching",
    "empty_networks": "filling",
    "fill": "filling",
    "fill_networks": "filling",
    "load_part": "filling",
    "HubStatus": "hub",
    "hub_status": "hub",
    "import_file": "importing",
    "CacheStatus": "installation",
    "cache_status": "installation",
    "installed": "installation",
    "is_installed": "installation",
    "remove": "installation",
    "Progress": "progress",
    "resolve": "resolving",
}

__all__ = [
    "CacheStatus",
    "Checkpoint",
    "HubStatus",
    "Progress",
    "WeightRecord",
    "cache_status",
    "empty_networks",
    "fetch",
    "fetch_all",
    "fill",
    "fill_networks",
    "hub_status",
    "import_file",
    "installed",
    "is_installed",
    "load_part",
    "read_checkpoint",
    "remove",
    "resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ORIGIN[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
