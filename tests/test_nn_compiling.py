"""Compiled networks: the same function, and a clear error where there is no compiler."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn

from thg_zoo.errors import DeviceError
from thg_zoo.nn.compiling import compiled
from thg_zoo.nn.nearest import NearestConv


class Enlarger(nn.Module):
    """A fast form between operations that a compiler joins."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = NearestConv(nn.Conv2d(8, 8, 3, padding=1), 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.relu(x) * 2) - 1).float()


@torch.inference_mode()
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_same_frames_for_every_batch():
    torch._dynamo.reset()
    network = Enlarger()
    pictures = [torch.randn(n, 8, 6, 5) for n in (2, 1)]
    expected = [network(x) for x in pictures]
    fast = compiled(lambda x: network(x), network)
    for x, wanted in zip(pictures, expected, strict=True):
        assert torch.allclose(fast(x), wanted, atol=1e-6)


@torch.inference_mode()
def test_without_a_compiler(monkeypatch):
    from torch._inductor import config

    torch._dynamo.reset()
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)
    with pytest.raises(DeviceError, match=r"cannot be compiled.*") as caught:
        compiled(lambda x: torch.tanh(x) * 3.5 + 1)(torch.randn(5, 7))
    assert "compile=false" in caught.value.remedy
