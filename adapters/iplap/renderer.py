"""The renderer of IP_LAP, with the published names: what the warped references do not show is drawn.

Zhong et al., CVPR 2023 (github.com/Weizhi-Zhong/IP_LAP). See `flow` for the pictures' ranges. The perceptual loss,
which the published file holds as well, is not built.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.adapters.iplap.blocks import AdaInBlock, SpadeBlock
from thg_zoo.adapters.iplap.flow import SKETCHES, FlowModule, References, Warped
from thg_zoo.nn.speech_encoder import speech_encoder


class Translation(nn.Module):
    """10.8 M parameters: a face without its lower half, sketches, sound and warped references to a face."""

    folds: ClassVar = (("conv1", "conv1_bn"), ("conv2", "conv2_bn"))

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = speech_encoder()
        self.conv1, self.conv1_bn = nn.Conv2d(3 + SKETCHES, 32, 7, padding=3, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.conv2_bn = nn.Conv2d(32, 256, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(256)
        self.spade_1, self.adain_1 = SpadeBlock(256, 256), AdaInBlock(256)
        self.spade_2, self.adain_2 = SpadeBlock(64, 32), AdaInBlock(64)
        self.spade_4 = SpadeBlock(64, 3)
        self.conv_last = nn.Conv2d(64, 3, 7, padding=3, bias=False)

    def forward(self, x: Tensor, warped: Warped, mel: Tensor) -> Tensor:
        """Masked faces and sketches `[B, 18, 128, 128]` and mel spectrograms `[B, 1, 80, 16]` to `[B, 3, 128, 128]`."""
        sound = self.audio_encoder(mel).flatten(1)
        x = F.relu(self.conv1_bn(self.conv1(x)))
        x = F.relu(self.conv2_bn(self.conv2(x)))
        x = F.pixel_shuffle(self.adain_1(self.spade_1(x, warped.coarse), sound), 2)
        x = self.spade_4(self.adain_2(self.spade_2(x, warped.fine), sound), warped.face)
        return torch.sigmoid(self.conv_last(F.leaky_relu(x, 0.01)))


class Renderer(nn.Module):
    """19 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.flow_module = FlowModule()
        self.translation = Translation()

    def forward(self, faces: Tensor, sketches: Tensor, references: References, mel: Tensor) -> Tensor:
        """Faces `[B, 3, 128, 128]` in 0..1 of B frames.

        faces: `[B, 3, 128, 128]`, of which the upper half is looked at; sketches `[B, 15, 128, 128]`; mel
        spectrograms `[B, 1, 80, 16]`.
        """
        masked = faces.clone()
        masked[:, :, faces.shape[2] // 2 :] = 0
        drawn: Tensor = self.translation(
            torch.cat((masked, sketches), dim=1), self.flow_module(references, sketches), mel
        )
        return drawn
