"""Starting and stopping the page."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from thg_zoo.demo.settings import Settings
from thg_zoo.errors import UsageError

_PREFIX = "thg-zoo-demo-"
# Each visitor who watches a run takes one of gradio's places for events.
_MOST_THREADS = 128
# Gradio keeps a copy of the page for each session for an hour, a megabyte each; nothing here needs it for longer than
# an event lasts.
_MOST_SESSIONS = 16


@dataclass(frozen=True)
class Address:
    """Where the page answers. share: the public address, if one was asked for."""

    local: str
    share: str | None


@contextlib.contextmanager
def serving(
    settings: Settings,
    *,
    host: str | None = "127.0.0.1",
    port: int | None = None,
    auth: tuple[str, str] | None = None,
    share: bool = False,
    open_browser: bool = False,
) -> Iterator[Address]:
    """The page, served until the context ends; then everything uploaded and generated is deleted.

    host: None leaves it to GRADIO_SERVER_NAME, else loopback; port: None takes a free one from 7860. Raises
    UsageError where the address cannot be had.
    """
    with _private_folder() as root:
        # Gradio puts uploads there, and takes nothing from elsewhere; it knows no other way to be told.
        os.environ["GRADIO_TEMP_DIR"] = str(root)
        from starlette.middleware import Middleware

        from thg_zoo.demo.guard import Guard
        from thg_zoo.demo.page import build
        from thg_zoo.demo.service import Service

        service = Service(settings, root)
        page, looks = build(service)
        max_upload = settings.max_upload_mb * 1_000_000
        settings_of_server = {
            "server_name": host,
            "server_port": port,
            "auth": [auth] if auth else None,
            "share": share,
            "inbrowser": open_browser,
            "max_file_size": max_upload,
            "app_kwargs": {"middleware": [Middleware(Guard, root=root, max_upload=max_upload)]},
        }
        try:
            yield _launch(page, **settings_of_server, **looks)
        finally:
            page.close(verbose=False)
            service.close()


def _launch(page: Any, **settings: Any) -> Address:
    try:
        _, local, public = page.launch(
            prevent_thread_lock=True,
            quiet=True,
            max_threads=_MOST_THREADS,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            state_session_capacity=_MOST_SESSIONS,
            **settings,
        )
    except OSError as error:
        where = f"{settings['server_name']}:{settings['server_port']}"
        raise UsageError(f"The page cannot be served at {where}: {error}", "Choose another --port.") from error
    return Address(local, public)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this user can read, gone afterwards; also removes what crashed servers left."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout), FileLock(old / "lock", timeout=0):
            shutil.rmtree(old, ignore_errors=True)
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix=_PREFIX)))
    try:
        with FileLock(root / "lock", timeout=0):
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
