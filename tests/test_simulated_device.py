"""Every model on a simulated accelerator: nothing is left on the host that belongs to the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import thg_zoo
from simulated_device import DEVICE, all_on_device, simulated_device
from test_contract import FEW, NAMES, QUICK, SLOW
from thg_zoo import runtime
from thg_zoo.faces import mtcnn
from thg_zoo.faces.pyramid import shrink
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.runtime import Runtime
from thg_zoo.zoo import describe


def test_the_simulation_refuses_what_devices_refuse() -> None:
    host = torch.ones(2, 2)
    with simulated_device():
        there = host.to(DEVICE)
        assert there.device == DEVICE == torch.zeros(3, device=there.device).device
        assert (there + 1).device == DEVICE
        assert torch.equal((there + 1).cpu(), host + 1)
        assert all_on_device(torch.nn.Linear(2, 2).to(DEVICE))
        assert not all_on_device(torch.nn.Linear(2, 2))
        for mixed in (
            lambda: there + host,
            lambda: there @ host,
            lambda: torch.cat([host, there]),
            lambda: host[there],
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(there)
        with pytest.raises(TypeError, match="float64"):
            there.double()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW - {"fomm"} else []) for name in NAMES]
)
def test_a_model_runs_on_a_device(
    name: str,
    face: NDArray[np.uint8],
    face_clip: Clip,
    short_speech: Audio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = describe(name).spec
    weights = "random" if describe(name).variant.files else None
    options: dict[str, Any] = QUICK.get(spec.name, {})
    # Only a CPU's detector works on bytes, and finds faces up to a pixel beside where others do.
    monkeypatch.setattr(mtcnn, "shrink", lambda batch, layout: shrink(batch.float(), layout))
    driver = short_speech if spec.drivers[0] == "audio" else Clip(face_clip.frames[: FEW[spec.name]], face_clip.fps)

    def first_frames(device: str) -> NDArray[np.uint8]:
        model = thg_zoo.load(name, weights=weights, device=device, batch_size=2)
        if device != "cpu":
            assert all(all_on_device(network) for network in model.networks.values())
        return next(model.animate(face, driver, **options).batches())

    expected = first_frames("cpu")
    with simulated_device() as device:
        monkeypatch.setattr(runtime, "resolve_runtime", lambda *_: Runtime(device, batch_size=2))
        found = first_frames("cuda")
    # Textures of `warp` are sampled otherwise on a device; networks round otherwise.
    assert (np.abs(found.astype(int) - expected) > 1).mean() < 1e-3
