"""The commands `thg-zoo weights` and `thg-zoo licenses`, and that the guide agrees with them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.main import get_command

import thg_zoo.weights
from local_hub import FIRST_COMMIT
from thg_zoo import spec, zoo
from thg_zoo.cli import licenses, weights
from thg_zoo.cli.main import _main
from weights_setup import REPO, Machine, Net, machine, saved, trained_net  # noqa: F401 (fixture)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch announces the end of scripting

GUIDE = (Path(__file__).parent.parent / "docs" / "weights.md").read_text(encoding="utf-8")

CARD = """
title: Toy
summary: A toy.
adapter: nowhere:Adapter
options_class: nowhere:Options
sources: [image]
drivers: [image]
licence: {{name: MIT, commercial: true}}
variants:
  toy: {{title: Toy, files: [own.pth, shared.pth]}}
  toy-large: {{title: Large toy, files: [large.pth, shared.pth]}}
files:
  own.pth:
    role: network
    sha256: {own}
    licence: {{name: MIT, commercial: true}}
    parts: {{net: {{}}}}
    sources: [{{kind: huggingface, repo_id: {repo}, path: own.pth, revision: "{commit}"}}]
  large.pth:
    role: network
    sha256: {large}
    licence: {{name: Research only, commercial: false, terms: For research., url: "https://x.example"}}
    parts: {{net: {{}}}}
    sources: [{{kind: huggingface, repo_id: {repo}, path: large.pth, revision: "{commit}"}}]
  shared.pth:
    role: detector
    sha256: {shared}
    licence: {{name: MIT, commercial: true}}
    parts: {{detector: {{}}}}
    sources: [{{kind: huggingface, repo_id: {repo}, path: shared.pth, revision: "{commit}"}}]
"""

Run = Callable[..., int]


@pytest.fixture
def contents() -> dict[str, bytes]:
    return {f"{name}.pth": saved(trained_net(i).state_dict()) for i, name in enumerate(("own", "large", "shared"))}


@pytest.fixture
def run(machine: Machine, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line on a machine where a toy model and its large variant are all there is."""
    hashes = {name.removesuffix(".pth"): machine.hub.add(REPO, name, content) for name, content in contents.items()}
    card = spec.parse("toy", CARD.format(repo=REPO, commit=FIRST_COMMIT, **hashes))
    monkeypatch.setattr(zoo, "bundled", lambda: {"toy": card})
    monkeypatch.setattr(zoo, "entry_points", lambda **_: ())
    monkeypatch.setattr(weights, "empty_networks_of", lambda _: {"net": Net(), "detector": Net(4)})
    zoo._registry.cache_clear()
    yield lambda *arguments: _main(list(arguments))
    zoo._registry.cache_clear()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return re.sub(r"\s+", " ", out + err)


def test_list(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("weights", "list") == 0
    text = said(capsys)
    assert "toy own.pth ? no yes MIT" in text
    assert "toy-large large.pth ? no no Research only" in text
    run("weights", "pull", "toy")
    capsys.readouterr()
    run("weights", "list", "--commercial")
    text = said(capsys)
    assert "own.pth ? yes yes MIT" in text
    assert "large.pth" not in text


def test_pull_path_verify_remove(
    run: Run, machine: Machine, contents: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("weights", "path", "toy") == 5
    assert "Run `thg-zoo weights pull toy`" in said(capsys)
    assert run("weights", "pull", "toy") == 0
    assert "own.pth: proved by its published sha256, huggingface:" in said(capsys)
    assert run("weights", "path", "toy") == 0
    own, shared = (Path(line) for line in capsys.readouterr().out.splitlines())
    assert own.read_bytes() == contents["own.pth"]
    assert shared.read_bytes() == contents["shared.pth"]
    assert run("weights", "verify") == 0
    assert said(capsys).count("sha256") == 2
    content = bytearray(contents["own.pth"])
    content[-1] ^= 1
    times = own.stat()
    own.resolve().write_bytes(content)
    os.utime(own.resolve(), ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run("weights", "verify", "toy") == 5
    assert "WRONG" in said(capsys)
    assert run("weights", "remove", "toy") == 0
    assert machine.files() == []
    capsys.readouterr()
    assert run("weights", "verify") == 0
    assert "nothing to verify" in said(capsys)
    assert run("weights", "remove", "toy") == 0
    assert "Nothing was removed." in said(capsys)


def test_pull_asks_for_licences_before_anything_is_fetched(
    run: Run, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("weights", "pull", "--all") == 5
    assert "thg-zoo licenses accept research-only" in said(capsys)
    assert machine.hub.requests == []
    assert run("weights", "pull", "--all", "--accept-license") == 0
    assert "Accepted: Research only (no commercial use). For research. https://x.example" in said(capsys)
    assert run("weights", "pull", "toy-large", "--accept-license") == 0
    assert "Accepted" not in said(capsys), "the terms are shown once"


def test_pull_commercial_only(run: Run, machine: Machine) -> None:
    assert run("weights", "pull", "--commercial") == 0
    assert {r.path.rsplit("/", 1)[-1] for r in machine.hub.requests} == {"own.pth", "shared.pth"}


def test_pull_tells_all_failures_and_keeps_what_worked(
    run: Run, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    run("licenses", "accept", "toy-large")
    for name in ("own.pth", "large.pth"):
        machine.hub.fail(name, at="head", status=404)
    assert run("weights", "pull", "--all") == 5
    text = said(capsys)
    assert "own.pth (network) could not be had" in text
    assert "large.pth (network) could not be had" in text
    run("weights", "path", "toy")
    assert "shared.pth" in capsys.readouterr().out


def test_pull_needs_to_know_what(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("weights", "pull") == 2
    assert run("weights", "pull", "tou") == 2
    assert "Did you mean 'toy'" in said(capsys)


def test_remove_keeps_what_another_model_uses(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("weights", "pull", "--all", "--accept-license")
    capsys.readouterr()
    assert run("weights", "remove", "toy") == 0
    text = said(capsys)
    assert text.count("removed") == 1
    assert re.search(r"kept \S+shared\.pth: another model uses it", text)
    assert run("weights", "path", "toy-large") == 0
    assert run("weights", "remove", "toy-large") == 0
    assert run("weights", "path", "toy-large") == 5


def test_remove_keeps_bytes_that_another_revision_in_the_cache_uses(
    run: Run, machine: Machine, contents: dict[str, bytes]
) -> None:
    from huggingface_hub import hf_hub_download

    run("weights", "pull", "toy")
    machine.hub.commit = "2" * 40
    other = Path(hf_hub_download(REPO, "own.pth", revision="2" * 40))
    run("weights", "remove", "toy")
    assert other.read_bytes() == contents["own.pth"]


def test_import(run: Run, tmp_path: Path, contents: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a (1).pth").write_bytes(contents["own.pth"])
    assert run("weights", "import", str(tmp_path / "a (1).pth"), "toy") == 0
    assert "is own.pth (proved by its published sha256)" in said(capsys)
    torch.jit.script(trained_net(7)).save(str(tmp_path / "b.pt"))
    assert run("weights", "import", str(tmp_path / "b.pt"), "toy") == 5
    assert "--trust" in said(capsys)
    (tmp_path / "c.pth").write_bytes(contents["large.pth"])
    assert run("weights", "import", str(tmp_path / "c.pth"), "toy") == 5
    assert "it is large.pth of the same model: ask for the variant that uses it" in said(capsys)
    assert run("weights", "import", str(tmp_path / "none.pth"), "toy") == 5


def test_licenses(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("licenses") == 0
    text = said(capsys)
    assert "mit: toy, toy-large" in text
    assert "research-only: toy-large Research only (no commercial use). For research." in text
    assert "accept it with `thg-zoo licenses accept research-only`" in text
    assert run("licenses", "accept", "Research only") == 0
    run("licenses")
    assert "https://x.example accepted" in said(capsys)
    assert run("licenses", "accept", "reserch") == 2
    assert "Did you mean 'research-only'" in said(capsys)


def test_list_needs_neither_torch_nor_a_network(tmp_path: Path) -> None:
    code = """
import socket, sys
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from thg_zoo.cli.main import _main
code = _main(["weights", "list"]) or _main(["licenses"])
heavy = {"torch", "numpy", "httpx2", "httpx", "requests", "huggingface_hub.file_download"} & set(sys.modules)
sys.exit(str(heavy) if heavy else code)
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "wav2lip" in ran.stdout


# The guide.


def test_the_guide_shows_every_command_and_only_these() -> None:
    documented = set(re.findall(r"`thg-zoo (weights \w+|licenses accept|licenses)", GUIDE))
    existing = {f"weights {name}" for name in get_command(weights.app).commands}
    existing |= {f"licenses {name}" for name in get_command(licenses.app).commands} | {"licenses"}
    assert documented == existing


def test_the_guides_options_exist() -> None:
    rows = re.findall(r"^\| `thg-zoo (weights|licenses) (\w+)([^`]*)`", GUIDE, re.MULTILINE)
    assert len(rows) >= 7
    for group, name, rest in rows:
        command = get_command({"weights": weights.app, "licenses": licenses.app}[group]).commands[name]
        known = {option for parameter in command.params for option in parameter.opts} - {"--help"}
        assert set(re.findall(r"--[\w-]+", rest)) == {option for option in known if option.startswith("--")}


def test_the_guides_python_names_exist() -> None:
    (imported,) = re.findall(r"from thg_zoo\.weights import (.+)", GUIDE)
    assert set(imported.split(", ")) <= set(thg_zoo.weights.__all__)
    for name in thg_zoo.weights.__all__:
        assert getattr(thg_zoo.weights, name) is not None
    with pytest.raises(AttributeError):
        thg_zoo.weights.nothing  # noqa: B018
