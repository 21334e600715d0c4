"""MCNet's memory unit: warped features are repaired from a learned bank of faces.

Hong and Xu, "Implicit Identity Representation Conditioned Memory Compensation Network for Talking Head Video
Generation", ICCV 2023, section 3.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn.attention import attend
from thg_zoo.nn.instance_norm import instance_norm

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

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x `[B, C, h, w]` chooses the kernels, y `[B, C, h', w']` is convolved: `[B, out, h', w']`."""
        shares = self.attention(x)
        bias = shares @ self.bias
        return torch.cat(
            [
                F.conv2d(picture[None], torch.tensordot(share, self.weight, 1), b, padding=1)
                for picture, share, b in zip(y, shares, bias, strict=True)
            ]
        )


def _in_one(first: nn.Conv2d, second: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one 1x1 convolution that two in a row amount to."""
    assert first.bias is not None
    assert second.bias is not None
    matrix = second.weight[:, :, 0, 0]
    weight = (matrix @ first.weight.flatten(1))[:, :, None, None]
    return weight, matrix @ first.bias + second.bias


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
        size = features.shape[-1]
        projected, query, compared = self.project(features[:, 1::2])
        key, value = self.key_value(projected, self.modulated(projected, keypoints, noise))
        # The difference to what the memory recalls passes a linear layer: it is applied to both sides first, to the
        # 1024 positions of the memory instead of all those of the features.
        recalled = self.recall(query, key, value @ self.diff_conv.weight[:, :, 0, 0].mT)
        repaired = F.relu(compared.sub_(recalled), inplace=True).add_(projected)
        repaired = self.get_submodule(f"conv_{size}")(repaired)
        norm = self.get_submodule(f"norm_{size}")
        assert isinstance(norm, nn.InstanceNorm2d)
        repaired = F.relu(instance_norm(repaired, norm.weight, norm.bias), inplace=True)
        return torch.stack([features[:, 0::2], repaired], dim=2).flatten(1, 2)

    def project(self, odd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The projection f of the odd channels, the query, and `diff_conv(f)`: `[B, 512, w, w]` each.

        The last two are linear in f before their activations, so that each is one convolution of the few odd channels.
        """
        first = self.get_submodule(f"feat_forward_proj_{odd.shape[-1]}")
        assert isinstance(first, nn.Conv2d)
        projected: Tensor = first(odd)
        query, compared = (F.conv2d(odd, *_in_one(first, second)) for second in (self.query_conv, self.diff_conv))
        return projected, F.relu(query, inplace=True), compared

    def modulated(self, projected: Tensor, keypoints: Tensor, noise: Tensor | None) -> Tensor:
        """The bank as this face would fill it: `[B, 512, 32, 32]`."""
        code = torch.cat([projected.mean((2, 3)), keypoints.flatten(1).expand(len(projected), -1)], dim=1)
        memory: Tensor = self.styleconv(self.mb, self.style_route(code), noise)
        return memory

    def key_value(self, projected: Tensor, memory: Tensor) -> list[Tensor]:
        """Keys and values of the memory's positions: `[B, 1024, 512]` each."""
        both = F.relu(self.conv_kv(projected, memory), inplace=True)
        return list(both.flatten(2).mT.chunk(2, dim=2))

    def recall(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What the memory holds at every position of the query `[B, 512, w, w]`: values by likeness of the keys."""
        return attend(query.flatten(2).mT, key, value, scale=0.25).mT.reshape_as(query)
