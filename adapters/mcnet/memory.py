"""MCNet's memory unit: warped features are repaired from a learned bank of faces.

Hong and Xu, "Implicit Identity Representation Conditioned Memory Compensation Network for Talking Head Video
Generation", ICCV 2023, section 3.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.attention import turns
from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.linear import linear
from thg_zoo.nn.winograd import MixedWinogradConv

CHANNELS = 512
SIZE = 32
_TEMPERATURE = 34
_SIZES_AND_WIDTHS = ((32, 256), (64, 128), (128, 64))


class ModulatedConv(nn.Module):
    """StyleGAN2's weight-modulated 3x3 convolution (Karras et al., CVPR 2020): x `[S, C, h, w]`, style `[B, C]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, channels, 3, 3))
        self.modulation = nn.Linear(channels, channels)

    def use_fast_form(self) -> None:
        """The scaled kernel, and its energy by input and output, once instead of at every call."""
        kernel = self._scaled_kernel()
        self.register_buffer("energy", _energy(kernel))
        channels = len(kernel)
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False, device="meta")
        conv.weight = nn.Parameter(kernel, requires_grad=False)
        self.scaled = conv.eval()
        self.winograd = ("scaled",)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`[B, C, h, w]`. Modulation scales the input and demodulation the output, so that one kernel serves all."""
        scale = F.linear(style, self.modulation.weight * style.shape[1] ** -0.5, self.modulation.bias)
        modulated = x * scale[..., None, None]
        if hasattr(self, "scaled"):
            out, energy = self.scaled(modulated), self.get_buffer("energy")
        else:
            kernel = self._scaled_kernel()
            out, energy = F.conv2d(modulated, kernel, padding=1), _energy(kernel)
        norm = (scale**2 @ energy + 1e-8).rsqrt()
        demodulated: Tensor = out * norm[..., None, None]
        return demodulated

    def _scaled_kernel(self) -> Tensor:
        """`[C, C, 3, 3]`."""
        gain: float = self.weight[0, 0].numel() ** -0.5
        return self.weight.detach()[0] * gain


def _energy(kernel: Tensor) -> Tensor:
    """Sum of squares by input and output channel, `[C, O]`."""
    energy: Tensor = (kernel**2).sum((2, 3)).t()
    return energy


class Activate(nn.Module):
    """Bias, leaky ReLU 0.2, and the gain sqrt 2 that keeps the variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], 0.2, inplace=True).mul_(2**0.5)


class StyleConv(nn.Module):
    """Modulated convolution, noise of a learned strength, activation.

    noise `[B, 1, h, w]` or None for none: the reference implementation draws it anew at every call, so that its frames
    flicker by as much as the learned strength says.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.modulated_conv = ModulatedConv(channels)
        self.activate = Activate(channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        x = self.modulated_conv(x, style)
        if noise is not None:
            x = x + self.weight * noise
        out: Tensor = self.activate(x)
        return out


class KernelAttention(nn.Module):
    """Weights `[B, kernels]` of several kernels for features `[B, C, h, w]`."""

    def __init__(self, channels: int, kernels: int) -> None:
        super().__init__()
        hidden = channels // 4 + 1
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, kernels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        logits = self.fc2(F.relu(self.fc1(pooled))).flatten(1)
        return torch.softmax(logits / _TEMPERATURE, dim=1)


class DynamicConv(nn.Module):
    """A 3x3 convolution whose kernel is mixed from several for every picture (Chen et al., CVPR 2020)."""

    def __init__(self, in_channels: int, out_channels: int, kernels: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernels, out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(kernels, out_channels))
        self.attention = KernelAttention(in_channels, kernels)
        self.mixed: MixedWinogradConv | None = None

    def use_fast_form(self) -> None:
        """Minimal filtering; the kernels are held as it mixes them."""
        self.mixed = MixedWinogradConv(self.weight.detach())
        del self.weight

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x `[B, C, h, w]` chooses the kernels, y `[B, C, h', w']` is convolved: `[B, out, h', w']`."""
        # Kernels are mixed in their own precision, which autocast does not see to.
        shares = self.attention(x).to(self.bias.dtype)
        bias = shares @ self.bias
        if self.mixed is not None:
            fast: Tensor = self.mixed(y, shares, bias)
            return fast
        return torch.cat(
            [
                F.conv2d(picture[None], torch.tensordot(share, self.weight, 1), b, padding=1)
                for picture, share, b in zip(y, shares, bias, strict=True)
            ]
        )


def _in_one(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Matrix and bias of the one linear map of channels that two 1x1 convolutions in a row amount to."""
    assert first.bias is not None
    assert second.bias is not None
    matrix = second.weight[:, :, 0, 0]
    return matrix @ first.weight.flatten(1), matrix @ first.bias + second.bias


def recall(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What a memory of M positions holds for queries `[N, 512]`, by likeness of its keys `[M, 512]`, of its values
    `[C, M]`: `[N, C]`.
    """
    return linear(torch.softmax(linear(query, 0.25 * key), dim=1), value)


class MemoryUnit(nn.Module):
    """Repairs the odd channels of features `[B, C, w, w]`, (w, C) being (32, 512), (64, 256) or (128, 128).

    The bank of faces is modulated by a style code of the features and the source's key points; the features
    query it by attention, and what it adds replaces what the warp has damaged.
    """

    winograd: ClassVar = ("conv_32", "conv_64")

    def __init__(self, num_kp: int) -> None:
        super().__init__()
        self.mb = nn.Parameter(torch.randn(1, CHANNELS, SIZE, SIZE))
        for size, width in _SIZES_AND_WIDTHS:
            self.add_module(f"feat_forward_proj_{size}", nn.Conv2d(width, CHANNELS, 1))
            self.add_module(f"conv_{size}", nn.Conv2d(CHANNELS, width, 3, padding=1))
            self.add_module(f"norm_{size}", nn.InstanceNorm2d(width, affine=True))
        self.query_conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.conv_kv = DynamicConv(CHANNELS, 2 * CHANNELS)
        self.diff_conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.style_route = nn.Sequential(nn.Linear(CHANNELS + 2 * num_kp, 128), nn.ReLU(), nn.Linear(128, CHANNELS))
        self.styleconv = StyleConv(CHANNELS)

    def forward(self, features: Tensor, keypoints: Tensor, noise: Tensor | None = None) -> Tensor:
        """keypoints `[1 or B, K, 2]` of the source; noise `[B, 1, 32, 32]` or None; to features of the same shape."""
        odd = features[:, 1::2]
        # A mean passes linear maps.
        mean = self._projection(odd.shape[1])(odd.mean((2, 3), keepdim=True))
        key, value = self.key_value(mean, self.modulated(mean, keypoints, noise))
        size = features.shape[-1]
        repaired: Tensor = self.get_submodule(f"conv_{size}")(self.repaired(odd, key, value))
        norm = self.get_submodule(f"norm_{size}")
        assert isinstance(norm, nn.InstanceNorm2d)
        repaired = F.relu(instance_norm(repaired, norm.weight, norm.bias), inplace=True)
        # Interleaved channels last, as the blocks that follow want it.
        both = [maps.movedim(1, -1) for maps in (features[:, 0::2], repaired)]
        return torch.stack(both, dim=-1).flatten(-2).movedim(-1, 1)

    def modulated(self, mean: Tensor, keypoints: Tensor, noise: Tensor | None) -> Tensor:
        """The bank as a face whose projected features have this mean `[B, 512, 1, 1]` would fill it:
        `[B, 512, 32, 32]`.
        """
        code = torch.cat([mean.flatten(1), keypoints.flatten(1).expand(len(mean), -1)], dim=1)
        memory: Tensor = self.styleconv(self.mb, self.style_route(code), noise)
        return memory

    def key_value(self, mean: Tensor, memory: Tensor) -> list[Tensor]:
        """Keys and values of the memory's positions: `[B, 1024, 512]` each."""
        both = F.relu(self.conv_kv(mean, memory), inplace=True)
        return list(both.flatten(2).mT.chunk(2, dim=2))

    def repaired(self, odd: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The odd channels `[B, C, w, w]`, projected and repaired by what the memory recalls: `[B, 512, w, w]`.

        In turns of positions, so that of the wide maps between only the last is ever in memory. The difference to what
        is recalled passes a linear layer: it is applied to both sides first, to the 1024 positions of the memory
        instead of all those of the features.
        """
        of_difference = self.diff_conv.weight[:, :, 0, 0] @ value.mT
        layers = self.of_odd(odd.shape[1])
        rows = odd.flatten(2).mT.contiguous()
        out = rows.new_empty(*rows.shape[:2], CHANNELS)
        for positions, keys, values, result in zip(rows, key, of_difference, out, strict=True):
            for some in turns(len(positions), len(keys)):
                projected, query, compared = (linear(positions[some], *layer) for layer in layers)
                difference = compared.sub_(recall(query.relu_(), keys, values))
                torch.add(difference.relu_(), projected, out=result[some])
        return out.mT.reshape(len(odd), CHANNELS, *odd.shape[2:])

    def of_odd(self, width: int) -> list[tuple[Tensor, Tensor]]:
        """Weight `[512, width]` and bias `[512]` of the projection f, of the query, and of `diff_conv(f)`.

        The last two are linear in f before their activations, so that each is one map of the few odd channels.
        """
        first = self._projection(width)
        assert first.bias is not None
        return [
            (first.weight.flatten(1), first.bias),
            _in_one(first, self.query_conv),
            _in_one(first, self.diff_conv),
        ]

    def _projection(self, width: int) -> nn.Conv2d:
        """The 1x1 convolution of `width` odd channels to 512."""
        size = next(size for size, whole in _SIZES_AND_WIDTHS if whole == width)
        first = self.get_submodule(f"feat_forward_proj_{size}")
        assert isinstance(first, nn.Conv2d)
        return first
