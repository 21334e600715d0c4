"""What the tests of weights share: a machine of its own, pointed at the local hub, and small files."""

from __future__ import annotations

import hashlib
import io
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from local_hub import FIRST_COMMIT, LocalHub, running
from thg_zoo.spec import FileSource, Licence, Part, Variant, WeightFile

FREE = Licence("MIT", True)
REPO = "someone/weights"


class Naps:
    """The time module for the hub's client: it does not sleep, and what it would have slept is kept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Machine:
    """A hub, and a user's machine with empty folders that knows only this hub."""

    def __init__(self, hub: LocalHub, folder: Path, naps: Naps) -> None:
        self.hub = hub
        self.folder = folder
        self.naps = naps

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to be on the same machine."""
        return {
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": self.hub.url,
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def files(self) -> list[Path]:
        """Every file below the caches that could be taken for weights: no locks, no records, no halves."""
        beside = {".lock", ".json", ".TAG", ".incomplete"}
        return [p for p in (self.folder / "hf").rglob("*") if p.is_file() and p.suffix not in beside]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    naps = Naps()
    with running() as hub:
        box = Machine(hub, tmp_path, naps)
        for name, value in box.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "THG_ZOO_ACCEPT_LICENSES"):
            monkeypatch.delenv(name, raising=False)
        # These were read from the environment when the client was imported.
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        # Small, so that a megabyte can be cut where a gigabyte would be.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
        monkeypatch.setattr(_http, "time", naps)
        monkeypatch.setattr(file_download, "time", naps)
        yield box


def hub_source(repo: str = REPO, path: str = "net.pth", **more: Any) -> FileSource:
    kind, _, name = repo.partition("/")
    if kind in {"spaces", "datasets"}:
        return FileSource("huggingface", name, kind.removesuffix("s"), path, **{"revision": FIRST_COMMIT, **more})
    return FileSource("huggingface", repo, "model", path, **{"revision": FIRST_COMMIT, **more})


def weight_file(content: bytes | None, *sources: FileSource, name: str = "net.pth", **more: Any) -> WeightFile:
    """A record of a file with these bytes (None: nothing is known of them), by default in the hub's one repository."""
    known = {} if content is None else {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    defaults = {"role": "network", "licence": FREE, "parts": {"net": Part()}, "model": "toy", **known}
    return WeightFile(name=name, sources=sources or (hub_source(path=name),), **{**defaults, **more})


def variant_of(*files: WeightFile) -> Variant:
    return Variant("toy", "Toy", files)


class Net(nn.Module):
    """A network with everything that loading has to get right: norms, constants, a grid that no file holds."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 4)
        self.register_buffer("kernel", torch.full((3, 3), 1 / 9))
        self.register_buffer("grid", torch.arange(4.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3))) * self.kernel.sum() + self.grid


def trained_net(seed: int = 0, width: int = 8) -> Net:
    torch.manual_seed(seed)
    net = Net(width).eval()
    net.norm.running_mean += 0.5
    return net


def saved(value: Any, legacy: bool = False) -> bytes:
    """What torch.save writes, in its current or its old format."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()
