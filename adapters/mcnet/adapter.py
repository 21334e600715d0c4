"""The model `mcnet`: a picture moved like a video, repaired from a memory of faces. See README.md beside.

Hong and Xu, "Implicit Identity Representation Conditioned Memory Compensation Network for Talking Head Video
Generation", ICCV 2023; published code: github.com/harlanhong/ICCV2023-MCNET.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thg_zoo.adapters.mcnet.memory import SIZE
from thg_zoo.adapters.mcnet.networks import MEMORY_PASSES, NUM_KP, Generator
from thg_zoo.adapters.mcnet.networks import Source as EncodedSource
from thg_zoo.adapters.mcnet.options import McnetOptions
from thg_zoo.first_order import FirstOrderAdapter
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.motion import Parameters
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.source_stream import SourceBatch
from thg_zoo.video_driven import Likeness


class McnetAdapter(FirstOrderAdapter[McnetOptions]):
    """MCNet's networks in the family's glue."""

    batch_sizes = {"cpu": 4, "cuda": 8, "mps": 4}  # noqa: RUF012 (declared by the contract)

    def build_networks(self) -> dict[str, nn.Module]:
        """The key-point detector and the generator with its memory."""
        return {"kp_detector": KeyPointDetector(NUM_KP), "generator": Generator()}

    def finish_loading(self) -> None:
        """The fast forms of the networks, and the noise, the same for all videos."""
        super().finish_loading()
        fixed = torch.Generator().manual_seed(0)
        noise = torch.randn(MEMORY_PASSES, 1, 1, SIZE, SIZE, generator=fixed)
        self._noise = list(noise.to(self.runtime.device))

    def observe(self, pictures: Tensor) -> Parameters:
        """value `[B, 15, 2]` and jacobian `[B, 15, 2, 2]`."""
        points: KeyPoints = self.networks["kp_detector"](pictures)
        assert points.jacobian is not None
        return {"value": points.value, "jacobian": points.jacobian}

    def encode(self, identity: Likeness, source: SourceBatch, options: McnetOptions) -> EncodedSource:
        """Features of the crop, once."""
        return self._generator.encode(identity.picture)

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: McnetOptions
    ) -> Tensor:
        """Frames `[B, 3, 256, 256]` of the crop."""
        noise = self._noise if options.noise == "fixed" else None
        return self._generator.render(source.encoded, KeyPoints(**identity.points), KeyPoints(**motion), noise)

    @property
    def _generator(self) -> Generator:
        generator = self.networks["generator"]
        assert isinstance(generator, Generator)
        return generator
