"""What the models of the first-order-motion family share: motion transfer by key points.

Key points of a source picture and of a driving video are found by a network, the driver's movement is applied to the
source's points, and a generator renders the source at the points so moved. Siarohin et al., "First Order Motion Model
for Image Animation", NeurIPS 2019, and its descendants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from thg_zoo.inputs import Frame
from thg_zoo.keypoints.driving_options import DrivingOptions, SizedDrivingOptions
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.media.planes import to_planes
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.motion import Parameters
from thg_zoo.video_driven import Likeness, Transfer, VideoDrivenAdapter

DrivingT = TypeVar("DrivingT", bound=DrivingOptions)

# The side that the published networks were trained at.
_TRAINED_SIDE = 256


class FirstOrderAdapter(VideoDrivenAdapter[DrivingT]):
    """What is observed are key points."""

    def transfer(self, likeness: Likeness, reference: Parameters | None, options: DrivingT) -> Transfer:
        """The source's key points moved as the driver's."""
        if reference is None:
            return lambda seen: seen
        source, initial = KeyPoints(**likeness.points), KeyPoints(**reference)
        make = RelativeMotion.adapted if options.adapt_scale else RelativeMotion
        return _as_parameters(make(source, initial))

    def squeeze(self, pixels: Frame, options: DrivingT) -> Tensor:
        """`[1, 3, S, S]` in 0..1 of a crop `[h, w, 3]`, squeezed to a square as published."""
        side = int(options.size) if isinstance(options, SizedDrivingOptions) else _TRAINED_SIDE
        return resize_antialiased(to_planes([pixels], self.runtime.device), (side, side)).contiguous()


def _as_parameters(transfer: Callable[[KeyPoints], KeyPoints]) -> Transfer:
    """Motion transfer on parameters by name."""

    def apply(seen: Parameters) -> Parameters:
        moved = transfer(KeyPoints(**seen))
        named = {"value": moved.value, "jacobian": moved.jacobian}
        return {name: value for name, value in named.items() if value is not None}

    return apply
