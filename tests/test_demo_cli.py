"""The command `thg-zoo demo`, and the folder demo/ as a Hugging Face Space."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the demo needs gradio")

import httpx
import yaml

import thg_zoo.demo
import thg_zoo.demo.server
from demo_server import STARTED, free_port, running
from thg_zoo.cli.main import _main
from thg_zoo.demo.server import Address
from thg_zoo.demo.settings import Settings

FOLDER = Path(thg_zoo.demo.__file__).parent


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With what the command would serve the page."""
    found: dict[str, Any] = {}

    @contextmanager
    def serving(settings: Settings, **more: Any) -> Iterator[Address]:
        found.update(more, settings=settings)
        # As if it were interrupted at once.
        signal.raise_signal(signal.SIGTERM)
        yield Address("http://here", None)

    monkeypatch.setattr(thg_zoo.demo.server, "serving", serving)
    return found


def test_the_defaults_are_for_this_machine_only(served: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(["demo"]) == 0
    assert served.pop("settings") == Settings()
    assert served == {"host": "127.0.0.1", "port": None, "auth": None, "share": False, "open_browser": False}
    assert capsys.readouterr().out == "http://here\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_and_leave_nothing(number: int, tmp_path: Path) -> None:
    with running(tmp_path) as page:
        page.process.send_signal(number)
        assert page.process.wait(timeout=30) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


@pytest.mark.parametrize("public", [["--host", "0.0.0.0"], ["--share"]])
def test_a_page_for_others_fetches_nothing_unless_told(
    public: list[str], served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["demo", *public]) == 0
    assert not served["settings"].manage
    assert "--auth" in capsys.readouterr().err
    assert _main(["demo", *public, "--fetching", "--auth", "anna:se:cret"]) == 0
    assert served["settings"].manage
    assert served["auth"] == ("anna", "se:cret")
    assert "--auth" not in capsys.readouterr().err


def test_every_option_arrives(served: dict[str, Any]) -> None:
    options = "--port 8000 --device cpu,auto --max-upload 5 --max-waiting 6 --keep-minutes 2 --random-weights --open"
    assert _main(["demo", *options.split(), "--no-fetching"]) == 0
    assert served["settings"] == Settings(("cpu", "auto"), "random", False, 5, 6, keep_seconds=120)
    assert (served["port"], served["open_browser"]) == (8000, True)


def test_the_password_can_come_from_the_environment(served: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THG_ZOO_DEMO_AUTH", "anna:secret")
    assert _main(["demo"]) == 0
    assert served["auth"] == ("anna", "secret")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--auth", "anna"], "USER:PASSWORD"),
        (["--auth", ":secret"], "USER:PASSWORD"),
        (["--device", "toaster"], "'toaster' is not a device."),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], message: str, served: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["demo", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not served


def test_without_gradio_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert _main(["demo"]) == 2
    assert "pip install 'thg-zoo[demo]'" in capsys.readouterr().err


def test_a_port_in_use_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "thg_zoo", "demo", "--port", str(taken.getsockname()[1])]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=STARTED)
    assert done.returncode == 2
    assert "Choose another --port." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_example_needs_no_gradio() -> None:
    code = "import sys; sys.modules['gradio'] = None; from thg_zoo.demo import example_source; example_source().stat()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_folder_is_a_space(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "space", ignore=shutil.ignore_patterns("__pycache__"))
    header = re.match(r"---\n(.*?)\n---\n", (tmp_path / "space" / "README.md").read_text(encoding="utf-8"), re.S)
    assert header
    said = yaml.safe_load(header[1])
    assert said["sdk"] == "gradio"
    assert "thg-zoo[demo]" in (tmp_path / "space" / "requirements.txt").read_text(encoding="utf-8")
    port = free_port()
    variables = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, said["app_file"]], cwd=tmp_path / "space", env=variables)
    try:
        page = _config(f"http://127.0.0.1:{port}/config", process)
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "up to 50 MB" in page
    assert "up to 120 seconds" in page
    assert "Accept the terms" not in page


def _config(url: str, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + STARTED
    while time.monotonic() < end and process.poll() is None:
        try:
            return httpx.get(url).text
        except httpx.ConnectError:
            time.sleep(0.1)
    raise AssertionError("the Space did not start")
