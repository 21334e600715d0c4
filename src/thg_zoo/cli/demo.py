"""`thg-zoo demo`: the page, and the API behind it."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import threading
from collections.abc import Iterator
from typing import Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.errors import UsageError
from thg_zoo.runtime import resolve_runtime

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def demo(
    host: Annotated[
        str, typer.Option(help="Address to listen at. The default is reachable from this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port. Default: the first free one from 7860.")] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; several with commas, one worker each.")
    ] = "auto",
    auth: Annotated[
        str | None,
        typer.Option(help="Ask visitors for these.", metavar="USER:PASSWORD", envvar="THG_ZOO_DEMO_AUTH"),
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also publish the page through gradio's tunnel, for anybody on the web.")
    ] = False,
    fetching: Annotated[
        bool | None,
        typer.Option(
            "--fetching/--no-fetching",
            help="Let visitors fetch weights and accept their terms. Default: only if the page is for this machine.",
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(help="Largest file accepted, in MB.", min=1)] = 200,
    max_waiting: Annotated[int, typer.Option(help="Runs that may wait in line.", min=1)] = 32,
    keep_minutes: Annotated[
        float, typer.Option(help="How long files are kept after a visitor has left.", min=0.1)
    ] = 10,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="A dry run: no downloads, and results that show nothing.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the page on which all this is done with the mouse, and its API."""
    credentials = _credentials(auth)
    private = host in _LOOPBACK and not share
    _require_gradio()
    devices = tuple(device.split(","))
    for named in set(devices) - {"auto", "cpu"}:
        resolve_runtime(named)
    from thg_zoo.demo.server import serving
    from thg_zoo.demo.settings import Settings

    settings = Settings(
        devices=devices,
        weights="random" if random_weights else None,
        manage=private if fetching is None else fetching,
        max_upload_mb=max_upload,
        max_waiting=max_waiting,
        keep_seconds=60 * keep_minutes,
    )
    if not private and credentials is None:
        console.say("warning", "yellow", "Everybody who can reach this page may use it: --auth asks for a password.")
    with (
        _interruption() as stop,
        serving(settings, host=host, port=port, auth=credentials, share=share, open_browser=open_browser) as address,
    ):
        for line in filter(None, [address.local, address.share]):
            console.out().print(line, markup=False, soft_wrap=True)
        console.err().print("Ctrl-C ends it and deletes everything that was uploaded and made.")
        stop.wait()


@contextlib.contextmanager
def _interruption() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set. The exception that they raise otherwise is lost where it comes at a bad
    moment, in a destructor say, and the page would go on for ever."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _credentials(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise UsageError("--auth takes a name and a password.", "Write them as USER:PASSWORD.")
    return user, password


def _require_gradio() -> None:
    # Looked for, not imported: it makes a folder for uploads where it is told to when it is imported.
    if importlib.util.find_spec("gradio") is None:
        raise UsageError("The page needs gradio, which is not installed.", "Run `pip install 'thg-zoo[demo]'`.")
