"""A small server that speaks the Hugging Face hub's protocol, and can be told to fail in every known way.

`HEAD /<repo>/resolve/<revision>/<path>` answers as the hub does for a large file: a redirect to another address
with X-Repo-Commit, X-Linked-Size and X-Linked-ETag (the sha256); the address behind it serves the bytes, with
ranges. `/assets/<name>` serves plain files, as a release page does. Every request is kept in `requests`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from thg_zoo.zoo import ModelDescription

RESOLVE = re.compile(r"/(?:(?P<type>spaces|datasets)/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
COMMITS = re.compile(r"/api/(?P<type>models|spaces|datasets)/(?P<repo>[^/]+/[^/]+)/commits/(?P<revision>[^/?]+)")
ERRORS = {401: "GatedRepo", 404: "EntryNotFound"}
FIRST_COMMIT = "1" * 40


@dataclass
class Fault:
    """What goes wrong, `times` times.

    status: answer with this; headers: with these; cut_after: close the connection after so many bytes of the
    body; seconds: wait so long before the body; content: serve other bytes, under the right tag; tag: announce
    another sha256; at: "head" or "body".
    """

    at: str = "body"
    times: int = 1_000_000
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    seconds: float = 0.0
    content: bytes | None = None
    tag: str = ""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class LocalHub:
    """Files by (repository type and name, path), and the faults of each path."""

    url: str = ""
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    assets: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[Request] = field(default_factory=list)
    commit: str = FIRST_COMMIT

    def add(self, repo: str, path: str, content: bytes) -> str:
        """Publish a file (`repo` may begin with `spaces/` or `datasets/`); its sha256."""
        self.files[repo, path] = content
        return hashlib.sha256(content).hexdigest()

    def fail(self, path: str, **what: object) -> None:
        """Let requests for `path` fail from now on, as `Fault` describes."""
        self.faults[path].append(Fault(**what))  # type: ignore[arg-type]

    def heal(self) -> None:
        self.faults.clear()

    def bodies(self, path: str) -> list[Request]:
        """The requests for the bytes of `path`, in order."""
        return [r for r in self.requests if r.method == "GET" and r.path.endswith("/" + path) and "/api/" not in r.path]

    def next_fault(self, path: str, at: str) -> Fault:
        for fault in self.faults[path]:
            if fault.at == at and fault.times > 0:
                fault.times -= 1
                return fault
        return Fault()


def publish(hub: LocalHub, model: ModelDescription, folder: Path) -> ModelDescription:
    """The files of a variant put on the hub as they lie in a folder; the model as its card would name them there."""
    files = []
    for file in model.variant.files:
        source = next(s for s in file.sources if s.kind == "huggingface")
        content = (folder / file.name).read_bytes()
        sha256 = hub.add(source.repo_id, source.path, content)
        pinned = (replace(source, revision=hub.commit),)
        files.append(replace(file, sha256=sha256, size=len(content), sources=pinned))
    return replace(model, variant=replace(model.variant, files=tuple(files)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LocalHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._note()
        found = RESOLVE.fullmatch(unquote(self.path))
        if not found:
            self._send(200 if self.path == "/" else 404, {})
            return
        repo, path = self._repo(found), found["path"]
        fault = self.hub.next_fault(path, "head")
        if fault.status != 200:
            self._refuse(fault)
        elif (repo, path) not in self.hub.files:
            known = any(r == repo for r, _ in self.hub.files)
            code = "EntryNotFound" if known else "RepoNotFound"
            self._send(404 if known else 401, {"X-Error-Code": code, "X-Repo-Commit": self.hub.commit})
        else:
            content = self.hub.files[repo, path]
            tag = fault.tag or hashlib.sha256(content).hexdigest()
            self._send(302, self._linked(repo, path, content, tag))

    def do_GET(self) -> None:
        self._note()
        address = unquote(self.path)
        if COMMITS.match(address):
            commit = {"id": self.hub.commit, "date": "2024-01-01T00:00:00Z"}
            self._json([{**commit, "title": "", "message": "", "authors": []}])
            return
        if address.startswith("/assets/"):
            name = address.removeprefix("/assets/")
            self._body(name, self.hub.assets.get(name))
            return
        if address.startswith("/lfs/"):
            repo, path = address.removeprefix("/lfs/").split("//", 1)
            self._body(path, self.hub.files.get((repo, path)))
            return
        self._send(404, {"X-Error-Code": "RepoNotFound"})

    def _repo(self, found: re.Match[str]) -> str:
        return f"{found['type']}/{found['repo']}" if found["type"] else found["repo"]

    def _linked(self, repo: str, path: str, content: bytes, tag: str) -> dict[str, str]:
        return {
            "X-Repo-Commit": self.hub.commit,
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{tag}"',
            "ETag": f'"{tag}"',
            # Another host than the hub's own, as the stores of large files are: tokens must not follow.
            "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/lfs/{repo}//{path}",
        }

    def _body(self, path: str, content: bytes | None) -> None:
        fault = self.hub.next_fault(path, "body")
        if fault.status != 200:
            self._refuse(fault)
            return
        if content is None:
            self._send(404, {"X-Error-Code": "EntryNotFound"})
            return
        content = content if fault.content is None else fault.content
        start = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "bytes=0-")[1])  # type: ignore[index]
        if start and start >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        ranged = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.send_response(206 if start else 200)
        for name, value in {**ranged, "Content-Length": str(len(content) - start), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        threading.Event().wait(fault.seconds)
        end = len(content) if fault.cut_after is None else start + fault.cut_after
        self.wfile.write(content[start:end])
        if fault.cut_after is not None:
            self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        code = ERRORS.get(fault.status)
        self._send(fault.status, {**({"X-Error-Code": code} if code else {}), **fault.headers})

    def _json(self, data: object) -> None:
        text = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _send(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self) -> None:
        self.hub.requests.append(
            Request(self.command, unquote(self.path), self.headers.get("Range"), self.headers.get("Authorization"))
        )


@contextmanager
def running() -> Iterator[LocalHub]:
    """A hub on a free port of this machine."""
    hub = LocalHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
