"""The model `fomm`: a picture moved like a video by ten key points and their local motion. See README.md beside.

Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019; published code:
github.com/AliaksandrSiarohin/first-order-model.
"""

from __future__ import annotations

from torch import Tensor, nn

from thg_zoo.adapters.fomm.options import FommOptions
from thg_zoo.first_order import FirstOrderAdapter
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.motion import Parameters
from thg_zoo.nn.image_generator import ImageGenerator, ImageSource
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.source_stream import SourceBatch
from thg_zoo.video_driven import Likeness

NUM_KP = 10


class FommAdapter(FirstOrderAdapter[FommOptions]):
    """FOMM's networks in the family's glue."""

    def build_networks(self) -> dict[str, nn.Module]:
        """The key-point detector and the generator with its dense motion."""
        return {"kp_detector": KeyPointDetector(NUM_KP), "generator": ImageGenerator()}

    def observe(self, pictures: Tensor) -> Parameters:
        """value `[B, 10, 2]` and jacobian `[B, 10, 2, 2]`."""
        points: KeyPoints = self.networks["kp_detector"](pictures)
        assert points.jacobian is not None
        return {"value": points.value, "jacobian": points.jacobian}

    def encode(self, identity: Likeness, source: SourceBatch, options: FommOptions) -> ImageSource:
        """Features of the crop, once."""
        return self._generator(options).encode(identity.picture)

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: FommOptions
    ) -> Tensor:
        """Frames `[B, 3, S, S]` of the crop."""
        return self._generator(options).render(source.encoded, KeyPoints(**identity.points), KeyPoints(**motion))

    def _generator(self, options: FommOptions) -> ImageGenerator:
        """The generator, sampling as the options say: portraits of one model may differ in that."""
        generator = self.networks["generator"]
        assert isinstance(generator, ImageGenerator)
        generator.align_corners = generator.dense_motion_network.align_corners = options.align_corners
        return generator
