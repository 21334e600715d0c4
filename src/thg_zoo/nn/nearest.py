"""Convolutions of maps enlarged to the nearest, at a quarter of the multiplications.

An enlarged map is constant in blocks of f samples. With a kernel (a, b, c) and S = a + b + c, a block whose value
is x[i] gives, along one axis,

    first    S x[i] - a d[i]            d[i] = x[i] - x[i - 1]
    between  S x[i]
    last     S x[i] + c d[i + 1]

so that three products per sample and axis, nine in a plane, make f or f^2 outputs: of maps enlarged by two a quarter
of the products that a convolution of the enlarged map takes, by four a sixteenth. Only sums are exchanged for products:
the rounding is that of a direct convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.linear import linear


class NearestConv(nn.Module):
    """What `conv(nearest_enlarge(x))` computes: x `[B, C, (D,) H, W]` to `[B, O, (D,) f H, f W]`, f being 2 or more.

    conv has a kernel of 3, stride 1 and zero padding 1; a depth is convolved as it is. The result lies channels last.
    """

    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.out_channels = conv.out_channels
        for name, kernel in _kernels(conv.weight.detach()).items():
            self.register_buffer(name, kernel)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        # A plane is a volume of one slice.
        volume = x.unsqueeze(2) if x.dim() == 4 else x
        out = self._convolve(volume.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        return out.squeeze(2) if x.dim() == 4 else out

    def _convolve(self, x: Tensor) -> Tensor:
        """`[B, D, H, W, C]` to `[B, D, f H, f W, O]`."""
        batch, depth, height, width, _ = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        down = padded[:, :, 1:] - padded[:, :, :-1]
        still = self._products("still", x, self.bias)
        across = self._products("across", padded[:, :, 1:-1, 1:] - padded[:, :, 1:-1, :-1])
        along = self._products("along", down[:, :, :, 1:-1])
        both = self._products("both", down[:, :, :, 1:] - down[:, :, :, :-1])
        n, f = self.out_channels, self.factor
        out = x.new_empty(batch, depth, height, f, width, f, n)
        # The first and the last sample of a block along the height take the products of d and of the next d.
        above, below = along[..., :n], along[..., n:]
        for column in range(f):
            middle = self._column(still, across, column)
            upper = self._column(above, both[..., : 2 * n], column)
            lower = self._column(below, both[..., 2 * n :], column)
            torch.sub(middle, upper[:, :, :-1], out=out[:, :, :, 0, :, column])
            torch.add(middle, lower[:, :, 1:], out=out[:, :, :, -1, :, column])
            for row in range(1, f - 1):
                out[:, :, :, row, :, column] = middle
        return out.view(batch, depth, f * height, f * width, n)

    def _column(self, still: Tensor, across: Tensor, column: int) -> Tensor:
        """Sample `column` of every block along the width, from products `[..., W, O]` and `[..., W + 1, 2 O]`."""
        if column == 0:
            return still - across[..., :-1, : self.out_channels]
        if column == self.factor - 1:
            return still + across[..., 1:, self.out_channels :]
        return still

    def _products(self, name: str, maps: Tensor, bias: Tensor | None = None) -> Tensor:
        """Maps `[B, D, h, w, C]` times a kernel `[n, C, taps, 1]`, summed over the depth: `[B, D, h, w, n]`.

        As a convolution along depth and position, for on CPUs that is faster than products of matrices (see
        `thg_zoo.nn.linear`).
        """
        kernel = self.get_buffer(name)
        batch, depth, height, width, channels = maps.shape
        taps = kernel.shape[2]
        if taps == 1:
            return linear(maps.reshape(-1, channels), kernel[:, :, 0, 0], bias).view(batch, depth, height, width, -1)
        rows = maps.contiguous().view(batch, depth, -1, channels)
        products = F.conv2d(rows.permute(0, 3, 1, 2), kernel, bias, padding=(taps // 2, 0))
        return products.permute(0, 2, 3, 1).reshape(batch, depth, height, width, -1)


def _kernels(weight: Tensor) -> dict[str, Tensor]:
    """A kernel `[O, C, (3,) 3, 3]` as it meets samples and differences: `[n O, C, 1 or 3, 1]` each.

    still: S S; across: S a, S c; along: a S, c S; both: a a, a c, c a, c c (height first).
    """
    deep = weight.double() if weight.dim() == 5 else weight.double().unsqueeze(2)

    def summed(kernel: Tensor, axis: int) -> dict[str, Tensor]:
        return {"S": kernel.sum(axis), "a": kernel.select(axis, 0), "c": kernel.select(axis, 2)}

    of_height = summed(deep, 3)
    plane = {h + w: kernel for h, rest in of_height.items() for w, kernel in summed(rest, 3).items()}
    groups = {"still": ("SS",), "across": ("Sa", "Sc"), "along": ("aS", "cS"), "both": ("aa", "ac", "ca", "cc")}
    return {
        name: torch.cat([plane[key] for key in keys]).unsqueeze(3).to(weight.dtype).contiguous()
        for name, keys in groups.items()
    }
