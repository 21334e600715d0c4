"""The model `facevid2vid`: a picture moved like a video by 3-D key points and head pose. See README.md beside.

Wang, Mallya, Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing", CVPR 2021, in the
community reproduction github.com/zhanglonghao1992/One-Shot_Free-View_Neural_Talking_Head_Synthesis.
"""

from __future__ import annotations

from torch import Tensor, nn

from thg_zoo.adapters.facevid2vid.networks import ROTATION, HeadPoseEstimator, Release, detector, generator
from thg_zoo.adapters.facevid2vid.options import FaceVid2VidOptions
from thg_zoo.first_order import FirstOrderAdapter
from thg_zoo.keypoints.headpose import HeadPose
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.keypoints.transfer import RelativeMotion
from thg_zoo.motion import Parameters
from thg_zoo.nn.volume_generator import PlainVolumeGenerator, SpadeVolumeGenerator, VolumeSource
from thg_zoo.source_stream import SourceBatch
from thg_zoo.video_driven import Likeness, Transfer

_BETA = "facevid2vid-beta"


class FaceVid2VidAdapter(FirstOrderAdapter[FaceVid2VidOptions]):
    """face-vid2vid's networks in the family's glue: what a driver gives is pose and expression, not key points."""

    batch_sizes = {"cpu": 2, "cuda": 8, "mps": 4}  # noqa: RUF012 (declared by the contract)

    def build_networks(self) -> dict[str, nn.Module]:
        """The canonical key points, the head pose, and the generator of the variant's release."""
        return {
            "kp_detector": detector(self._release),
            "he_estimator": HeadPoseEstimator(),
            "generator": generator(self._release),
        }

    def observe(self, pictures: Tensor) -> Parameters:
        """yaw, pitch, roll `[B]` in degrees, translation `[B, 3]`, expression `[B, 15, 3]`."""
        pose: HeadPose = self.networks["he_estimator"](pictures)
        return dict(vars(pose))

    def recognise(self, picture: Tensor) -> Parameters:
        """The canonical key points of the source, `[1, 15, 3]`, and value, the same in its own pose."""
        canonical: Tensor = self.networks["kp_detector"](picture)
        pose = HeadPose(**self.observe(picture))
        return {"canonical": canonical, "value": pose.pose(canonical, ROTATION[self._release])}

    def transfer(self, likeness: Likeness, reference: Parameters | None, options: FaceVid2VidOptions) -> Transfer:
        """The source's canonical key points in the driver's pose. The free view turns the driver, not the reference."""
        canonical, order = likeness.points["canonical"], ROTATION[self._release]

        def posed(seen: Parameters) -> KeyPoints:
            pose = HeadPose(**seen).turned(options.yaw, options.pitch, options.roll, options.translation)
            return KeyPoints(pose.pose(canonical, order))

        if reference is None:
            return lambda seen: {"value": posed(seen).value}
        initial = KeyPoints(HeadPose(**reference).pose(canonical, order))
        make = RelativeMotion.adapted if options.adapt_scale else RelativeMotion
        move = make(KeyPoints(likeness.points["value"]), initial)
        return lambda seen: {"value": move(posed(seen)).value}

    def encode(self, identity: Likeness, source: SourceBatch, options: FaceVid2VidOptions) -> VolumeSource:
        """The feature volume of the crop, once."""
        return self._generator.encode(identity.picture)

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: FaceVid2VidOptions
    ) -> Tensor:
        """Frames `[B, 3, S, S]` of the crop."""
        return self._generator.render(source.encoded, identity.points["value"], motion["value"])

    @property
    def _release(self) -> Release:
        return "beta" if self.model.name == _BETA else "spade"

    @property
    def _generator(self) -> SpadeVolumeGenerator | PlainVolumeGenerator:
        network = self.networks["generator"]
        assert isinstance(network, SpadeVolumeGenerator | PlainVolumeGenerator)
        return network
