"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A tile of 6x6 samples is evaluated at
the points 0, +-a, +-b and infinity along both axes, multiplied by the kernel evaluated there, and interpolated to 4x4
outputs. It is the same function up to rounding, which is about five times that of a direct convolution (1e-6 of the
standard deviation of the output). The points were searched for the least rounding; the customary 1 and 2 have twice
as much (compare Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
Networks", ACM TOMS 2020).

It pays on CPUs, whose libraries convolve directly, and costs four times the memory of the kernels. Evaluation and
interpolation are products with small matrices over whole strips of tiles, along the height and then along the width:
more arithmetic than the sums that they stand for, but a few calls of a library instead of dozens, each of which would
pass over memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from thg_zoo.nn.as_written import kept_as_written

_A, _B = 0.7, 1.5
_A2, _B2 = _A * _A, _B * _B
_POINTS = (0.0, _A, -_A, _B, -_B)
_EVALUATE = (
    (_A2 * _B2, 0, -_A2 - _B2, 0, 1, 0),
    (0, -_A * _B2, -_B2, _A, 1, 0),
    (0, _A * _B2, -_B2, -_A, 1, 0),
    (0, -_B * _A2, -_A2, _B, 1, 0),
    (0, _B * _A2, -_A2, -_B, 1, 0),
    (0, _A2 * _B2, 0, -_A2 - _B2, 0, 1),
)
_INTERPOLATE = (
    (1, 1, 1, 1, 1, 0),
    (0, _A, -_A, _B, -_B, 0),
    (0, _A2, _A2, _B2, _B2, 0),
    (0, _A * _A2, -_A * _A2, _B * _B2, -_B * _B2, 1),
)
_TILE, _OUT = 6, 4
# Output channels of a kernel that are evaluated at once.
_OUTPUTS_AT_ONCE = 32
# Tiles are worked on in strips whose transforms stay in the processor's cache.
_STRIP_BYTES = 12 * 2**20
# With fewer channels, moving the transforms costs more than the multiplications saved; by dimensions.
_LEAST_CHANNELS = {2: 128, 3: 64}
# Wider ones see only maps of a few samples here, and their kernels would take hundreds of megabytes.
_MOST_WEIGHTS = 512 * 512


class MinimalFiltering(nn.Module):
    """Convolves with kernels of 3, stride 1 and zero padding 1 that have been evaluated at the points.

    In a volume the minimal filtering is done per slice; slices are summed as they are multiplied.
    """

    evaluate: Tensor
    interpolate: Tensor

    def __init__(self, like: Tensor) -> None:
        """`like` says the precision and the device."""
        super().__init__()
        for name, matrix in (("evaluate", _EVALUATE), ("interpolate", _INTERPOLATE)):
            self.register_buffer(name, torch.tensor(matrix, dtype=like.dtype, device=like.device))

    def convolve(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Volumes `[B, C, D, H, W]` with a kernel `[1 or 3, 36, C, O]` to `[B, O, D, H, W]`.

        The result lies channels last.
        """
        batch, _, depth, height, width = x.shape
        beside = len(kernel) // 2
        strips = _strips(x, beside, len(bias))
        whole = _tiled(width)
        out = x.new_empty(batch, depth, _tiled(height), whole, len(bias))
        for volume, result in zip(x.permute(0, 2, 3, 4, 1), out, strict=True):
            for start, stop in strips:
                self._strip(_framed(volume, start, stop, whole, beside), kernel, bias, result[:, start:stop])
        return out[:, :, :height, :width].permute(0, 4, 1, 2, 3)

    def _strip(self, x: Tensor, kernel: Tensor, bias: Tensor, out: Tensor) -> None:
        """Rows of tiles of one volume: x `[D', 4 R + 2, 4 T + 2, C]` into out `[D, 4 R, 4 T, O]`."""
        depth, height, width, outputs = out.shape
        deep, channels = len(x), x.shape[3]
        tiles = x.unfold(1, _TILE, _OUT).unfold(2, _TILE, _OUT).permute(4, 5, 0, 1, 2, 3)
        values = _along_both(self.evaluate, tiles.reshape(_TILE**2, -1))
        products = self._multiply(values.view(_TILE**2, deep, -1, channels), kernel, depth)
        samples = _along_both(self.interpolate, products.view(_TILE**2, -1))
        pixels = samples.view(_OUT, _OUT, depth, height // _OUT, width // _OUT, outputs).permute(2, 3, 0, 4, 1, 5)
        torch.add(pixels, bias, out=out.view(depth, height // _OUT, _OUT, width // _OUT, _OUT, outputs))

    def _multiply(self, tiles: Tensor, kernel: Tensor, depth: int) -> Tensor:
        """tiles `[36, D', P, C]` times the kernel, summed over its slices: `[36, D P, O]`."""
        products = torch.bmm(tiles[:, :depth].flatten(1, 2), kernel[0])
        for offset, later in enumerate(kernel[1:], start=1):
            products.baddbmm_(tiles[:, offset : offset + depth].flatten(1, 2), later)
        return products


class WinogradConv(MinimalFiltering):
    """What a convolution with a kernel of 3, stride 1 and zero padding 1 computes, for maps `[B, C, H, W]` and volumes
    `[B, C, D, H, W]`.
    """

    kernel: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        weight = conv.weight.detach()
        super().__init__(weight)
        self.register_buffer("kernel", _kernel_at_points(weight))
        self.register_buffer("bias", weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return self.convolve(_as_volume(x), self.kernel, self.bias).squeeze(0).transpose(0, 1)
        return self.convolve(x, self.kernel, self.bias)

    def strips(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """What it returns for maps `[B, C, H, W]`, from the top: first row and `[B, O, h, W]`, channels last.

        For what follows to find a strip in the processor's cache; h is a multiple of 4 but for the last.
        """
        height, width = x.shape[2:]
        for start, stop in _strips(_as_volume(x), 0, len(self.bias)):
            out = x.new_empty(len(x), stop - start, _tiled(width), len(self.bias))
            self._strip(_framed(x.permute(0, 2, 3, 1), start, stop, _tiled(width), 0), self.kernel, self.bias, out)
            yield start, out[:, : height - start, :width].permute(0, 3, 1, 2)


def in_strips(conv: nn.Module, x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """What a convolution that keeps the size makes of maps `[B, C, H, W]`: see `WinogradConv.strips`; others whole."""
    if isinstance(conv, WinogradConv):
        yield from conv.strips(x)
    else:
        yield 0, conv(x)


class MixedWinogradConv(MinimalFiltering):
    """3x3 convolutions of maps by kernels that are mixed from several `[K, O, C, 3, 3]` for every picture."""

    taps: Tensor
    at_points: Tensor

    def __init__(self, kernels: Tensor) -> None:
        super().__init__(kernels)
        self.channels = kernels.shape[2]
        self.register_buffer("taps", kernels.permute(0, 3, 4, 2, 1).flatten(1).contiguous())
        self.register_buffer("at_points", _evaluation(kernels.device).to(kernels.dtype))

    def forward(self, x: Tensor, shares: Tensor, bias: Tensor) -> Tensor:
        """x `[B, C, h, w]`, shares `[B, K]` of the kernels and biases `[B, O]` to `[B, O, h, w]`."""
        made = []
        for picture, share, b in zip(x, shares, bias, strict=True):
            mixed = (share @ self.taps).view(9, -1)
            kernel = _along_both(self.at_points, mixed).view(1, _TILE**2, self.channels, -1)
            made.append(self.convolve(picture[None, :, None], kernel, b))
        return torch.cat(made).squeeze(2)


def _along_both(matrix: Tensor, x: Tensor) -> Tensor:
    """What a matrix `[n, m]` makes of each column of x `[m m, N]`, taken as a square: of its columns, then of its rows.

    `[n n, N]`.
    """
    n, m = matrix.shape
    of_columns = matrix @ x.view(m, -1)
    return (matrix @ of_columns.view(n, m, -1)).view(n * n, -1)


def _as_volume(x: Tensor) -> Tensor:
    """Maps `[B, C, H, W]` as a volume `[1, C, B, H, W]`, for the kernel to be read once for all pictures."""
    return x.transpose(0, 1).unsqueeze(0)


def _tiled(size: int) -> int:
    """A height or width, in whole tiles."""
    return -(-size // _OUT) * _OUT


def _strips(x: Tensor, beside: int, outputs: int) -> list[tuple[int, int]]:
    """First and last row of each strip of volumes `[B, C, D, H, W]`.

    As many rows of tiles as fit, in equal strips, for short products are slow.
    """
    _, channels, depth, height, width = x.shape
    rows, columns = _tiled(height) // _OUT, _tiled(width) // _OUT
    wider = max((depth + 2 * beside) * channels, depth * outputs)
    strips = -(-rows // max(1, _STRIP_BYTES // (x.element_size() * _TILE**2 * columns * wider)))
    ends = [rows * i // strips * _OUT for i in range(strips + 1)]
    return list(itertools.pairwise(ends))


def _framed(x: Tensor, start: int, stop: int, width: int, beside: int) -> Tensor:
    """Rows `start` to `stop` of x `[D, H, W, C]` and a sample more on every side, zero where x ends:
    `[D + 2 beside, stop - start + 2, width + 2, C]`.
    """
    depth, height, columns, channels = x.shape
    first, last = max(start - 1, 0), min(stop + 1, height)
    above, below = first - (start - 1), last - (start - 1)
    framed = x.new_empty(depth + 2 * beside, stop - start + 2, width + 2, channels)
    inner = framed[:, above:below, 1 : columns + 1]
    inner[beside : beside + depth] = x[:, first:last]
    for slices in (inner[:beside], inner[beside + depth :]):
        slices.zero_()
    for border in (framed[:, :above], framed[:, below:], framed[:, :, :1], framed[:, :, columns + 1 :]):
        border.zero_()
    return framed


def use_winograd(network: nn.Module) -> int:
    """Replaces, in place, the wide 3x3 convolutions below `network`; returns how many.

    Which ones says each module in a class attribute `winograd = ("conv_0", ...)`: those that see large enough maps.
    Norms must have been folded before. For float32 on CPUs: libraries for GPUs choose such algorithms themselves.
    Inside `as_written` none is replaced.
    """
    if kept_as_written():
        return 0
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

    The point along the height comes first.
    """
    along = _evaluation(weight.device)
    slices = weight if weight.dim() == 5 else weight.unsqueeze(2)
    outputs, channels, depth = slices.shape[:3]
    at_points = weight.new_empty(depth, _TILE, _TILE, channels, outputs)
    # In pieces: whole, what is found in float64 would take more memory than the kernel.
    for start in range(0, outputs, _OUTPUTS_AT_ONCE):
        some = slice(start, start + _OUTPUTS_AT_ONCE)
        at_points[..., some] = torch.einsum("ia,jb,oczab->zijco", along, along, slices[some].double())
    return at_points.flatten(1, 2)


def _evaluation(device: torch.device) -> Tensor:
    """Three taps to their values at the points: `[6, 3]`, float64."""
    rows = [[p**power / _denominator(p) for power in range(3)] for p in _POINTS]
    return torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64, device=device)


def _denominator(point: float) -> float:
    product = 1.0
    for other in _POINTS:
        if other != point:
            product *= point - other
    return product
