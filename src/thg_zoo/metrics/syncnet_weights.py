"""The published weights of SyncNet: what, where, under which terms. Light: no torch until they are filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thg_zoo.spec import FileSource, Licence, Part, Variant, WeightFile

if TYPE_CHECKING:
    import torch

    from thg_zoo.metrics.syncnet import SyncNet

SYNCNET_FILE = WeightFile(
    name="syncnet_v2.model",
    role="judge of lip synchronisation",
    model="syncnet",
    size=54_573_114,
    sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
    licence=Licence(
        name="SyncNet weights",
        commercial=False,
        url="https://www.robots.ox.ac.uk/~vgg/software/lipsync/",
        terms="The code is MIT; the weights carry no licence of their own and were trained on BBC data: for research.",
    ),
    parts={"syncnet": Part()},
    sources=(
        FileSource(
            kind="huggingface",
            repo_id="lithiumice/syncnet",
            path="syncnet_v2.model",
            revision="dcb72bd3906c3282e367e700aff4351bb6574b4f",
        ),
        FileSource(
            kind="huggingface",
            repo_id="chunyu-li/LatentSync",
            path="auxiliary/syncnet_v2.model",
            revision="e305e1b",
        ),
        FileSource(kind="https", url="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model"),
    ),
)
SYNCNET = Variant(name="syncnet", title="SyncNet, the judge behind LSE-C and LSE-D", files=(SYNCNET_FILE,))


def load_syncnet(
    weights: str | Path | None, device: torch.device, *, accept_licence: bool = False, seed: int = 0
) -> SyncNet:
    """The network, filled: see `thg_zoo.load` for `weights`. Raises WeightsError."""
    from thg_zoo.metrics.syncnet import SyncNet
    from thg_zoo.weights import empty_networks, fill_networks

    with empty_networks():
        network = SyncNet()
    fill_networks({"syncnet": network}, SYNCNET, weights, base=seed, accept_licence=accept_licence, device=device)
    return network
