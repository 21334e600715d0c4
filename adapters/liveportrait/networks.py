"""The networks of LivePortrait: Guo et al., "LivePortrait: Efficient Portrait Animation with Stitching and Retargeting
Control", 2024; names as in the paper, figure 2.

Parts of the published files: F appearance (`thg_zoo.nn.volume_generator.VolumeEncoder`), M motion
(`motion_extractor.MotionExtractor`), W warping (`thg_zoo.nn.volume_generator.VolumeWarping`), G decoder
(`thg_zoo.nn.spade.SpadeDecoder`), and those of `perceptrons`. `LivePortraitNetworks` is how they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from thg_zoo.adapters.liveportrait.motion_extractor import NUM_KP, MotionExtractor
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons, build_perceptrons
from thg_zoo.motion import Parameters
from thg_zoo.nn.compiling import compiled
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.nn.spade import SpadeDecoder
from thg_zoo.nn.volume_generator import VolumeEncoder, VolumeSource, VolumeWarping
from thg_zoo.runtime import Runtime

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def build() -> dict[str, nn.Module]:
    """The networks by the parts of the published files."""
    return {
        "F": VolumeEncoder(kernel=3),
        "M": MotionExtractor(),
        "W": VolumeWarping(NUM_KP),
        "G": SpadeDecoder(shuffle=2),
        **build_perceptrons(),
    }


class LivePortraitNetworks(Perceptrons):
    """All of them together.

    The precision of the runtime is that of features and frames. Motion is always found in float32: expressions are
    thousandths of a picture.
    """

    def __init__(self, parts: Mapping[str, nn.Module], runtime: Runtime) -> None:
        """parts: as `build` makes them, filled. They are folded in place: the published entries are gone after."""
        super().__init__(parts)
        self.runtime = runtime
        self._appearance = _of(VolumeEncoder, parts["F"])
        self._motion = _of(MotionExtractor, parts["M"])
        self._warping = _of(VolumeWarping, parts["W"])
        self._decoder = _of(SpadeDecoder, parts["G"])
        finish_networks((self._appearance, self._warping, self._decoder), runtime)

    def encode(self, pictures: Tensor) -> VolumeSource:
        """Sources `[S, 3, 256, 256]` in 0..1: their feature volumes, and what dense motion needs of them; once."""
        with self.runtime.autocast():
            return self._warping.prepare(self._appearance.encode_volume(pictures))

    def motion(self, pictures: Tensor) -> Parameters:
        """Motion parameters of pictures `[B, 3, 256, 256]` in 0..1; see `MotionExtractor`."""
        with torch.autocast(self.runtime.device.type, enabled=False):
            seen: Parameters = self._motion(pictures.float())
        return seen

    def render(
        self, source: VolumeSource, kp_source: Tensor, kp_driving: Tensor, *, translated: bool = False
    ) -> Tensor:
        """Frames `[B, 3, 512, 512]` in 0..1, float32.

        source and kp_source `[S, 21, 3]` have one entry for all frames or one for each; kp_driving `[B, 21, 3]`;
        translated: by `thg_zoo.nn.compiling`, whose DeviceError it then raises.
        """
        frames = self._translated_frames if translated else self._frames
        with self.runtime.autocast():
            return frames(source, kp_source, kp_driving).float()

    def _frames(self, source: VolumeSource, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        features = self._warping.warp(source, kp_source, kp_driving)
        frames: Tensor = self._decoder(features, features)
        return frames

    @cached_property
    def _translated_frames(self) -> Callable[[VolumeSource, Tensor, Tensor], Tensor]:
        return compiled(self._frames, self._warping, self._decoder)


def _of(kind: type[NetworkT], network: nn.Module) -> NetworkT:
    assert isinstance(network, kind)
    return network
