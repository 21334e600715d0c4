"""PIRenderer's network: Ren, Li, Chen, Li, Liu, "PIRenderer: Controllable Portrait Image Generation via Semantic Neural
Rendering", ICCV 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from thg_zoo.adapters.pirender.editing import EditingNet
from thg_zoo.adapters.pirender.warping import DESCRIPTOR, Warped, WarpingNet
from thg_zoo.face3d.mapping import REACH, SequenceEncoder

# Coefficients of a frame: expression 64, angles 3, translation 3, scale and place of the face in the crop 3.
ROWS = 73


@dataclass(frozen=True)
class Portrait:
    """A picture `[1 or B, 3, H, W]` in -1..1, and what the two networks make of it alone."""

    image: Tensor
    for_warping: Tensor
    for_editing: Tensor


class FaceGenerator(nn.Module):
    """The part `net_G_ema`: descriptors from coefficients, then frames from a portrait and descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping_net = SequenceEncoder(ROWS, DESCRIPTOR)
        self.warpping_net = WarpingNet()
        self.editing_net = EditingNet()

    def describe(self, coefficients: Tensor) -> Tensor:
        """Coefficients `[n + 26, 73]` (see `thg_zoo.face3d.mapping.sections`) to descriptors `[n, 256]`."""
        descriptors: Tensor = self.mapping_net(coefficients.T.unsqueeze(0))
        return descriptors.squeeze(0).T

    def describe_still(self, coefficients: Tensor) -> Tensor:
        """Coefficients `[n, 73]` to descriptors `[n, 256]` as if each of them never changed."""
        descriptors: Tensor = self.mapping_net(coefficients.unsqueeze(2).expand(-1, -1, 2 * REACH + 1))
        return descriptors.squeeze(2)

    def encode(self, image: Tensor) -> Portrait:
        """A picture `[1 or B, 3, H, W]` in -1..1; H and W are multiples of 32, trained at 256."""
        return Portrait(image, self.warpping_net.encode(image), self.editing_net.encode(image))

    def forward(self, portrait: Portrait, descriptors: Tensor) -> tuple[Tensor, Warped]:
        """Descriptors `[B, 256]` to frames `[B, 3, H, W]` in -1..1, and what was warped on the way."""
        warped = self.warpping_net(portrait.image, portrait.for_warping, descriptors)
        return self.editing_net(portrait.for_editing, warped.picture, descriptors), warped
