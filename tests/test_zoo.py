"""The registry: cards, names, third-party models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import thg_zoo
from thg_zoo.errors import SpecError, UnknownModelError
from thg_zoo.spec import FileSource, bundled, parse
from thg_zoo.zoo import describe, list_models
from toy import CARD

THIRD_PARTY = Path(__file__).parent / "third_party"


def test_every_bundled_card_is_valid_and_its_options_are_described() -> None:
    assert "warp" in bundled()
    for model in list_models():
        assert describe(model.name) == model


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match="'warp'"):
        thg_zoo.load("wrap")


def test_filters() -> None:
    audio = {m.name for m in list_models(driver="audio")}
    assert "warp" in audio
    assert all("audio" in m.spec.drivers for m in list_models(driver="audio"))
    assert all(m.commercial for m in list_models(commercial=True))
    assert "warp" in {m.name for m in list_models(commercial=True)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("title: Toy", "titel: Toy"), "titel"),
        (("title: Toy\n", ""), "title"),
        (("drivers: [audio, video, image]", "drivers: [sound]"), "sound"),
        (("audio_rate: 16000\n", ""), "audio_rate"),
        (("licence: {name: Apache-2.0, commercial: true}", "licence: free"), "licence"),
        (("title: Toy", "title: [Toy"), "YAML"),
        (("synthesis: compositeSynthetic", "synthesis: fake"), "fake"),
        (("fps: 25", "fps: 25\nvariants: {toy: {title: Toy, files: [weights.pth]}}"), "weights.pth"),
    ],
)
def test_broken_cards_are_refused_with_the_place(change: tuple[str, str], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse("toy", CARD.replace(*change))
    assert words in str(caught.value)


def test_only_whole_commits_count_as_pinned() -> None:
    def source(revision: str) -> FileSource:
        return FileSource("huggingface", repo_id="a/b", path="c", revision=revision)

    assert source("0" * 40).pinned
    assert not source("main").pinned
    assert not source("0" * 7).pinned


def test_an_installed_package_adds_its_model(tmp_path: Path) -> None:
    """Install a package into a folder of its own and use its model from a fresh interpreter."""
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    copy = tmp_path / "source"
    subprocess.run(["cp", "-r", str(THIRD_PARTY), str(copy)], check=True)
    subprocess.run([*pip, "--target", str(site), str(copy)], check=True)
    program = """
import numpy as np, thg_zoo
assert thg_zoo.describe("mirror").options[0].help == "Frames after which it turns."
picture = np.zeros((32, 32, 3), np.uint8)
picture[:, 16:] = 200
sound = (np.zeros(1600, np.float32), 16000)
frames = thg_zoo.load("mirror", device="cpu").animate(picture, sound, period=1).to_array()
print([int(frame[0, 0, 0]) for frame in frames])
"""
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0, 200, 0]"
    assert "mirror" not in {m.name for m in list_models()}
    card = next(site.rglob("mirror.yaml"))
    card.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "thg_zoo", "list"], capture_output=True, text=True, env=environment | {"COLUMNS": "200"}
    )
    assert done.returncode == 2
    assert "'mirror' cannot be read" in done.stderr
