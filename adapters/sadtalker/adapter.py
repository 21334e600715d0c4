"""The model `sadtalker`: one portrait and speech to a talking head. See README.md beside.

Zhang et al., "SadTalker: Learning Realistic 3D Motion Coefficients for Stylized Audio-Driven Single Image Talking Face
Animation", CVPR 2023; published code: github.com/OpenTalker/SadTalker.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from thg_zoo.adapter import Adapter
from thg_zoo.adapters.sadtalker.analysis import FaceReader
from thg_zoo.adapters.sadtalker.blink import blink_ratio
from thg_zoo.adapters.sadtalker.coefficients import add_pose, driving_rows, repeated, spread_degrees
from thg_zoo.adapters.sadtalker.crop import Cut, Preprocess
from thg_zoo.adapters.sadtalker.expression import EXPRESSION, ExpressionNet
from thg_zoo.adapters.sadtalker.mapping import MappingNet, driving_points, source_pose
from thg_zoo.adapters.sadtalker.options import SadTalkerOptions
from thg_zoo.adapters.sadtalker.pasting import Blend, PasteBack, with_aspect
from thg_zoo.adapters.sadtalker.pose import PoseVae, draw_latents
from thg_zoo.adapters.sadtalker.prediction import Cues, predict
from thg_zoo.adapters.sadtalker.speech import FPS, RATE, count_frames, speech_windows, unheard_windows
from thg_zoo.face3d.landmarks import LandmarkSearch, choose_search
from thg_zoo.face3d.reading import CoefficientReader
from thg_zoo.face3d.reconstruction import PLACE_COLUMNS, POSE_COLUMNS, Reconstruction
from thg_zoo.faces.fan import FanNetwork
from thg_zoo.faces.retinaface import RetinaFaceNetwork
from thg_zoo.inputs import Driver, Source, open_source
from thg_zoo.motion import Motion, MotionStream
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.nn.keypoint_detector import CanonicalKeyPointDetector
from thg_zoo.nn.volume_generator import SpadeVolumeGenerator, VolumeSource
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch

Network = TypeVar("Network", bound=nn.Module)

_CROPPED_ROWS, _PLACED_ROWS = POSE_COLUMNS.stop, PLACE_COLUMNS.stop
# Weights of a motion below this do not count: the one difference of the renderer from face-vid2vid's.
_MASK_FLOOR = 1e-3


@dataclass(frozen=True)
class Identity:
    """The portrait: where it is cut, picture `[1, 3, S, S]` in 0..1, coefficients `[1, 73]`, key points `[1, 15, 3]`
    without and with its own pose and expression.
    """

    cut: Cut
    picture: Tensor
    coefficients: Tensor
    canonical: Tensor
    points: Tensor


@dataclass(frozen=True)
class Encoded:
    """The portrait's features, and what pastes frames into the photo where that is wanted."""

    volume: VolumeSource
    paste_back: PasteBack | None


class SadTalkerAdapter(Adapter[SadTalkerOptions, Identity]):
    """Glue between the contract and the modules beside this one."""

    # Wide feature maps at full size: more frames at once leave the caches.
    batch_sizes = {"cpu": 2, "cuda": 8, "mps": 4}  # noqa: RUF012 (declared by the contract)
    encodes_every_frame = True

    def build_networks(self) -> dict[str, nn.Module]:
        """All parts, but for the face detector and landmarks where the variant has none."""
        networks: dict[str, nn.Module] = {
            "kp_extractor": CanonicalKeyPointDetector(),
            "generator": SpadeVolumeGenerator(mask_floor=_MASK_FLOOR),
            "audio2exp": ExpressionNet(),
            "audio2pose": PoseVae(),
            "face_3drecon": Reconstruction(),
            "mapping_00229": MappingNet(_CROPPED_ROWS),
            "mapping_00109": MappingNet(_PLACED_ROWS),
        }
        if any("fan" in file.parts for file in self.model.variant.files):
            networks |= {"retinaface": RetinaFaceNetwork(), "fan": FanNetwork()}
        return networks

    def finish_loading(self) -> None:
        """Norms folded; on a CPU in float32, wide convolutions with fewer multiplications. The same functions."""
        finish_networks(self.networks.values(), self.runtime)

    def adjust_source(self, source: Source, options: SadTalkerOptions) -> Source:
        """Of a video the first frame, as published."""
        return source if source.still else source.frozen()

    def read_source(self, source: Source, options: SadTalkerOptions, run: Run) -> Identity:
        """Where the face is, its coefficients and its key points. Raises FaceError where no face is found."""
        cut, picture, coefficients = self._reader(options).read_picture(source.first(), source.name, run)
        canonical: Tensor = self.networks["kp_extractor"](picture)
        mapping = self._mapping(options)
        points = source_pose(mapping, coefficients[:, : _rows(options)]).pose(canonical)
        return Identity(cut, picture, coefficients, canonical, points)

    def encode(self, identity: Identity, source: SourceBatch, options: SadTalkerOptions) -> Encoded:
        """The feature volume of the cut picture, once."""
        volume = self._network("generator", SpadeVolumeGenerator).encode(identity.picture)
        blend = cast("Blend", options.blend)
        return Encoded(volume, PasteBack(source.frames[0], identity.cut, blend) if _pastes(options) else None)

    def read_driver(self, driver: Driver, identity: Identity, options: SadTalkerOptions, run: Run) -> Motion:
        """Coefficients of the whole sound, which is decoded twice: smoothing needs them all, and they are small.

        Key points are made from them while frames are rendered.
        """
        n = count_frames(driver.audio_blocks(RATE))
        own, placed = identity.coefficients, _pastes(options)
        predicted = self._predicted(driver, own, n, options, run)
        rows = driving_rows(predicted, own, scale=options.expression_scale, still=options.still, placed=placed)
        given = {"yaw": options.input_yaw, "pitch": options.input_pitch, "roll": options.input_roll}
        degrees = {name: spread_degrees(v, n).to(rows.device) for name, v in given.items() if v}
        mapping = self._mapping(options)
        return MotionStream(lambda: driving_points(mapping, identity.canonical, rows, degrees), Fraction(FPS), n)

    def render(
        self, identity: Identity, source: SourceBatch, motion: dict[str, Tensor], options: SadTalkerOptions
    ) -> Tensor:
        """Frames `[B, 3, S, S]` of the cut picture."""
        generator = self._network("generator", SpadeVolumeGenerator)
        return generator.render(source.encoded.volume, identity.points, motion["points"])

    def compose(self, rendered: Tensor, identity: Identity, source: SourceBatch, options: SadTalkerOptions) -> Tensor:
        """In the aspect of what was cut, or in the photo."""
        paste_back: PasteBack | None = source.encoded.paste_back
        return with_aspect(rendered, identity.cut) if paste_back is None else paste_back(rendered)

    # From sound to coefficients.

    def _predicted(self, driver: Driver, own: Tensor, n: int, options: SadTalkerOptions, run: Run) -> Tensor:
        """Expression and pose of n frames, `[n, 70]`, of the face with the coefficients `own`, `[1, 73]`."""
        clips = self._references(n, options, run)
        expression, ratio = own[:, :EXPRESSION].expand(n, -1), np.zeros((n, 1), np.float32)
        if options.ref_eyeblink is not None:
            expression = repeated(clips[options.ref_eyeblink][:, :EXPRESSION], n)
        elif options.use_blink:
            ratio = blink_ratio(n, random.Random(run.seed))
        blink, latents = (torch.as_tensor(v).to(own.device) for v in (ratio, draw_latents(n, run.seed)))
        predicted = predict(
            self._network("audio2exp", ExpressionNet),
            self._network("audio2pose", PoseVae),
            unheard_windows(n) if options.idle else speech_windows(driver.audio_blocks(RATE), n),
            Cues(expression, blink, own[:, POSE_COLUMNS], latents, options.pose_style),
            run,
        )
        return predicted if options.ref_pose is None else add_pose(predicted, clips[options.ref_pose])

    def _references(self, n: int, options: SadTalkerOptions, run: Run) -> dict[str, Tensor]:
        """Coefficients `[k, 73]` of the reference videos by path; one that is given twice is read once."""
        reader = self._reader(options)
        paths = {path for path in (options.ref_eyeblink, options.ref_pose) if path is not None}
        return {path: reader.read_video(open_source(path, ("video",)), Fraction(FPS), n, run) for path in paths}

    # Which networks.

    def _reader(self, options: SadTalkerOptions) -> FaceReader:
        network = self._network("face_3drecon", Reconstruction)
        coefficients = CoefficientReader(self._search(options), network, self.runtime.device)
        return FaceReader(coefficients, cast("Preprocess", options.preprocess), int(options.size), options.face)

    def _search(self, options: SadTalkerOptions) -> LandmarkSearch:
        untrained = any(weight.path is None for weight in self.weights)
        name, device = self.model.name, self.runtime.device
        return choose_search(options.landmarks, self.networks, device, untrained=untrained, model=name)

    def _mapping(self, options: SadTalkerOptions) -> MappingNet:
        return self._network("mapping_00109" if _pastes(options) else "mapping_00229", MappingNet)

    def _network(self, name: str, kind: type[Network]) -> Network:
        network = self.networks[name]
        assert isinstance(network, kind)
        return network


def _pastes(options: SadTalkerOptions) -> bool:
    """Whether the face is pasted back, for which the mapping network has to know its place."""
    return options.preprocess in ("full", "extfull")


def _rows(options: SadTalkerOptions) -> int:
    return _PLACED_ROWS if _pastes(options) else _CROPPED_ROWS
