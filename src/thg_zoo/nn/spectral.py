"""Spectral normalisation as published files store it (Miyato et al., ICLR 2018), and folding it away."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.as_written import kept_as_written


class SpectralConv2d(nn.Module):
    """A convolution whose kernel is divided by its spectral norm at every call.

    Entries: `weight_orig`, `bias`, and the stored singular vectors `weight_u` `[out]` and `weight_v` `[in * k * k]`.
    The norm is u . (W v) with W the kernel as `[out, in * k * k]`; nothing is iterated at inference.
    """

    bias: nn.Parameter | None
    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.weight_orig = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight_orig)
        self.register_parameter("bias", nn.Parameter(torch.zeros(out_channels)) if bias else None)
        matrix = self.weight_orig.detach().flatten(1)
        v = F.normalize(matrix.sum(0), dim=0)
        self.register_buffer("weight_u", F.normalize(matrix @ v, dim=0))
        self.register_buffer("weight_v", v)

    @property
    def weight(self) -> Tensor:
        """The kernel divided by its spectral norm, `[out, in, k, k]`."""
        norm = self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)
        return self.weight_orig / norm

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


@torch.no_grad()
def fold_spectral_norm(network: nn.Module) -> int:
    """Replaces, in place, every `SpectralConv2d` below `network` by a plain convolution; returns how many.

    The division is then done once instead of at every call. Fold after the published state dict has been loaded:
    its entries are gone afterwards. Inside `as_written` none is replaced.
    """
    if kept_as_written():
        return 0
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, SpectralConv2d)
    ]
    for parent, name, child in found:
        setattr(parent, name, _plain(child))
    return len(found)


def _plain(conv: SpectralConv2d) -> nn.Conv2d:
    out_channels, in_channels, kernel, _ = conv.weight_orig.shape
    plain = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        padding=conv.padding,
        bias=conv.bias is not None,
        device="meta",
    )
    plain.weight = nn.Parameter(conv.weight, requires_grad=False)
    if conv.bias is not None:
        plain.bias = nn.Parameter(conv.bias, requires_grad=False)
    plain.train(conv.training)
    return plain
