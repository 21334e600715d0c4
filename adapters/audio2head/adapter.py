"""The model `audio2head`: one picture and speech to a talking head that moves by itself. See README.md beside.

Wang et al., "Audio2Head: Audio-driven One-shot Talking-head Generation with Natural Head Motion", IJCAI 2021;
published code: github.com/wangsuzhen/Audio2Head.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import cv2
import numpy as np
from torch import Tensor, nn

from thg_zoo.adapter import Adapter
from thg_zoo.adapters.audio2head.options import Audio2HeadOptions
from thg_zoo.adapters.audio2head.point_network import NUM_KP, PointNet
from thg_zoo.adapters.audio2head.pose import SIDE
from thg_zoo.adapters.audio2head.pose_file import read_poses
from thg_zoo.adapters.audio2head.pose_network import PoseNet
from thg_zoo.adapters.audio2head.prediction import Cues, predict_points, predict_poses, scaled
from thg_zoo.adapters.audio2head.speech import FPS, RATE, frame_features
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.source_crop import Framing, SourceCrop, crop_source
from thg_zoo.inputs import Driver, Source
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.media.planes import to_planes
from thg_zoo.media.resize import resize_antialiased
from thg_zoo.motion import Motion, MotionStream
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.nn.image_generator import ImageGenerator, ImageSource
from thg_zoo.nn.keypoint_detector import KeyPointDetector
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch

Network = TypeVar("Network", bound=nn.Module)

# As the published example pictures show faces, measured with the detector here: 1.45 times the box, centred above it.
_FRAMING = Framing(increase=0.225, raised=0.087)


@dataclass(frozen=True)
class Identity:
    """The portrait: its crop, picture `[1, 3, 256, 256]` in 0..1 as the networks see it, and its key points."""

    crop: SourceCrop
    picture: Tensor
    points: KeyPoints


class Audio2HeadAdapter(Adapter[Audio2HeadOptions, Identity]):
    """Glue between the contract and the modules beside this one."""

    # Wide feature maps at full size: more frames at once leave the caches.
    batch_sizes = {"cpu": 4, "cuda": 16, "mps": 8}  # noqa: RUF012 (declared by the contract)
    encodes_every_frame = True

    def build_networks(self) -> dict[str, nn.Module]:
        """The four parts of the checkpoint."""
        return {
            "kp_detector": KeyPointDetector(NUM_KP),
            "generator": ImageGenerator(NUM_KP),
            "audio2kp": PointNet(),
            "audio2pose": PoseNet(),
        }

    def finish_loading(self) -> None:
        """Networks in their fast forms, and the detector that crops start from."""
        self._detector = Mtcnn(self.runtime.device)
        finish_networks(self.networks.values(), self.runtime)

    def read_source(self, source: Source, options: Audio2HeadOptions, run: Run) -> Identity:
        """The crop and its key points. Raises FaceError where no face is found, OptionError for a box outside."""
        crop = crop_source(source.first(), options, self._detector, source.name, run, _FRAMING)
        picture = self._picture(crop, squeezed=options.crop == "none" and options.crop_box is None)
        return Identity(crop, picture, self._network("kp_detector", KeyPointDetector)(picture))

    def encode(self, identity: Identity, source: SourceBatch, options: Audio2HeadOptions) -> ImageSource:
        """Features of the crop, once."""
        return self._network("generator", ImageGenerator).encode(identity.picture)

    def read_driver(self, driver: Driver, identity: Identity, options: Audio2HeadOptions, run: Run) -> Motion:
        """Features and poses of the whole sound, which are small; key points follow as frames are rendered."""
        given = None if options.poses is None else read_poses(options.poses)
        heard = frame_features(driver.audio_blocks(RATE))
        if given is None:
            given = predict_poses(self._network("audio2pose", PoseNet), identity.picture, heard, run)
        cues = Cues(heard, scaled(given, options.pose_scale))
        network = self._network("audio2kp", PointNet)
        return MotionStream(lambda: predict_points(network, identity.picture, cues), Fraction(FPS), len(heard))

    def render(
        self, identity: Identity, source: SourceBatch, motion: dict[str, Tensor], options: Audio2HeadOptions
    ) -> Tensor:
        """Frames `[B, 3, 256, 256]` of the crop."""
        generator = self._network("generator", ImageGenerator)
        return generator.render(source.encoded, identity.points, KeyPoints(**motion))

    def compose(self, rendered: Tensor, identity: Identity, source: SourceBatch, options: Audio2HeadOptions) -> Tensor:
        """The crop as it is rendered, or within the whole picture."""
        if options.paste_back:
            return identity.crop.paste(rendered, source.frames, options.feather)
        return super().compose(rendered, identity, source, options)

    def _picture(self, crop: SourceCrop, *, squeezed: bool) -> Tensor:
        """`[1, 3, 256, 256]` in 0..1. squeezed: by OpenCV without care for aliasing, as published."""
        pixels = np.asarray(cv2.resize(crop.pixels, (SIDE, SIDE)), np.uint8) if squeezed else crop.pixels
        return resize_antialiased(to_planes([pixels], self.runtime.device), (SIDE, SIDE)).contiguous()

    def _network(self, name: str, kind: type[Network]) -> Network:
        network = self.networks[name]
        assert isinstance(network, kind)
        return network
