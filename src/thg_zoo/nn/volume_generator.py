"""The face-vid2vid generators: a 3-D feature volume of the source, warped by a 3-D flow, decoded in 2-D.

Wang et al., "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing", CVPR 2021, figure 3, in the
community reproduction. SadTalker's renderer is `SpadeVolumeGenerator`; LivePortrait publishes the same layers in three
files: `VolumeEncoder`, `VolumeWarping` and the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from thg_zoo.nn.blocks import SameBlock, Scaling, residual_blocks
from thg_zoo.nn.dense_motion import DenseMotion3d, MotionSource
from thg_zoo.nn.encoder_decoder import ImageEncoder, decode, to_rgb, up_path
from thg_zoo.nn.spade import SpadeDecoder
from thg_zoo.nn.warp import occlude, warp

DEPTH = 16


@dataclass(frozen=True)
class VolumeSource:
    """A source, encoded: volume `[S, 32, 16, H/4, W/4]` and what dense motion needs of it."""

    volume: Tensor
    motion: MotionSource


class VolumeEncoder(ImageEncoder):
    """Picture `[S, 3, H, W]` in 0..1 to a feature volume `[S, 32, 16, H/4, W/4]`."""

    def __init__(self, *, kernel: int) -> None:
        super().__init__(kernel=kernel, levels=2)
        channels = 32
        self.second = nn.Conv2d(256, channels * DEPTH, 1)
        self.resblocks_3d = residual_blocks(channels, "3dr", dims=3)

    def encode_volume(self, image: Tensor) -> Tensor:
        flat: Tensor = self.second(self.pyramid(image)[-1])
        batch, _, height, width = flat.shape
        volume: Tensor = self.resblocks_3d(flat.view(batch, -1, DEPTH, height, width))
        return volume


class _Warping:
    """The layers from a feature volume to the feature map of a frame, mixed into the modules that publish them."""

    dense_motion_network: DenseMotion3d
    third: SameBlock
    fourth: nn.Conv2d

    def _add_layers(self, num_kp: int, scaling: Scaling = "pooled", mask_floor: float = 0.0) -> None:
        self.dense_motion_network = DenseMotion3d(num_kp, scaling=scaling, mask_floor=mask_floor)
        self.third = SameBlock(32 * DEPTH, 256, 3, negative_slope=0.01)
        self.fourth = nn.Conv2d(256, 256, 1)

    def prepare(self, volume: Tensor) -> VolumeSource:
        """A feature volume `[S, 32, 16, h, w]`, h and w multiples of 32, with what dense motion needs of it, once."""
        return VolumeSource(volume, self.dense_motion_network.encode(volume))

    def warp(self, source: VolumeSource, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Features `[B, 256, h, w]` of B frames; key points `[1 or B, K, 3]` and `[B, K, 3]`."""
        motion = self.dense_motion_network(source.motion, kp_source, kp_driving)
        flat = warp(source.volume, motion.flow).flatten(1, 2)
        return occlude(self.fourth(self.third(flat)), motion.occlusion)


class VolumeWarping(_Warping, nn.Module):
    """Dense motion and warping alone, as LivePortrait publishes them."""

    def __init__(self, num_kp: int) -> None:
        super().__init__()
        self._add_layers(num_kp)


class VolumeGenerator(_Warping, VolumeEncoder):
    """Encoder and warping; what decodes the 256-channel feature map is in the subclasses."""

    def __init__(self, *, kernel: int, num_kp: int, scaling: Scaling = "pooled", mask_floor: float = 0.0) -> None:
        super().__init__(kernel=kernel)
        self._add_layers(num_kp, scaling, mask_floor)

    def encode(self, source: Tensor) -> VolumeSource:
        """Picture `[S, 3, H, W]` in 0..1, H and W multiples of 128: what is needed of a source, once."""
        return self.prepare(self.encode_volume(source))


class SpadeVolumeGenerator(VolumeGenerator):
    """The generator with a SPADE decoder that is conditioned on the warped feature itself."""

    def __init__(self, num_kp: int = 15, *, mask_floor: float = 0.0) -> None:
        super().__init__(kernel=3, num_kp=num_kp, mask_floor=mask_floor)
        self.decoder = SpadeDecoder()

    def render(self, source: VolumeSource, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Frames `[B, 3, H, W]` in 0..1; see `VolumeGenerator.warp`."""
        features = self.warp(source, kp_source, kp_driving)
        frames: Tensor = self.decoder(features, features)
        return frames


class PlainVolumeGenerator(VolumeGenerator):
    """The generator with a residual decoder; published with strided scaling only (the "beta" release)."""

    def __init__(self, num_kp: int = 15, *, scaling: Scaling = "strided") -> None:
        super().__init__(kernel=7, num_kp=num_kp, scaling=scaling)
        self.resblocks_2d = residual_blocks(256, "2dr")
        self.up_blocks = up_path()
        self.final = to_rgb()

    def render(self, source: VolumeSource, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Frames `[B, 3, H, W]` in 0..1; see `VolumeGenerator.warp`."""
        features = self.warp(source, kp_source, kp_driving)
        return decode(features, self.resblocks_2d, self.up_blocks, self.final)
