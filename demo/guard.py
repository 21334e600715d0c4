"""The door of the server: what gradio offers beyond this page's needs stays shut."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse

# Everything but an upload is a few numbers and names.
_LARGEST_REQUEST = 1_000_000
# Of the disk: results have to fit as well.
_RESERVE = 500_000_000


class Guard:
    """ASGI middleware. Serves files from `root` only, fetches no addresses for others, and bounds requests."""

    def __init__(self, app: Any, root: Path, max_upload: int) -> None:
        self._app = app
        self._root = os.path.realpath(root)
        self._max_upload = max_upload

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["path"]) or self._too_large(scope)
        if refusal:
            code, text = refusal
            await PlainTextResponse(text, code)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive, self._limit(scope["path"])), send)

    def _refusal(self, path: str) -> tuple[int, str] | None:
        if "/proxy=" in path:
            return 403, "Addresses are not fetched."
        _, marker, file = path.partition("/file=")
        if marker and not self._inside(file):
            return 403, "Not a file of this page."
        return None

    def _inside(self, file: str) -> bool:
        try:
            return os.path.commonpath([self._root, os.path.realpath(file)]) == self._root
        except ValueError:
            return False

    def _limit(self, path: str) -> int:
        # The envelope of an upload is larger than the file by its headers.
        return self._max_upload + _LARGEST_REQUEST if path.rstrip("/").endswith("/upload") else _LARGEST_REQUEST

    def _too_large(self, scope: Any) -> tuple[int, str] | None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        limit = self._limit(scope["path"])
        if not length.isdigit() or int(length) > limit:
            return 413, f"Files of up to {self._max_upload // 1_000_000} MB are accepted."
        if limit > _LARGEST_REQUEST and shutil.disk_usage(self._root).free < limit + _RESERVE:
            return 507, "The disk of the server is full."
        return None


def _bounded(receive: Any, limit: int) -> Any:
    """`receive` that breaks the connection of a request that is longer than it said."""
    seen = 0

    async def limited() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > limit else message

    return limited
