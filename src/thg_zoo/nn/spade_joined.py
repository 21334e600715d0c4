"""A residual SPADE block with fewer and wider convolutions; the same function as `thg_zoo.nn.spade.SpadeResBlock`.

All norms of a block see one condition, so that their first convolutions are one. Scale and shift of a norm see one
hidden map, so that their convolutions are one. On the learned shortcut a 1x1 convolution follows the shift without a
nonlinearity between: the two are one convolution to fewer channels. A map that is enlarged before the block is
normalised before it is enlarged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.linear import linear
from thg_zoo.nn.nearest import NearestConv
from thg_zoo.nn.winograd import in_strips

if TYPE_CHECKING:
    from thg_zoo.nn.spade import Spade, SpadeResBlock

_SLOPE = 0.2


class JoinedSpadeResBlock(nn.Module):
    """x `[B, in, H, W]`, condition `[B, L, h, w]` to `[B, out, s H, s W]`; maps lie channels last in memory.

    enlarge: the factor s by which x is enlarged to the nearest first; condition_factor: that by which the condition is
    (else it is resized as needed). The block's spectral norms must have been folded.
    """

    winograd: ClassVar = ("shared", "modulation_0", "modulation_1", "modulation_s", "conv_0", "conv_1")

    def __init__(self, block: SpadeResBlock, *, enlarge: int = 1, condition_factor: int = 1) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.learned_shortcut = block.learned_shortcut
        norms = [block.norm_0, block.norm_1]
        self.conv_0, self.conv_1 = block.conv_0, block.conv_1
        self.modulation_0, self.modulation_1 = (_joined([_scale(norm), norm.mlp_beta]) for norm in norms)
        self.widths_0, self.widths_1 = ([norm.mlp_gamma.out_channels] * 2 for norm in norms)
        self.modulation_s: nn.Module = nn.Identity()
        self.widths_s: list[int] = []
        if block.learned_shortcut:
            assert isinstance(block.conv_s, nn.Conv2d)
            norms.append(block.norm_s)
            self.modulation_s = _joined([_scale(block.norm_s), _in_a_row(block.norm_s.mlp_beta, block.conv_s)])
            self.widths_s = [block.conv_s.in_channels, block.conv_s.out_channels]
            self.register_buffer("to_shortcut", block.conv_s.weight.detach().flatten(1))
        shared = _joined([_first(norm) for norm in norms])
        self.shared: nn.Module = NearestConv(shared, condition_factor) if condition_factor > 1 else shared
        self.n_norms = len(norms)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        size = [self.enlarge * n for n in x.shape[2:]]
        if not isinstance(self.shared, NearestConv) and list(condition.shape[2:]) != size:
            condition = F.interpolate(condition, size=size, mode="nearest")
        hidden = F.relu(self.shared(condition), inplace=True).chunk(self.n_norms, dim=1)
        normalised = instance_norm(x)
        middle = self.conv_0(_modulated(self.modulation_0, self.widths_0, hidden[0], normalised))
        y: Tensor = self.conv_1(_modulated(self.modulation_1, self.widths_1, hidden[1], instance_norm(middle)))
        if self.learned_shortcut:
            self._add_shortcut(y, hidden[2], normalised)
        else:
            y += x
        return y

    def _add_shortcut(self, y: Tensor, hidden: Tensor, normalised: Tensor) -> None:
        """Adds to y, in place, what the 1x1 convolution makes of the modulated map."""
        factor = y.shape[2] // normalised.shape[2]
        for start, strip in in_strips(self.modulation_s, hidden):
            scale, shift = torch.split(strip, self.widths_s, dim=1)
            scaled = scale.contiguous(memory_format=torch.channels_last)
            _blocks(scaled, factor).mul_(_blocks(_rows(normalised, start, strip, factor), 1))
            through = linear(scaled.permute(0, 2, 3, 1).flatten(0, 2), self.get_buffer("to_shortcut"))
            part = _rows(y, start, strip)
            part += shift
            part += through.view(len(y), *part.shape[2:], -1).permute(0, 3, 1, 2)


def _modulated(modulation: nn.Module, widths: list[int], hidden: Tensor, normalised: Tensor) -> Tensor:
    """leaky ReLU (normalised scale + shift), at the size of the hidden map: `[B, C, H, W]`.

    In strips: scale and shift never exist as a whole, and are used while they are in the processor's cache.
    """
    factor = hidden.shape[2] // normalised.shape[2]
    out = normalised.new_empty(len(hidden), *hidden.shape[2:], widths[0]).permute(0, 3, 1, 2)
    for start, strip in in_strips(modulation, hidden):
        scale, shift = (_blocks(each, factor) for each in torch.split(strip, widths, dim=1))
        part = _rows(out, start, strip)
        torch.addcmul(shift, _blocks(_rows(normalised, start, strip, factor), 1), scale, out=_blocks(part, factor))
        F.leaky_relu(part, _SLOPE, inplace=True)
    return out


def _rows(x: Tensor, start: int, strip: Tensor, factor: int = 1) -> Tensor:
    """The rows of x `[B, C, h, w]` that, enlarged by factor, lie where the strip does, which begins at row `start`."""
    return x[:, :, start // factor : (start + strip.shape[2]) // factor]


def _blocks(x: Tensor, factor: int) -> Tensor:
    """`[B, C, f h, f w]` as `[B, h, f, w, f, C]`, the same memory."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).view(batch, height // factor, factor, width // factor, factor, channels)


def _first(norm: Spade) -> nn.Conv2d:
    conv = norm.mlp_shared[0]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _scale(norm: Spade) -> nn.Conv2d:
    """The convolution to 1 + gamma."""
    gamma = norm.mlp_gamma
    assert gamma.bias is not None
    return _convolution(gamma.weight, gamma.bias + 1)


def _in_a_row(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """The one convolution that a convolution and a 1x1 convolution without bias amount to."""
    assert first.bias is not None
    matrix = second.weight.double().flatten(1)
    weight = torch.einsum("oc,chij->ohij", matrix, first.weight.double())
    return _convolution(weight.to(first.weight.dtype), (matrix @ first.bias.double()).to(first.bias.dtype))


def _joined(convs: list[nn.Conv2d]) -> nn.Conv2d:
    """Convolutions of one input as one, their outputs in order."""
    biases = [conv.bias for conv in convs if conv.bias is not None]
    return _convolution(torch.cat([conv.weight for conv in convs]), torch.cat(biases))


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, device="meta")
    conv.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return conv.eval()
