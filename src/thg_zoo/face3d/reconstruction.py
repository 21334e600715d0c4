"""Coefficients of a 3-D face model from a picture: the network of Deep3DFaceRecon (Deng et al., CVPRW 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thg_zoo.nn.resnet import ResNet

# Identity, expression, texture, angles, light, translation in x and y, and in z: in this order.
_GROUPS = (80, 64, 80, 3, 27, 2, 1)
FULL = sum(_GROUPS)
_EXPRESSION, _ANGLES, _TRANSLATION = slice(80, 144), slice(224, 227), slice(254, 257)

# What is kept of them, and beside them scale and place (x, y) of the face in the picture.
POSE_COLUMNS = slice(64, 70)
PLACE_COLUMNS = slice(70, 73)


class Reconstruction(nn.Module):
    """Aligned faces `[B, 3, 224, 224]`, RGB in 0..1, to 257 coefficients each."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(50)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.widths[-1], width, 1) for width in _GROUPS)

    def forward(self, aligned: Tensor) -> Tensor:
        pooled = self.backbone.features(aligned)[-1].mean((2, 3), keepdim=True)
        return torch.cat([layer(pooled) for layer in self.final_layers], dim=1).flatten(1)


def driving_coefficients(full: Tensor, place: Tensor) -> Tensor:
    """What moves a face, `[B, 73]`: expression 64, pose 6, place 3, of `[B, 257]` and scale, x and y `[B, 3]`."""
    return torch.cat((full[:, _EXPRESSION], full[:, _ANGLES], full[:, _TRANSLATION], place), dim=1)
