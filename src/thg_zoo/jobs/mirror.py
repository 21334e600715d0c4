"""Results beside outputs that lie on a storage: nothing can be appended there, so they are copied at intervals."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from thg_zoo.errors import OutputError
from thg_zoo.jobs import ledger, storage, summary

logger = logging.getLogger(__name__)

_INTERVAL_S = 10.0
_SHARE = 0.05  # of the time may be spent with copying, however long results.jsonl has become


class Mirror:
    """Keeps a copy of the results in `folder` at the URL `output`.

    A run that is killed loses nothing of it as long as `folder` is there; one whose machine is lost goes on elsewhere
    from the last copy.
    """

    def __init__(self, folder: Path, output: str) -> None:
        self._folder = folder
        self._output = output
        self._next = 0.0

    def pull(self) -> None:
        """Take the copy if it is longer than what is here. Raises MediaError, OutputError."""
        here = self._folder / ledger.NAME
        there = storage.join(self._output, ledger.NAME)
        found = storage.find(there)
        if found is None or (here.exists() and here.stat().st_size >= found.size):
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder} cannot be written to: {error.strerror}.", "Set HF_HOME.") from error
        temporary = here.with_suffix(".part")
        storage.download(there, temporary)
        temporary.replace(here)

    def push_if_due(self) -> None:
        """Copy if the last copy is some time ago. A failure is logged: the next copy has everything."""
        if time.monotonic() < self._next:
            return
        begin = time.monotonic()
        try:
            self.push()
        except OutputError as error:
            logger.warning("%s", error)
        now = time.monotonic()
        self._next = now + max(_INTERVAL_S, (now - begin) / _SHARE)

    def push(self) -> None:
        """Copy. Raises OutputError."""
        for name in (ledger.NAME, summary.NAME):
            if (self._folder / name).exists():
                storage.upload(self._folder / name, storage.join(self._output, name))
