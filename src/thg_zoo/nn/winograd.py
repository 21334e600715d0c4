"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A tile of 6x6 samples is evaluated at
the points 0, +-a, +-b and infinity along both axes, multiplied by the kernel evaluated there, and interpolated to 4x4
outputs. It is the same function; rounding is 3 to 5 times that of a direct convolution. The points are those with the least
rounding for layers like ours, several times less than with the customary 1 and 2 (compare Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 2020).

It pays on CPUs, whose libraries convolve directly, and costs four times the memory of the kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_A, _B = 0.7, 1.5
_A2, _B2 = _A * _A, _B * _B
_POINTS = (0.0, _A, -_A, _B, -_B)
_TILE, _OUT = 6, 4
# Tiles are worked on in strips whose transforms stay in the processor's cache.
_STRIP_BYTES = 12 * 2**20
# With fewer channels, moving the transforms costs more than the multiplications saved.
_LEAST_CHANNELS = 128


class WinogradConv2d(nn.Module):
    """What an `nn.Conv2d` with a 3x3 kernel, stride 1 and zero padding 1 computes: `[B, C, H, W]` to `[B, O, H, W]`."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel_at_points(conv.weight.detach()))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        outputs = self.kernel.shape[2]
        rows, columns = -(-height // _OUT), -(-width // _OUT)
        padded = x.new_zeros(batch, rows * _OUT + 2, columns * _OUT + 2, channels)
        padded[:, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 1)
        out = x.new_empty(batch, rows * _OUT, columns * _OUT, outputs)
        strip = max(1, _STRIP_BYTES // (x.element_size() * _TILE**2 * columns * (channels + outputs)))
        for picture, result in zip(padded, out, strict=True):
            for start in range(0, rows, strip):
                stop = min(start + strip, rows)
                self._strip(picture[start * _OUT : stop * _OUT + 2], result[start * _OUT : stop * _OUT])
        if self.bias is not None:
            out += self.bias
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def _strip(self, x: Tensor, out: Tensor) -> None:
        """Rows of tiles of one picture: x `[4 R + 2, 4 T + 2, C]` into out `[4 R, 4 T, O]`."""
        height, width, outputs = out.shape
        rows, columns, channels = height // _OUT, width // _OUT, x.shape[2]
        by_row = x.new_empty(_TILE, rows, x.shape[1], channels)
        _evaluate(x.unfold(0, _TILE, _OUT).permute(3, 0, 1, 2), by_row)
        tiles = x.new_empty(_TILE, _TILE, rows, columns, channels)
        _evaluate(by_row.unfold(2, _TILE, _OUT).permute(4, 0, 1, 2, 3), tiles)
        products = torch.bmm(tiles.view(_TILE**2, -1, channels), self.kernel)
        products = products.view(_TILE, _TILE, rows, columns, outputs)
        by_column = x.new_empty(_OUT, _TILE, rows, columns, outputs)
        _interpolate(products, by_column)
        _interpolate(by_column.transpose(0, 1), out.view(rows, _OUT, columns, _OUT, outputs).permute(1, 3, 0, 2, 4))


def use_winograd(network: nn.Module) -> int:
    """Replaces, in place, the wide 3x3 convolutions below `network`; returns how many.

    Which ones says each module in a class attribute `winograd = ("conv_0", ...)`: those that see large enough maps.
    Norms must have been folded before. For float32 on CPUs: libraries for GPUs choose such algorithms themselves.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name in getattr(parent, "winograd", ())
        if isinstance(child := parent.get_submodule(name), nn.Conv2d) and _pays(child)
    ]
    for parent, name, child in found:
        setattr(parent, name, WinogradConv2d(child))
    return len(found)


def _pays(conv: nn.Conv2d) -> bool:
    same = conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (1, 1) and conv.groups == 1
    return same and min(conv.in_channels, conv.out_channels) >= _LEAST_CHANNELS


def _kernel_at_points(weight: Tensor) -> Tensor:
    """A kernel `[O, C, 3, 3]` evaluated at all pairs of points, as `[36, C, O]`; the second axis comes first."""
    rows = [[p**power / _denominator(p) for power in range(3)] for p in _POINTS]
    evaluate = torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64, device=weight.device)
    at_points = torch.einsum("ia,jb,ocba->ijco", evaluate, evaluate, weight.double())
    return at_points.flatten(0, 1).to(weight.dtype).contiguous()


def _denominator(point: float) -> float:
    product = 1.0
    for other in _POINTS:
        if other != point:
            product *= point - other
    return product


def _evaluate(d: Tensor, out: Tensor) -> None:
    """Six samples d `[6, ...]` to their values at the points, out `[6, ...]`."""
    torch.add(torch.add(d[4], d[2], alpha=-(_A2 + _B2)), d[0], alpha=_A2 * _B2, out=out[0])
    for i, (point, other) in enumerate(((_A, _B2), (_B, _A2))):
        even = torch.add(d[4], d[2], alpha=-other)
        odd = torch.add(d[3], d[1], alpha=-other)
        torch.add(even, odd, alpha=point, out=out[2 * i + 1])
        torch.sub(even, odd, alpha=point, out=out[2 * i + 2])
    torch.add(torch.add(d[5], d[3], alpha=-(_A2 + _B2)), d[1], alpha=_A2 * _B2, out=out[5])


def _interpolate(m: Tensor, out: Tensor) -> None:
    """Values at the six points m `[6, ...]` to four outputs, out `[4, ...]`."""
    sum_a, sum_b = m[1] + m[2], m[3] + m[4]
    difference_a, difference_b = m[1] - m[2], m[3] - m[4]
    torch.add(m[0] + sum_a, sum_b, out=out[0])
    torch.add(difference_a * _A, difference_b, alpha=_B, out=out[1])
    torch.add(sum_a * _A2, sum_b, alpha=_B2, out=out[2])
    torch.add(torch.add(m[5], difference_a, alpha=_A * _A2), difference_b, alpha=_B * _B2, out=out[3])
