"""results.jsonl: one line per job, appended when it is over, the later line of a job counting.

A line is on the disk before the next job is handed out. A kill or a power failure can tear the last line only:
it is not taken for a record, and cut off before anything is appended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from thg_zoo.jobs.job import Record

logger = logging.getLogger(__name__)

NAME = "results.jsonl"
_TAIL = 1 << 16


def read_records(folder: str | Path) -> Iterator[Record]:
    """Every record in the results.jsonl of `folder`, oldest first; of a job that ran again the last one counts.

    Nothing if there is no such file. A line that is no record (torn by a power failure) is left out, with a
    warning in the log.
    """
    for _, line in read_lines(folder):
        record = parse(line)
        if record is not None:
            yield record


def parse(line: str) -> Record | None:
    """The record of a line; None, with a warning, if another version wrote it in another form."""
    try:
        return Record.from_json(json.loads(line))
    except (ValueError, TypeError) as error:
        logger.warning("a record is left out: %s", error)
        return None


def read_lines(folder: str | Path) -> Iterator[tuple[str, str]]:
    """(id, line) of every record, as `read_records`, without making anything of them."""
    path = Path(folder) / NAME
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                data = json.loads(line)
                yield data["id"], line.decode()
            except (ValueError, TypeError, KeyError):
                logger.warning("%s, line %d is no record and is left out", path, number)


class Ledger:
    """Appends records to the results.jsonl of a folder. One writer at a time: the caller holds the folder's lock.

    Raises OSError if the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file = self.path.open("ab")
        _cut_torn_line(self.path)

    def append(self, record: Record) -> None:
        """Add one record; it is on the disk when this returns."""
        # Names of files that are no UTF-8 are written as JSON escapes.
        line = json.dumps(record.to_json(), ensure_ascii=False, default=str)
        self._file.write(line.encode(errors="backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Harmless if it is closed already. A line that the disk did not take is given up: `append` has said so."""
        with contextlib.suppress(OSError):
            self._file.close()


def _cut_torn_line(path: Path) -> None:
    """Remove what follows the last line end."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = end
        while start > 0:
            start = max(0, start - _TAIL)
            file.seek(start)
            found = file.read(min(_TAIL, end - start)).rfind(b"\n")
            if found >= 0:
                start += found + 1
                break
        if start < end:
            logger.warning("%s ends in a torn line, which is cut off", path)
            file.truncate(start)
