"""Who is on the page, and the files of each: one folder per visitor, deleted when they have gone."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from thg_zoo.demo.jobs import Job

EXAMPLES = "examples"
_VISITORS = "visitors"


@dataclass
class Visitor:
    """A browser, or a client of the API. The token is a secret between it and the server, and the folder's name."""

    token: str
    folder: Path
    sessions: set[str] = field(default_factory=set)
    uploads: set[Path] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def latest(self, kind: str) -> Job | None:
        """The job of that kind that was begun last."""
        return next((job for job in reversed(self.jobs.values()) if job.kind == kind), None)


class Visitors:
    """All visitors. A session is one loaded page or one client; a visitor survives a reload, which is a new session.

    root: the folder that holds everything uploaded and generated; keep_seconds: how long a visitor without a
    session, or without a sign of life, is kept; keep_results: how many of its jobs.
    """

    def __init__(self, root: Path, keep_seconds: float, keep_results: int) -> None:
        self.root = root
        self._keep_seconds = keep_seconds
        self._keep_results = keep_results
        self._by_token: dict[str, Visitor] = {}
        self._by_session: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def enter(self, token: str | None, session: str) -> Visitor:
        """A page was loaded by the browser that was given `token` before, if it was."""
        with self._lock:
            visitor = self._by_token.get(token or "") or self._by_session.get(session) or self._create()
            visitor.sessions.add(session)
            visitor.seen = time.monotonic()
            self._by_session[session] = visitor
            return visitor

    def of(self, session: str | None) -> Visitor:
        """The visitor of a session, new where the session is."""
        return self.enter(None, session or secrets.token_urlsafe(8))

    def leave(self, session: str) -> None:
        """A page was closed, or reloaded."""
        with self._lock:
            visitor = self._by_session.pop(session, None)
            if visitor:
                visitor.sessions.discard(session)
                visitor.seen = time.monotonic()

    def add(self, visitor: Visitor, job: Job) -> Path:
        """Remember a job and give it its folder; the oldest finished ones go."""
        with self._lock:
            visitor.jobs[job.id] = job
            finished = [j for j in visitor.jobs.values() if j.finished]
            for old in finished[: max(0, len(visitor.jobs) - self._keep_results)]:
                del visitor.jobs[old.id]
                shutil.rmtree(visitor.folder / old.id, ignore_errors=True)
            folder = visitor.folder / job.id
            folder.mkdir()
            return folder

    def sweep(self) -> None:
        """Delete the files of visitors who have gone, and uploads that were never used."""
        now = time.monotonic()
        with self._lock:
            gone = [
                v
                for v in self._by_token.values()
                if now - v.seen > self._keep_seconds * (6 if v.sessions else 1)
                and all(job.finished for job in v.jobs.values())
            ]
            for visitor in gone:
                del self._by_token[visitor.token]
                for session in visitor.sessions:
                    self._by_session.pop(session, None)
            used = {path for v in self._by_token.values() for path in v.uploads}
        for visitor in gone:
            shutil.rmtree(visitor.folder, ignore_errors=True)
            for path in visitor.uploads - used:
                if path.parent.name != EXAMPLES:
                    _remove_upload(path)
        self._sweep_uploads(used)

    def _sweep_uploads(self, used: set[Path]) -> None:
        oldest = time.time() - 6 * self._keep_seconds
        for folder in self.root.iterdir():
            if folder.name in (EXAMPLES, _VISITORS) or not folder.is_dir():
                continue
            for path in folder.iterdir():
                if path not in used and path.stat().st_ctime < oldest:
                    _remove_upload(path)

    def _create(self) -> Visitor:
        token = secrets.token_urlsafe(24)
        folder = self.root / _VISITORS / token
        folder.mkdir(parents=True, mode=0o700)
        visitor = Visitor(token, folder)
        self._by_token[token] = visitor
        return visitor


def _remove_upload(path: Path) -> None:
    """The file and its folder, which is named after its content and may hold it under another name too."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()
