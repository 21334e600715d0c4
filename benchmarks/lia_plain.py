"""LIA evaluated as its published program does it: the side that `first_order.py` compares with.

The weights are those of the package's modules; everything that is evaluated otherwise there is written out here:
filters as convolutions of single planes, kernels scaled for every picture and convolved in groups, five linear layers,
the decomposition of the directions for every use, colours taken from warped features at every level.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SLOPE, GAIN = 0.2, math.sqrt(2)


def filtered(x: Tensor, kernel: Tensor, *, up: int = 1, pad: tuple[int, int]) -> Tensor:
    batch, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.view(batch, channels, height, 1, width, 1), (0, up - 1, 0, 0, 0, up - 1))
    x = F.pad(x.view(batch, channels, height * up, width * up), (*pad, *pad))
    planes = F.conv2d(x.flatten(0, 1).unsqueeze(1), kernel.flip(0, 1)[None, None])
    return planes.unflatten(0, (batch, channels)).squeeze(2)


def activated(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias, SLOPE) * GAIN


def conv_layer(layers: Any, x: Tensor) -> Tensor:
    down = hasattr(layers[0], "kernel")
    if down:
        pad = layers[0].padding
        x = filtered(x, layers[0].kernel, pad=(pad, pad))
    conv = layers[1 if down else 0]
    x = F.conv2d(x, conv.weight / math.sqrt(conv.weight[0].numel()), stride=conv.stride, padding=conv.padding)
    return activated(x, layers[-1].bias) if hasattr(layers[-1], "bias") else x


def encode(encoder: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    first, *blocks, last = encoder.net_app.convs
    maps = [conv_layer(first, x)]
    for block in blocks:
        residual = conv_layer(block.conv2, conv_layer(block.conv1, maps[-1]))
        maps.append((residual + conv_layer(block.skip, maps[-1])) / math.sqrt(2))
    return last(maps[-1]).flatten(1), maps[-2::-1]


def motion(encoder: Any, h: Tensor) -> Tensor:
    for layer in encoder.fc:
        h = F.linear(h, layer.weight / math.sqrt(layer.weight.shape[1]), layer.bias)
    return h


def modulated(conv: Any, x: Tensor, latent: Tensor) -> Tensor:
    modulation = conv.modulation
    style = F.linear(latent, modulation.weight / math.sqrt(modulation.weight.shape[1]), modulation.bias)
    weight = conv.weight / math.sqrt(conv.weight[0, 0].numel()) * style[:, None, :, None, None]
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    batch, outputs, channels, side, _ = weight.shape
    x = x.reshape(1, batch * channels, *x.shape[2:])
    if conv.blur is None:
        x = F.conv2d(x, weight.flatten(0, 1), padding=side // 2, groups=batch)
    else:
        x = F.conv_transpose2d(x, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
    x = x.view(batch, outputs, *x.shape[2:])
    return x if conv.blur is None else filtered(x, conv.blur.kernel, pad=(1, 1))


def decode(decoder: Any, h: Tensor, alphas: list[Tensor], features: list[Tensor]) -> Tensor:
    def moved(alpha: Tensor) -> Tensor:
        basis = torch.linalg.qr(decoder.direction.weight + 1e-8).Q
        return (torch.diag_embed(alpha) @ basis.t()).sum(1)

    latent = h + moved(alphas[0])
    if len(alphas) > 1:
        latent = latent - moved(alphas[2]) + moved(alphas[1])

    def styled(layer: Any, x: Tensor) -> Tensor:
        return activated(modulated(layer.conv, x, latent), layer.activate.bias)

    x = styled(decoder.conv1, decoder.input["input"].repeat(len(h), 1, 1, 1))
    raw = picture = None
    for i, (to_flow, to_rgb) in enumerate(zip(decoder.to_flows, decoder.to_rgbs, strict=True)):
        x = styled(decoder.convs[2 * i + 1], styled(decoder.convs[2 * i], x))
        out = modulated(to_flow.conv, x, latent) + to_flow.bias
        raw = out if raw is None else out + filtered(raw, to_flow.upsample.kernel, up=2, pad=(2, 1))
        line = np.linspace(-1, 1, x.shape[2])
        grid = torch.tensor(np.stack(np.meshgrid(line, line), 2)).float().unsqueeze(0).repeat(len(x), 1, 1, 1)
        mask = raw[:, 2:].sigmoid()
        warped = F.grid_sample(features[i], raw[:, :2].tanh().permute(0, 2, 3, 1) + grid, align_corners=False) * mask
        x = warped + x * (1 - mask)
        colours = conv_layer(to_rgb.conv, warped) + to_rgb.bias
        picture = colours if picture is None else colours + filtered(picture, to_rgb.upsample.kernel, up=2, pad=(2, 1))
    assert picture is not None
    return picture


def frame(generator: Any, source: Tensor, driving: Tensor, start: Tensor | None) -> Tensor:
    """One frame of the published loop, in 0..1: the source is encoded again. Pictures are in 0..1.

    start: the motion of the first driving frame; None for absolute motion.
    """
    h, features = encode(generator.enc, source * 2 - 1)
    alphas = [motion(generator.enc, encode(generator.enc, driving * 2 - 1)[0])]
    if start is not None:
        alphas += [motion(generator.enc, h), start]
    return (decode(generator.dec, h, alphas, features).clamp(-1, 1) + 1) / 2


def frame_of_encoded(generator: Any, encoded: tuple[Tensor, list[Tensor]], driving: Tensor) -> Tensor:
    """The same in absolute motion, of a source that was encoded before."""
    h, features = encoded
    alpha = motion(generator.enc, encode(generator.enc, driving * 2 - 1)[0])
    return (decode(generator.dec, h, [alpha], features).clamp(-1, 1) + 1) / 2
