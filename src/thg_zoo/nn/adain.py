"""Adaptive instance normalisation: a map normalised, then scaled and shifted channel by channel as a vector says.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017, with scale
and shift from a perceptron, in the form that PIRenderer and IP_LAP publish.
"""

from __future__ import annotations

from torch import Tensor, nn

from thg_zoo.nn.instance_norm import instance_norm

_HIDDEN = 128


class AdaIn(nn.Module):
    """n (1 + gamma) + beta of an instance-normalised map n `[B, C, H, W]`, with gamma and beta from z `[B, Z]`."""

    def __init__(self, channels: int, condition_channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(condition_channels, _HIDDEN), nn.ReLU())
        self.mlp_gamma = nn.Linear(_HIDDEN, channels)
        self.mlp_beta = nn.Linear(_HIDDEN, channels)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x `[B, C, H, W]`, or `[1, C, H, W]` for one map that all rows of z share; keeps the memory format."""
        hidden = self.mlp_shared(z)
        scale, shift = self.mlp_gamma(hidden) + 1, self.mlp_beta(hidden)
        moved: Tensor = instance_norm(x) * scale[..., None, None]
        return moved.add_(shift[..., None, None])
