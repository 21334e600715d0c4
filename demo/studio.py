"""What a worker holds on its device: the model used last, and portraits that clients have prepared."""

from __future__ import annotations

import ctypes
import gc
import logging
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thg_zoo.demo.settings import Settings
from thg_zoo.errors import DownloadError, LicenceError, UsageError
from thg_zoo.zoo import describe, load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter, Portrait

logger = logging.getLogger(__name__)

_MOST_PORTRAITS = 4


@dataclass
class _Prepared:
    visitor: str
    portrait: Portrait[Any, Any]
    until: float


class Studio:
    """One device. Used by one worker's thread alone, but for `holds`."""

    def __init__(self, device: str, settings: Settings) -> None:
        self.device = device
        self._settings = settings
        self._model: Adapter[Any, Any] | None = None
        self._prepared: OrderedDict[str, _Prepared] = OrderedDict()

    def model(self, name: str) -> Adapter[Any, Any]:
        """The model of that name, loaded; the one used before is dropped first.

        Weights are never fetched here: a visitor would wait for minutes without having asked for it. Raises
        DownloadError where they are not on this machine, LicenceError where their terms are not accepted.
        """
        if self._model is None or self._model.model.name != name:
            require_weights(name, self._settings)
            self._model = None
            self.tidy()
            self._model = load(name, device=self.device, weights=self._settings.weights)
        return self._model

    def keep(self, visitor: str, portrait: Portrait[Any, Any]) -> tuple[str, float]:
        """Hold a prepared portrait; its name, and for how many seconds it is kept after each use."""
        name = secrets.token_urlsafe(16)
        self._hold(name, visitor, portrait)
        return name, self._settings.idle_seconds

    def prepared(self, visitor: str, name: str, make: Callable[[], Portrait[Any, Any]]) -> Portrait[Any, Any]:
        """The portrait that is held under `name` for a visitor, made now if there is none."""
        self._expire()
        if name not in self._prepared:
            self._hold(name, visitor, make())
        return self.portrait(name, visitor)

    def holds(self, name: str) -> bool:
        """Whether a portrait of that name is here."""
        return name in self._prepared

    def portrait(self, name: str, visitor: str) -> Portrait[Any, Any]:
        """A portrait that this visitor prepared. Raises UsageError where it is gone, or another's."""
        self._expire()
        found = self._prepared.get(name)
        if found is None or found.visitor != visitor:
            raise unknown_portrait()
        found.until = time.monotonic() + self._settings.idle_seconds
        self._prepared.move_to_end(name)
        return found.portrait

    def rest(self) -> None:
        """Called when there was nothing to do for a while: gives the memory of models back."""
        self._expire()
        if self._model is not None:
            logger.info("unloading %s on %s", self._model.model.name, self.device)
            self._model = None
            self.tidy()

    def tidy(self) -> None:
        """Return what the last run used: to the device, and to the operating system."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        if sys.platform == "linux":
            # glibc keeps freed frames for the next run of the same thread; other visitors need the memory now.
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:
                trim(0)

    def _hold(self, name: str, visitor: str, portrait: Portrait[Any, Any]) -> None:
        self._prepared[name] = _Prepared(visitor, portrait, time.monotonic() + self._settings.idle_seconds)
        while len(self._prepared) > _MOST_PORTRAITS:
            self._prepared.popitem(last=False)

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [n for n, p in self._prepared.items() if p.until < now]:
            del self._prepared[name]


def unknown_portrait() -> UsageError:
    """The error for a portrait that nobody holds for this client."""
    return UsageError("There is no such prepared portrait.", "Call /prepare again; portraits expire.")


def require_weights(name: str, settings: Settings) -> None:
    """Raise LicenceError or DownloadError, with what to do on this page, where a model cannot be loaded."""
    from thg_zoo.weights import installation, licences

    variant = describe(name).variant
    if settings.weights == "random" or not variant.files:
        return
    try:
        licences.require([file.licence for file in variant.files])
    except LicenceError as error:
        if settings.manage:
            raise LicenceError(error.message, "Read and accept them on the Models tab.") from error
        raise LicenceError(f"The terms of {name!r} are not accepted here.", "Choose another model.") from error
    if not installation.is_installed(variant):
        where = "on the Models tab" if settings.manage else f"on the server with `thg-zoo weights pull {name}`"
        raise DownloadError(f"The weights of {name!r} are not on this machine.", f"Fetch them {where}.")
