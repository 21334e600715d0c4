"""The speech encoder of Wav2Lip, which SadTalker's expression and pose networks and IP_LAP contain as well.

Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM Multimedia 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING = 512

Activation: TypeAlias = Callable[[Tensor], Tensor]


class ConvBlock(nn.Module):
    """Convolution, batch norm, activation; `residual` adds the input before the activation."""

    def __init__(
        self,
        convolution: nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d,
        residual: bool = False,
        activation: Activation = F.relu,
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm1d if isinstance(convolution, nn.Conv1d) else nn.BatchNorm2d
        self.conv_block = nn.Sequential(convolution, norm(convolution.out_channels))
        self.residual = residual
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return self.activation(y + x if self.residual else y)


def conv_block(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int | tuple[int, int] = 1, padding: int = 1
) -> ConvBlock:
    """`[B, in, H, W]` to `[B, out, H / stride, W / stride]`."""
    return ConvBlock(nn.Conv2d(in_channels, out_channels, kernel, stride, padding))


def residual_conv_blocks(channels: int, count: int) -> Iterator[ConvBlock]:
    """`count` residual blocks that keep the size."""
    return (ConvBlock(nn.Conv2d(channels, channels, 3, 1, 1), residual=True) for _ in range(count))


def speech_encoder(last: Activation = F.relu) -> nn.Sequential:
    """2.8 M parameters: 16 columns of mel spectrogram `[B, 1, 80, 16]` to `[B, 512, 1, 1]`. last: activation."""
    return nn.Sequential(
        *(conv_block(1, 32), *residual_conv_blocks(32, 2)),  # 80 x 16
        *(conv_block(32, 64, 3, (3, 1)), *residual_conv_blocks(64, 2)),  # 27 x 16
        *(conv_block(64, 128, 3, 3), *residual_conv_blocks(128, 2)),  # 9 x 6
        *(conv_block(128, 256, 3, (3, 2)), *residual_conv_blocks(256, 1)),  # 3 x 3
        *(conv_block(256, EMBEDDING, 3, 1, 0), ConvBlock(nn.Conv2d(EMBEDDING, EMBEDDING, 1), activation=last)),  # 1 x 1
    )
