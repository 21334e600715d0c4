"""Folding batch normalisation into the convolution before it: the same function with half the passes over memory.

In evaluation mode a batch norm is an affine map per channel, and a convolution followed by one is again a
convolution (Markuš, "Fusing batch normalization and convolution in runtime", 2018). Fold after the published
state dict has been loaded: the entries of the norms are gone afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from thg_zoo.nn.as_written import kept_as_written

_Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_Norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(network: nn.Module) -> int:
    """Folds, in place, every batch norm that follows a convolution; each is replaced by an identity.

    Pairs are found in `nn.Sequential`s (a convolution and the norm right behind it) and in modules that name
    theirs in a class attribute `folds = (("conv", "norm"), ...)`, which promises that the norm is applied
    to the convolution's output and to nothing else. The arithmetic is float64, so that the weights are
    rounded once. Returns the number of norms that were folded, none inside `as_written`; the network must be in
    evaluation mode.
    """
    if network.training:
        raise ValueError("A network in training mode has no fixed norms to fold: call eval() first.")
    if kept_as_written():
        return 0
    pairs = [(parent, *names) for parent in network.modules() for names in _pairs(parent)]
    for parent, before, after in pairs:
        _fold_pair(parent.get_submodule(before), parent.get_submodule(after))
        setattr(parent, after, nn.Identity())
    return len(pairs)


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of the (convolution, norm) children of one module."""
    candidates = list(getattr(parent, "folds", ()))
    if isinstance(parent, nn.Sequential):
        names = list(parent._modules)
        candidates += pairwise(names)
    for before, after in candidates:
        if isinstance(parent.get_submodule(before), _Convolution) and isinstance(parent.get_submodule(after), _Norm):
            yield before, after


@torch.no_grad()
def _fold_pair(convolution: nn.Module, norm: nn.Module) -> None:
    assert isinstance(convolution, _Convolution)
    assert isinstance(norm, _Norm)
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("A batch norm without running statistics depends on its batch and cannot be folded.")
    scale = (_exact(norm.running_var) + norm.eps).rsqrt()
    shift = -_exact(norm.running_mean)
    if convolution.bias is not None:
        shift = shift + _exact(convolution.bias)
    if norm.affine:
        scale = scale * _exact(norm.weight)
    shift = shift * scale
    if norm.affine:
        shift = shift + _exact(norm.bias)
    weight = convolution.weight
    scaled = _exact(weight) * _per_output_channel(convolution, scale)
    convolution.weight = nn.Parameter(scaled.to(weight), requires_grad=False)
    convolution.bias = nn.Parameter(shift.to(weight), requires_grad=False)


def _exact(values: Tensor) -> Tensor:
    """In float64, on the host: not every device has it."""
    return values.cpu().double()


def _per_output_channel(convolution: nn.modules.conv._ConvNd, scale: Tensor) -> Tensor:
    """`scale` [out] in a shape that multiplies the convolution's weight."""
    spatial = [1] * (convolution.weight.dim() - 2)
    if not convolution.transposed:
        return scale.view(-1, 1, *spatial)
    # A transposed weight is [in, out / groups, ...]: the second axis runs through the output channels of the
    # group that the input channel belongs to.
    rows = scale.view(convolution.groups, -1).repeat_interleave(convolution.in_channels // convolution.groups, dim=0)
    return rows.view(*rows.shape, *spatial)
