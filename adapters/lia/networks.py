"""The networks of LIA: Wang et al., "Latent Image Animator: Learning to Animate Images via Latent Space Navigation",
ICLR 2022.

A picture is an appearance, 512 numbers and feature maps, and a motion, 20 numbers alpha. A frame is rendered at the
latent vector h + Q alpha, h being the source's appearance and Q the orthogonal directions that were learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from thg_zoo.nn.as_written import kept_as_written
from thg_zoo.nn.equalised import ConvLayer, EqualConv2d, EqualLinear, ResBlock, plain_conv, plain_linear
from thg_zoo.nn.fir import Enlarge
from thg_zoo.nn.grid import coordinate_grid
from thg_zoo.nn.modulated import ModulatedConv2d, StyledConv
from thg_zoo.nn.warp import warp

SIDE = 256
LATENT = 512
DIRECTIONS = 20
# Widths of maps by their side.
_WIDTHS = {256: 64, 128: 128, 64: 256, 32: 512, 16: 512, 8: 512, 4: 512}
# Where Winograd's algorithm was measured to be the faster: 1.7 and 2 times.
_WINOGRAD = (64, 32)


@dataclass(frozen=True)
class Source:
    """A source, encoded: appearance `[S, 512]`, motion alpha `[S, 20]`, and of every level from 8 to 256 samples a side
    the colours `[S, 3, n, n]`; features `[S, C, n, n]` of all but the last, which gives colours alone.
    """

    appearance: Tensor
    alpha: Tensor
    features: Sequence[Tensor]
    colours: Sequence[Tensor]


class AppearanceEncoder(nn.Module):
    """`enc.net_app`: pictures `[B, 3, 256, 256]` in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        steps = pairwise(_WIDTHS.items())
        blocks = [ResBlock(width, following, winograd=side in _WINOGRAD) for (side, width), (_, following) in steps]
        self.convs = nn.ModuleList([ConvLayer(3, _WIDTHS[SIDE], 1), *blocks, EqualConv2d(_WIDTHS[4], LATENT, 4)])
        self.memory_format = torch.contiguous_format

    def fold(self) -> None:
        """Scales, biases and gains within the convolutions."""
        for layer in self.convs[:-1]:
            cast("ConvLayer | ResBlock", layer).fold()
        self.convs[-1] = plain_conv(cast("EqualConv2d", self.convs[-1]).scaled())

    def use_fast_form(self) -> None:
        """Maps channels last, as processors filter them fastest."""
        self.memory_format = torch.channels_last

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The vector `[B, 512]`, and the maps of 8, 16, ..., 256 samples a side."""
        maps = [pictures.contiguous(memory_format=self.memory_format)]
        for layer in self.convs:
            maps.append(layer(maps[-1]))
        return maps[-1].flatten(1), maps[-3:0:-1]


class Encoder(nn.Module):
    """`enc`: the appearance, and five linear layers without activation that read the motion from it."""

    def __init__(self) -> None:
        super().__init__()
        self.net_app = AppearanceEncoder()
        self.fc = nn.Sequential(*(EqualLinear(LATENT, LATENT) for _ in range(4)), EqualLinear(LATENT, DIRECTIONS))

    def fold(self) -> None:
        """The five layers as one; those of the appearance by themselves."""
        self.net_app.fold()
        weight, bias = torch.eye(LATENT, dtype=torch.float64), torch.zeros(LATENT, dtype=torch.float64)
        for layer in cast("Sequence[EqualLinear]", self.fc):
            scaled = layer.scaled().cpu().double()
            weight, bias = scaled @ weight, scaled @ bias + layer.bias.cpu()
        like = cast("EqualLinear", self.fc[-1]).bias
        self.fc = nn.Sequential(plain_linear(weight.to(like), bias.to(like)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Motion alpha `[B, 20]` of pictures `[B, 3, 256, 256]` in -1..1."""
        return cast("Tensor", self.fc(self.net_app(pictures)[0]))


class Direction(nn.Module):
    """`dec.direction`: alpha `[B, 20]` to Q alpha `[B, 512]`.

    Q is of the reduced QR decomposition of the weight, with the signs that LAPACK gives: training relied on them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(LATENT, DIRECTIONS))

    def basis(self) -> Tensor:
        """Q, `[512, 20]`; by the host's LAPACK wherever the weight is."""
        basis: Tensor = torch.linalg.qr(self.weight.cpu() + 1e-8).Q
        return basis.to(self.weight)

    def forward(self, alpha: Tensor) -> Tensor:
        return alpha @ self.basis().t()


class ToFlow(nn.Module):
    """`dec.to_flows.i`: maps `[B, C, n, n]` to x and y of a flow and the logit of a mask, `[B, 3, n, n]`, added to
    those of the level before.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = Enlarge()
        self.conv = ModulatedConv2d(channels, 3, 1, LATENT, demodulate=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))

    def forward(self, x: Tensor, scales: Tensor, before: Tensor | None) -> Tensor:
        # In bfloat16 a flow would be half a sample off: it stays in float32 where convolutions do not.
        with torch.autocast(x.device.type, enabled=False):
            # Three outputs: scaling their few weights is cheaper than scaling the maps.
            kernels = self.conv.scaled().flatten(1) * scales[:, None]
            raw = torch.matmul(kernels, x.flatten(2)).view(len(x), 3, *x.shape[2:]) + self.bias
            return raw if before is None else raw + cast("Tensor", self.upsample(before))


class ToRgb(nn.Module):
    """`dec.to_rgbs.i`: colours `[B, 3, n, n]` of warped and masked features, added to the picture so far.

    The 1x1 convolution commutes with warping and masking: it is done once per source, by `colours`.
    """

    def __init__(self, channels: int, *, first: bool = False) -> None:
        super().__init__()
        self.conv = ConvLayer(channels, 3, 1)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))
        if not first:
            self.upsample = Enlarge()

    def colours(self, features: Tensor) -> Tensor:
        """`[S, C, n, n]` to `[S, 3, n, n]`, without bias."""
        return cast("Tensor", self.conv[0](features))

    def forward(self, colours: Tensor, before: Tensor | None) -> Tensor:
        picture: Tensor = self.conv[1](colours) + self.bias
        return picture if before is None else picture + self.upsample(before)


class Synthesis(nn.Module):
    """`dec`: a picture at a latent vector, by flows and masks from 8 to 256 samples a side."""

    def __init__(self) -> None:
        super().__init__()
        widths = dict(reversed(_WIDTHS.items()))
        width = widths.pop(4)
        self.direction = Direction()
        self.input = nn.ParameterDict({"input": nn.Parameter(torch.empty(1, width, 4, 4))})
        self.conv1 = StyledConv(width, width, LATENT)
        # In the published file, and never used.
        self.to_rgb1 = ToRgb(width, first=True)
        self.convs = nn.ModuleList()
        for side, following in widths.items():
            self.convs.append(StyledConv(width, following, LATENT, up=True))
            self.convs.append(StyledConv(following, following, LATENT, winograd=side in _WINOGRAD))
            width = following
        self.to_rgbs = nn.ModuleList(ToRgb(width) for width in widths.values())
        self.to_flows = nn.ModuleList(ToFlow(width) for width in widths.values())
        # Widths of all scales once they are folded.
        self.widths: list[int] = []
        self.memory_format = torch.contiguous_format

    def use_fast_form(self) -> None:
        """Maps channels last."""
        self.memory_format = torch.channels_last

    def fold(self) -> None:
        """The directions and all modulations as one product; convolutions by themselves."""
        layers = [conv.modulation for conv in self.modulated()]
        self.widths = [len(layer.bias) for layer in layers]
        modulation = torch.cat([layer.scaled() for layer in layers])
        self.by_motion = plain_linear(modulation @ self.direction.basis())
        self.by_appearance = plain_linear(modulation, torch.cat([layer.bias for layer in layers]))
        for conv in (self.conv1, *self.convs):
            cast("StyledConv", conv).fold()

    def scales(self, appearance: Tensor, alpha: Tensor) -> list[Tensor]:
        """Of every modulated convolution in the order of `modulated`, `[B, C]`."""
        with torch.autocast(alpha.device.type, enabled=False):
            if self.widths:
                return list((self.by_appearance(appearance) + self.by_motion(alpha)).split(self.widths, dim=1))
            latent = appearance + self.direction(alpha)
            return [conv.modulation(latent) for conv in self.modulated()]

    def modulated(self) -> list[ModulatedConv2d]:
        """`conv1`, then of each level both convolutions and the flow."""
        found = [self.conv1.conv]
        for i, to_flow in enumerate(self.to_flows):
            pair = cast("Sequence[StyledConv]", self.convs[2 * i : 2 * i + 2])
            found += [conv.conv for conv in pair]
            found.append(cast("ToFlow", to_flow).conv)
        return found

    def forward(self, source: Source, alpha: Tensor) -> Tensor:
        scales = iter(self.scales(source.appearance, alpha))
        constant = self.input["input"].expand(len(alpha), -1, -1, -1)
        x = self.conv1(constant.contiguous(memory_format=self.memory_format), next(scales))
        raw: Tensor | None = None
        picture: Tensor | None = None
        for i, (to_flow, to_rgb) in enumerate(zip(self.to_flows, self.to_rgbs, strict=True)):
            x = self.convs[2 * i + 1](self.convs[2 * i](x, next(scales)), next(scales))
            raw = cast("Tensor", to_flow(x, next(scales), raw))
            flow, mask = flow_and_mask(raw)
            picture = to_rgb(warp(source.colours[i], flow) * mask, picture)
            if i < len(source.features):
                x = torch.lerp(x, warp(source.features[i], flow), mask)
        assert picture is not None
        return picture


def flow_and_mask(raw: Tensor) -> tuple[Tensor, Tensor]:
    """`[B, 3, n, n]` to the points `[B, n, n, 2]` that are looked at, and how much of them is shown, `[B, 1, n, n]`."""
    shift = raw[:, :2].tanh().permute(0, 2, 3, 1)
    return shift + coordinate_grid(raw.shape[2:], raw), raw[:, 2:].sigmoid()


class Generator(nn.Module):
    """`gen`: encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.dec = Synthesis()

    def fold(self) -> None:
        """Everything linear that follows in a row as one product: the same function. Not inside `as_written`."""
        if kept_as_written():
            return
        self.enc.fold()
        self.dec.fold()

    def motion(self, pictures: Tensor) -> Tensor:
        """alpha `[B, 20]` of pictures `[B, 3, 256, 256]` in -1..1."""
        return cast("Tensor", self.enc(pictures))

    def encode(self, pictures: Tensor) -> Source:
        """Everything that depends on sources `[S, 3, 256, 256]` in -1..1, in float32 at every precision."""
        with torch.autocast(pictures.device.type, enabled=False):
            appearance, features = self.enc.net_app(pictures)
            to_rgbs = cast("Sequence[ToRgb]", self.dec.to_rgbs)
            colours = [layer.colours(maps) for layer, maps in zip(to_rgbs, features, strict=True)]
            return Source(appearance, self.enc.fc(appearance), features[:-1], colours)

    def render(self, source: Source, alpha: Tensor) -> Tensor:
        """Frames `[B, 3, 256, 256]`, about -1..1, of motion alpha `[B, 20]`; the source has one entry or B."""
        return cast("Tensor", self.dec(source, alpha))
