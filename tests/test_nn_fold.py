"""Batch norms folded into convolutions compute the same."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
import torch
from torch import nn

from thg_zoo.nn.fold import fold_batch_norm

CONVOLUTIONS = {
    "plain": nn.Conv2d(4, 6, 3, bias=False),
    "grouped": nn.Conv2d(4, 6, 3, groups=2),
    "transposed": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
    "transposed grouped": nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
    "1-D": nn.Conv1d(4, 6, 3),
    "3-D": nn.Conv3d(4, 6, 3),
    "3-D transposed": nn.ConvTranspose3d(4, 6, 3),
}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def used(norm):
    """A norm with statistics and scales far from those it starts with."""
    generator = torch.Generator().manual_seed(1)
    for tensor in norm.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.3)
    return norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_folded_convolution_computes_the_same(kind, affine):
    convolution = copy.deepcopy(CONVOLUTIONS[kind])
    dims = convolution.weight.dim() - 2
    network = nn.Sequential(convolution, used(NORMS[dims](6, affine=affine)), nn.ReLU()).eval()
    x = torch.rand(2, 4, *[7] * dims, generator=torch.Generator().manual_seed(2))
    expected = network(x)
    assert fold_batch_norm(network) == 1
    assert not any(isinstance(m, tuple(NORMS.values())) for m in network.modules())
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


class PreActivation(nn.Module):
    """norm1 precedes its convolution and has to stay; the pair that may be folded is named."""

    folds: ClassVar = (("conv1", "norm2"),)

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = used(nn.BatchNorm2d(4)), used(nn.BatchNorm2d(4))
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())


def test_named_pairs_are_folded_and_no_others():
    network = PreActivation().eval()
    x = torch.rand(1, 4, 9, 9, generator=torch.Generator().manual_seed(3))
    expected = network(x)
    assert fold_batch_norm(network) == 1
    assert isinstance(network.norm1, nn.BatchNorm2d)
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


def test_a_norm_behind_something_else_stays():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert fold_batch_norm(network) == 0
    assert isinstance(network[2], nn.BatchNorm2d)


def test_networks_that_cannot_be_folded_are_refused():
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
    with pytest.raises(ValueError, match="running statistics"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval())
