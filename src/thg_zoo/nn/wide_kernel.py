"""Convolutions with a kernel of 7 at a quarter of the multiplications.

A row of seven taps is two rows of four, one of them shifted by four samples (the eighth tap is zero). For four taps
there is minimal filtering as for three (see `thg_zoo.nn.winograd`): seven samples are evaluated at the points +-a, +-b,
+-c and infinity, multiplied, and interpolated to four outputs. Tiles are as wide as the shift, so that both rows share
one evaluation. In a plane that is four kernels with 49 products for 16 outputs each: 12 products per output instead of
49. The same function up to rounding; the points were searched for the least (2e-6 of the standard deviation of the
output).

It pays on CPUs, whose libraries convolve directly, and where many channels become few.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_PAIRS = (0.4, 0.9, 1.8)
_POINTS = [sign * p for p in _PAIRS for sign in (1.0, -1.0)]
_TILE, _OUT, _TAPS = 7, 4, 4
# Slices that the kernel reaches beyond a volume, before and behind.
_BESIDE = 3


class WideKernelConv3d(nn.Module):
    """What a convolution with a kernel of 7, stride 1 and zero padding 3 computes, for volumes `[B, C, D, H, W]`.

    Slices are filtered so; over the depth they are summed as they are multiplied.
    """

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        assert set(conv.kernel_size) == {7}
        assert set(conv.padding) == {3}
        assert set(conv.stride) == {1}
        self.out_channels = conv.out_channels
        self.register_buffer("kernel", _kernel_at_points(conv.weight.detach()))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, depth, height, width = x.shape
        rows, columns = -(-height // _OUT), -(-width // _OUT)
        # One tile more than outputs need along each axis, for the shifted taps.
        padded = x.new_zeros(batch, depth, (rows + 1) * _OUT + 3, (columns + 1) * _OUT + 3, channels)
        padded[:, :, 3 : height + 3, 3 : width + 3] = x.permute(0, 2, 3, 4, 1)
        out = x.new_empty(batch, depth, rows * _OUT, columns * _OUT, self.out_channels)
        for volume, result in zip(padded, out, strict=True):
            self._filter(volume, result)
        if self.bias is not None:
            out += self.bias
        return out[:, :, :height, :width].permute(0, 4, 1, 2, 3)

    def _filter(self, x: Tensor, out: Tensor) -> None:
        """One volume x `[D, 4 R + 7, 4 T + 7, C]` into out `[D, 4 R, 4 T, O]`, one row of tiles after the other."""
        depth, _, width, channels = x.shape
        # Empty slices around, so that all taps along the depth are products of one shape into one contiguous result.
        tiles = x.new_zeros(_TILE**2, depth + 2 * _BESIDE, (width - 3) // _OUT, channels)
        upper: Tensor | None = None
        for row in range(out.shape[1] // _OUT + 1):
            _evaluate_tiles(x[:, row * _OUT : row * _OUT + _TILE], tiles[:, _BESIDE:-_BESIDE])
            products = self._multiply(tiles, depth)
            # Of the two kernels beside each other the second sees the next tile.
            left, right = products[:, :, :-1], products[:, :, 1:]
            above, below = (left[..., i, 0, :] + right[..., i, 1, :] for i in range(2))
            if upper is not None:
                _interpolate_tiles(upper.add_(below), out[:, (row - 1) * _OUT : row * _OUT])
            upper = above

    def _multiply(self, tiles: Tensor, depth: int) -> Tensor:
        """tiles `[49, D + 6, T, C]` times the kernels, summed over the depth: `[49, D, T, 2, 2, O]`."""
        products = torch.bmm(tiles[:, :depth].flatten(1, 2), self.kernel[0])
        for tap, kernel in enumerate(self.kernel[1:], start=1):
            products.baddbmm_(tiles[:, tap : tap + depth].flatten(1, 2), kernel)
        return products.view(len(tiles), depth, tiles.shape[2], 2, 2, -1)


def _kernel_at_points(weight: Tensor) -> Tensor:
    """A kernel `[O, C, 7, 7, 7]` evaluated at all pairs of points: `[7, 49, C, 4 O]`, by tap along the depth.

    The four quarters of a slice stand beside each other, above before below.
    """
    powers = torch.arange(_TAPS, dtype=torch.float64)
    rows = [p**powers / math.prod(p - other for other in _POINTS if other != p) for p in _POINTS]
    evaluate = torch.stack([*rows, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)]).to(weight.device)
    outputs, channels, depth = weight.shape[:3]
    whole = nn.functional.pad(weight.double(), (0, 1, 0, 1)).view(outputs, channels, depth, 2, _TAPS, 2, _TAPS)
    at_points = torch.einsum("ia,jb,oczhawb->zijchwo", evaluate, evaluate, whole)
    return at_points.flatten(4, 6).flatten(1, 2).to(weight.dtype).contiguous()


def _evaluate_tiles(x: Tensor, out: Tensor) -> None:
    """A row of tiles x `[D, 7, 4 T + 3, C]` at all pairs of points, out `[49, D, T, C]`."""
    depth, _, width, channels = x.shape
    by_row = x.new_empty(_TILE, depth, width, channels)
    _evaluate(x.transpose(0, 1), by_row)
    tiles = out.view(_TILE, _TILE, *out.shape[1:])
    _evaluate(by_row.unfold(2, _TILE, _OUT).permute(4, 0, 1, 2, 3), tiles.transpose(0, 1))


def _evaluate(d: Tensor, out: Tensor) -> None:
    """Seven samples d `[7, ...]` to their values at the points, out `[7, ...]`."""
    for i, point in enumerate(_PAIRS):
        q, r = (p * p for j, p in enumerate(_PAIRS) if j != i)
        odd = torch.add(d[5], d[3], alpha=-(q + r)).add_(d[1], alpha=q * r)
        even = torch.add(d[4], d[2], alpha=-(q + r)).add_(d[0], alpha=q * r)
        torch.add(odd, even, alpha=point, out=out[2 * i])
        torch.sub(odd, even, alpha=point, out=out[2 * i + 1])
    a, b, c = (p * p for p in _PAIRS)
    last = torch.add(d[6], d[4], alpha=-(a + b + c)).add_(d[2], alpha=a * b + a * c + b * c)
    torch.sub(last, d[0], alpha=a * b * c, out=out[6])


def _interpolate_tiles(values: Tensor, out: Tensor) -> None:
    """Values of a row of tiles `[49, D, T, O]` to its outputs, out `[D, 4, 4 T, O]`."""
    _, depth, columns, outputs = values.shape
    by_column = values.new_empty(_OUT, _TILE, depth, columns, outputs)
    _interpolate(values.view(_TILE, _TILE, depth, columns, outputs), by_column)
    pixels = out.view(depth, _OUT, columns, _OUT, outputs).permute(3, 1, 0, 2, 4)
    _interpolate(by_column.transpose(0, 1), pixels)


def _interpolate(m: Tensor, out: Tensor) -> None:
    """Values at the seven points m `[7, ...]` to four outputs, out `[4, ...]`."""
    sums = [m[2 * i] + m[2 * i + 1] for i in range(3)]
    differences = [m[2 * i] - m[2 * i + 1] for i in range(3)]
    a, b, c = _PAIRS
    torch.add(sums[0] + sums[1], sums[2], out=out[0])
    torch.add(sums[0] * a**2 + sums[1] * b**2, sums[2], alpha=c**2, out=out[2])
    torch.add(differences[0] * a + differences[1] * b, differences[2], alpha=c, out=out[1])
    highest = torch.add(m[6], differences[0], alpha=a**3).add_(differences[1], alpha=b**3)
    torch.add(highest, differences[2], alpha=c**3, out=out[3])
