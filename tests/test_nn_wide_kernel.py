"""The wide kernel's minimal filtering against the convolution that it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from thg_zoo.nn.wide_kernel import WideKernelConv3d


@pytest.mark.parametrize("size", [(16, 16, 16), (5, 13, 18), (2, 5, 4), (1, 3, 1)])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_computes_the_convolution(size, bias):
    torch.manual_seed(0)
    conv = nn.Conv3d(6, 5, 7, padding=3, bias=bias)
    x = torch.randn(2, 6, *size)
    expected = conv(x)
    found = WideKernelConv3d(conv)(x)
    torch.testing.assert_close(found, expected, atol=2e-5 * float(expected.std()), rtol=0)
