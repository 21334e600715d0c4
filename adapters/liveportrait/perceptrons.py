"""LivePortrait's three perceptrons on key points: stitching, and opening or closing eyes and lips.

Guo et al., "LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control", 2024, section 3.3.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thg_zoo.adapters.liveportrait.motion_extractor import NUM_KP

_POINTS = 3 * NUM_KP
_WIDTHS = {
    "retarget_shoulder": (2 * _POINTS, 128, 128, 64, _POINTS + 2),
    "retarget_mouth": (_POINTS + 2, 128, 128, 64, _POINTS),
    "retarget_eye": (_POINTS + 3, 256, 256, 128, 128, 64, _POINTS),
}


class Perceptron(nn.Module):
    """Linear layers of the given widths with ReLU between: `[B, widths[0]]` to `[B, widths[-1]]`."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


def build_perceptrons() -> dict[str, nn.Module]:
    """The networks by the entries of the published file."""
    return {name: Perceptron(*widths) for name, widths in _WIDTHS.items()}


class Perceptrons:
    """What the perceptrons say of key points `[B, 21, 3]` (x, y, z), always in float32.

    Of two arguments either may have one entry that goes with all of the other's.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """parts: as `build_perceptrons` makes them, filled; there may be others among them."""
        self._perceptrons = {name: parts[name] for name in _WIDTHS}

    def stitch(self, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """The driving key points corrected so that the frame joins the source at the crop's border, `[B, 21, 3]`."""
        out = self._run("retarget_shoulder", kp_source, kp_driving)
        delta, shift = out[:, :_POINTS].view(-1, NUM_KP, 3), out[:, None, _POINTS:]
        return kp_driving + delta + nn.functional.pad(shift, (0, 1))

    def eye_delta(self, kp_source: Tensor, ratios: Tensor) -> Tensor:
        """What opens or closes the eyes, `[B, 21, 3]`. ratios `[B, 3]`: the source's left and right, and the wanted."""
        return self._run("retarget_eye", kp_source, ratios).view(-1, NUM_KP, 3)

    def lip_delta(self, kp_source: Tensor, ratios: Tensor) -> Tensor:
        """What opens or closes the lips, `[B, 21, 3]`. ratios `[B, 2]`: the source's and the wanted."""
        return self._run("retarget_mouth", kp_source, ratios).view(-1, NUM_KP, 3)

    def _run(self, name: str, kp_source: Tensor, other: Tensor) -> Tensor:
        batch = max(len(kp_source), len(other))
        joined = torch.cat([kp_source.flatten(1).expand(batch, -1), other.flatten(1).expand(batch, -1)], dim=1)
        with torch.autocast(joined.device.type, enabled=False):
            out: Tensor = self._perceptrons[name](joined.float())
        return out
