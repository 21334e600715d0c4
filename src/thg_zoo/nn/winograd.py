"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A tile of 6x6 samples is evaluated at
the points 0, +-a, +-b and infinity along both axes, multiplied by the kernel evaluated there, and interpolated to 4x4
outputs. It is the same function up to rounding, which is about five times that of a direct convolution (1e-6 of the
standard deviation of the output). The points were searched for the least rounding; the customary 1 and 2 have twice
as much (compare Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
Networks", ACM TOMS 2020).

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
# With fewer channels, moving the transforms costs more than the multiplications saved; by dimensions.
_LEAST_CHANNELS = {2: 128, 3: 64}
# Wider ones see only maps of a few samples here, and their kernels would take hundreds of megabytes.
_MOST_WEIGHTS = 512 * 512


class WinogradConv(nn.Module):
    """What a convolution with a kernel of 3, stride 1 and zero padding 1 computes, for maps `[B, C, H, W]` and volumes
    `[B, C, D, H, W]`. In a volume the minimal filtering is done per slice; slices are summed as they are multiplied.
    """

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel_at_points(conv.weight.detach()))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return self._convolve(x.unsqueeze(2)).squeeze(2)
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        """Volumes `[B, C, D, H, W]` to `[B, O, D, H, W]`, channels last in memory."""
        batch, channels, depth, height, width = x.shape
        outputs, beside = self.kernel.shape[3], len(self.kernel) // 2
        rows, columns = -(-height // _OUT), -(-width // _OUT)
        padded = x.new_zeros(batch, depth + 2 * beside, rows * _OUT + 2, columns * _OUT + 2, channels)
        padded[:, beside : beside + depth, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 4, 1)
        out = x.new_empty(batch, depth, rows * _OUT, columns * _OUT, outputs)
        row_bytes = x.element_size() * _TILE**2 * columns * (padded.shape[1] * channels + depth * outputs)
        strip = max(1, _STRIP_BYTES // row_bytes)
        for volume, result in zip(padded, out, strict=True):
            for start in range(0, rows, strip):
                stop = min(start + strip, rows)
                self._strip(volume[:, start * _OUT : stop * _OUT + 2], result[:, start * _OUT : stop * _OUT])
        if self.bias is not None:
            out += self.bias
        return out[:, :, :height, :width].permute(0, 4, 1, 2, 3)

    def _strip(self, x: Tensor, out: Tensor) -> None:
        """Rows of tiles of one volume: x `[D', 4 R + 2, 4 T + 2, C]` into out `[D, 4 R, 4 T, O]`."""
        depth, height, width, outputs = out.shape
        rows, columns, channels = height // _OUT, width // _OUT, x.shape[3]
        by_row = x.new_empty(_TILE, len(x), rows, x.shape[2], channels)
        _evaluate(x.unfold(1, _TILE, _OUT).permute(4, 0, 1, 2, 3), by_row)
        tiles = x.new_empty(_TILE, _TILE, len(x), rows, columns, channels)
        _evaluate(by_row.unfold(3, _TILE, _OUT).permute(5, 0, 1, 2, 3, 4), tiles)
        products = self._multiply(tiles.view(_TILE**2, len(x), rows * columns, channels), depth)
        products = products.view(_TILE, _TILE, depth, rows, columns, outputs)
        by_column = x.new_empty(_OUT, _TILE, depth, rows, columns, outputs)
        _interpolate(products, by_column)
        pixels = out.view(depth, rows, _OUT, columns, _OUT, outputs).permute(2, 4, 0, 1, 3, 5)
        _interpolate(by_column.transpose(0, 1), pixels)

    def _multiply(self, tiles: Tensor, depth: int) -> Tensor:
        """tiles `[36, D', P, C]` times the kernel, summed over its slices: `[36, D P, O]`."""
        products = torch.bmm(tiles[:, :depth].flatten(1, 2), self.kernel[0])
        for offset, kernel in enumerate(self.kernel[1:], start=1):
            products.baddbmm_(tiles[:, offset : offset + depth].flatten(1, 2), kernel)
        return products


def use_winograd(network: nn.Module) -> int:
    """Replaces, in place, the wide 3x3 convolutions below `network`; returns how many.

    Which ones says each module in a class attribute `winograd = ("conv_0", ...)`: those that see large enough maps.
    Norms must have been folded before. For float32 on CPUs: libraries for GPUs choose such algorithms themselves.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name in getattr(parent, "winograd", ())
        if isinstance(child := parent.get_submodule(name), nn.Conv2d | nn.Conv3d) and _pays(child)
    ]
    for parent, name, child in found:
        parent.set_submodule(name, WinogradConv(child))
    return len(found)


def _pays(conv: nn.Conv2d | nn.Conv3d) -> bool:
    alike = set(conv.kernel_size) == {3} and set(conv.stride) == {1} and set(conv.padding) == {1} and conv.groups == 1
    least = _LEAST_CHANNELS[len(conv.kernel_size)]
    wide = min(conv.in_channels, conv.out_channels) >= least
    return alike and wide and conv.in_channels * conv.out_channels <= _MOST_WEIGHTS


def _kernel_at_points(weight: Tensor) -> Tensor:
    """A kernel `[O, C, (3,) 3, 3]` evaluated at all pairs of points, as `[1 or 3, 36, C, O]`.

    The point along the width comes first.
    """
    rows = [[p**power / _denominator(p) for power in range(3)] for p in _POINTS]
    evaluate = torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64, device=weight.device)
    slices = weight.double() if weight.dim() == 5 else weight.double().unsqueeze(2)
    at_points = torch.einsum("ia,jb,oczba->zijco", evaluate, evaluate, slices)
    return at_points.flatten(1, 2).to(weight.dtype).contiguous()


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
