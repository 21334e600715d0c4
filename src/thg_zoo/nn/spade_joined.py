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
from thg_zoo.nn.nearest import NearestConv

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
            self.register_buffer("to_shortcut", block.conv_s.weight.detach().flatten(1).mT.contiguous())
        shared = _joined([_first(norm) for norm in norms])
        self.shared: nn.Module = NearestConv(shared, condition_factor) if condition_factor > 1 else shared
        self.n_norms = len(norms)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        size = [self.enlarge * n for n in x.shape[2:]]
        if not isinstance(self.shared, NearestConv) and list(condition.shape[2:]) != size:
            condition = F.interpolate(condition, size=size, mode="nearest")
        hidden = F.relu(self.shared(condition), inplace=True).chunk(self.n_norms, dim=1)
        normalised = instance_norm(x)
        scale, shift = self.modulation_0(hidden[0]).split(self.widths_0, dim=1)
        middle = self.conv_0(self._modulated(normalised, scale, shift))
        scale, shift = self.modulation_1(hidden[1]).split(self.widths_1, dim=1)
        y: Tensor = self.conv_1(self._modulated(instance_norm(middle), scale, shift))
        if not self.learned_shortcut:
            y += x
            return y
        scale, shift = self.modulation_s(hidden[2]).split(self.widths_s, dim=1)
        scaled = _rows(_times(scale, normalised))
        _rows(y).add_(_rows(shift)).addmm_(scaled, self.get_buffer("to_shortcut"))
        return y

    def _modulated(self, normalised: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """leaky ReLU (normalised scale + shift), at the size of the last two."""
        factor = scale.shape[2] // normalised.shape[2]
        if factor == 1:
            shift.addcmul_(normalised, scale)
        else:
            blocks = _blocks(shift, factor)
            blocks.addcmul_(_blocks(normalised, 1), _blocks(scale, factor))
        return F.leaky_relu(shift, _SLOPE, inplace=True)


def _times(scale: Tensor, x: Tensor) -> Tensor:
    """scale, times x enlarged to it, in place."""
    _blocks(scale, scale.shape[2] // x.shape[2]).mul_(_blocks(x, 1))
    return scale


def _blocks(x: Tensor, factor: int) -> Tensor:
    """`[B, C, f h, f w]` as `[B, h, f, w, f, C]`, the same memory."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).view(batch, height // factor, factor, width // factor, factor, channels)


def _rows(x: Tensor) -> Tensor:
    """`[B, C, H, W]`, channels last in memory, as `[B H W, C]`, the same memory."""
    last = x.permute(0, 2, 3, 1)
    return last.view(-1, last.shape[-1])


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
