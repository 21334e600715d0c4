"""The model `dagan`: a picture moved like a video, with the depth of faces. See README.md beside.

Hong et al., "Depth-Aware Generative Adversarial Network for Talking Head Video Generation", CVPR 2022; published code:
github.com/harlanhong/CVPR2022-DaGAN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thg_zoo.adapters.dagan.depth import DepthDecoder, DepthEncoder
from thg_zoo.adapters.dagan.networks import NUM_KP, DepthAwareGenerator, SpadeDepthAwareGenerator
from thg_zoo.adapters.dagan.networks import Source as EncodedSource
from thg_zoo.adapters.dagan.options import DaganOptions
from thg_zoo.first_order import FirstOrderAdapter
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.motion import Parameters
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.source_stream import SourceBatch
from thg_zoo.video_driven import Likeness

_PLAIN = "dagan-plain"


class DaganAdapter(FirstOrderAdapter[DaganOptions]):
    """DaGAN's networks in the family's glue."""

    def build_networks(self) -> dict[str, nn.Module]:
        """The generator of the variant, the detector of key points, which sees depth, and the depth network."""
        encoder = DepthEncoder(18)
        return {
            "generator": DepthAwareGenerator() if self.model.name == _PLAIN else SpadeDepthAwareGenerator(),
            "kp_detector": KeyPointDetector(NUM_KP, channels=4),
            "depth_encoder": encoder,
            "depth_decoder": DepthDecoder(encoder.widths),
        }

    def observe(self, pictures: Tensor) -> Parameters:
        """value `[B, 15, 2]` and jacobian `[B, 15, 2, 2]`."""
        seen = torch.cat([pictures, self.depth(pictures)], dim=1)
        points: KeyPoints = self.networks["kp_detector"](seen)
        assert points.jacobian is not None
        return {"value": points.value, "jacobian": points.jacobian}

    def depth(self, pictures: Tensor) -> Tensor:
        """The disparity of faces `[B, 1, S, S]` in 0..1, larger is nearer."""
        disparity: Tensor = self.networks["depth_decoder"](self.networks["depth_encoder"](pictures))
        return disparity

    def encode(self, identity: Likeness, source: SourceBatch, options: DaganOptions) -> EncodedSource:
        """Features of the crop and of its depth, once."""
        return self._generator.encode(identity.picture, self.depth(identity.picture))

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: DaganOptions
    ) -> Tensor:
        """Frames `[B, 3, S, S]` of the crop."""
        return self._generator.render(source.encoded, KeyPoints(**identity.points), KeyPoints(**motion))

    @property
    def _generator(self) -> DepthAwareGenerator | SpadeDepthAwareGenerator:
        generator = self.networks["generator"]
        assert isinstance(generator, DepthAwareGenerator | SpadeDepthAwareGenerator)
        return generator
