"""PIRenderer from files of the published layout: from the hub to the video; where else the reconstruction lies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from layouts import load_layout
from local_hub import publish
from thg_zoo.adapters.pirender.adapter import PIRenderAdapter
from thg_zoo.cli.main import _main
from thg_zoo.media.probe import probe
from thg_zoo.media.video import VideoReader
from thg_zoo.media.writer import VideoWriter
from thg_zoo.runtime import Runtime
from thg_zoo.weights import Checkpoint, empty_networks, fill_networks
from thg_zoo.weights.content import Kind
from thg_zoo.weights.layout import extract
from thg_zoo.zoo import describe, empty_networks_of
from weights_setup import Machine, machine  # noqa: F401 (fixture)

GENERATOR = "epoch_00190_iteration_000400000_checkpoint.pt"


def test_the_files_fill_all_networks() -> None:
    networks = empty_networks_of("pirender")
    assert {part for file in describe("pirender").variant.files for part in file.parts} == set(networks)
    published = load_layout("pirender")[GENERATOR]["net_G_ema"]
    assert sum(int(np.prod(shape)) for shape in published.values()) == 22_519_109


def test_sadtalkers_file_holds_the_reconstruction() -> None:
    file = describe("pirender").variant.files[1]
    (conversion,) = (source for source in file.sources if source.conversion)
    ours = describe("sadtalker").variant.files[0]
    assert (conversion.path, conversion.sha256) == (ours.name, ours.sha256)
    tree = {"face_3drecon.backbone.conv1.weight": torch.zeros(1), "generator.first.conv.weight": torch.zeros(1)}
    part = file.parts["face_3drecon"]
    assert set(extract(Checkpoint(Path("weights"), Kind.SAFETENSORS, tree), part)) == {"backbone.conv1.weight"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of the published names and layouts."""
    folder, model = tmp_path_factory.mktemp("weights"), describe("pirender")
    with empty_networks():
        networks = PIRenderAdapter(model, Runtime(torch.device("cpu"))).build_networks()
    fill_networks(networks, model.variant, "random")
    states = {name: network.state_dict() for name, network in networks.items()}
    generator = states["net_G_ema"]
    other = {name: value + 1 for name, value in generator.items()}
    training = {"current_epoch": 190, "current_iteration": 400_000}
    torch.save({"net_G": other, "net_G_ema": generator, **training}, folder / GENERATOR)
    torch.save({"net_recon": states["face_3drecon"], "opt_00": {}}, folder / "epoch_20.pth")
    detector = {f"module.{name}": value for name, value in states["retinaface"].items()}
    torch.save(detector, folder / "detection_Resnet50_Final.pth")
    torch.save({"state_dict": states["fan"]}, folder / "alignment_WFLW_4HG.pth")
    return folder


@pytest.mark.slow
def test_from_the_hub_to_the_file(
    machine: Machine,
    published: Path,
    face: NDArray[np.uint8],
    face_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = publish(machine.hub, describe("pirender"), published)
    monkeypatch.setattr("thg_zoo.zoo._registry", lambda: {"pirender": served})
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000_000)
    drive = tmp_path / "drive.mp4"
    with VideoWriter(drive, Fraction(30), face.shape[:2]) as writer:
        writer.write(np.stack([np.roll(face, 4 * k, axis=1) for k in range(3)]))
        writer.close()
    motion = tmp_path / "motion.npz"
    common = ["--device", "cpu", "--accept-license"]
    assert _main(["motion", "pirender", str(drive), "landmarks=mtcnn", "-o", str(motion), *common]) == 0
    # The published detector with seeded weights sees no face.
    for name, driver in (("video", drive), ("motion", motion)):
        out, report = tmp_path / f"{name}.mp4", tmp_path / f"{name}.json"
        command = ["run", "pirender", str(face_path), str(driver), "-o", str(out), "--report", str(report), *common]
        assert _main([*command, "landmarks=mtcnn", "paste_back=true"]) == 0
        assert report.read_text(encoding="utf-8").count('"verified": "sha256"') == 4
        assert probe(out).fps == 30
        with VideoReader(out) as reader:
            frames = list(reader)
        assert [frame.shape for frame in frames] == [(512, 512, 3)] * 3
        assert np.std(frames[0]) > 5
