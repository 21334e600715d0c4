"""The model `iplap`: the lower face of every frame drawn anew from the person's other frames. See README.md beside.

Zhong et al., "Identity-Preserving Talking Face Generation with Landmark and Appearance Priors", CVPR 2023; published
code: github.com/Weizhi-Zhong/IP_LAP.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from thg_zoo.adapter import Adapter
from thg_zoo.adapters.iplap.landmark_generator import LandmarkGenerator
from thg_zoo.adapters.iplap.landmarks import MESH_FILE, find_points, mesh_path
from thg_zoo.adapters.iplap.options import IpLapOptions
from thg_zoo.adapters.iplap.points import OUTLINE
from thg_zoo.adapters.iplap.processing import cut_face, from_crop, levels, network_faces, paste_face
from thg_zoo.adapters.iplap.renderer import Renderer
from thg_zoo.adapters.iplap.source import FPS, Identity, follow, reference_faces
from thg_zoo.adapters.iplap.speech import Talker
from thg_zoo.audio.mel import WAV2LIP_RATE
from thg_zoo.errors import OptionError
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.motion import Motion, MotionStream
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.timing import frames_to_cover


class IpLapAdapter(Adapter[IpLapOptions, Identity]):
    """Glue between the contract and the modules beside this one."""

    batch_sizes: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 16, "mps": 8}

    def build_networks(self) -> dict[str, nn.Module]:
        """The landmark generator and the renderer."""
        return {"landmark_generator": LandmarkGenerator(), "renderer": Renderer()}

    def finish_loading(self) -> None:
        """Norms folded, channels last, on CPUs fewer multiplications: the same functions up to rounding."""
        finish_networks(self.networks.values(), self.runtime)
        # Not one of the stubs' overloads knows the memory format alone.
        self._renderer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adjust_source(self, source: Source, options: IpLapOptions) -> Source:
        """Of a static video the first frame."""
        return source.frozen() if options.static else source

    def read_source(self, source: Source, options: IpLapOptions, run: Run) -> Identity:
        """Two passes over a video: one for the landmarks of all frames, one that keeps the crops of the references."""
        if options.show_sketch and options.missing_face == "pass":
            raise OptionError("Frames that pass unchanged have no sketch.", "Give missing_face=hold with show_sketch.")
        mesh = mesh_path(options, self.spec.extras[MESH_FILE], self.weights, run)
        found = find_points(source.frames(), mesh, options, self.runtime)
        track = follow(found, source, options, mesh is not None, run)
        device = self.runtime.device
        faces, sketches, counts = reference_faces(source, track, options.references, device)
        chosen = track.landmarks[track.references(options.landmark_references)]
        with self.runtime.autocast():
            references = self._renderer.flow_module.read(faces, sketches, counts)
            tokens = self._generator.encode_references(torch.from_numpy(chosen).to(device))
        return Identity(source.name, track, references, tokens)

    def track(
        self, identity: Identity, frames: Iterator[Frame], options: IpLapOptions, run: Run
    ) -> Iterator[tuple[Frame, Any]]:
        """The number of each frame; None for one that passes unchanged."""
        return ((frame, k if identity.track.shown[k] else None) for k, frame in enumerate(frames))

    def encode(self, identity: Identity, source: SourceBatch, options: IpLapOptions) -> Tensor:
        """The faces of the frames, BGR `[B, 3, 128, 128]` in 0..1."""
        frames = zip(source.frames.cpu().numpy(), source.tracked, strict=True)
        faces = np.stack([cut_face(frame, identity.track.boxes[k]) for frame, k in frames])
        return network_faces(faces, self.runtime.device)

    def read_driver(self, driver: Driver, identity: Identity, options: IpLapOptions, run: Run) -> Motion:
        """The sound is decoded once for its length, then again as it is rendered, in bounded memory."""
        samples = sum(len(block) for block in driver.audio_blocks(WAV2LIP_RATE))
        n = frames_to_cover(Fraction(samples, WAV2LIP_RATE), FPS)
        talker = Talker(identity, self._generator, self.runtime, options.extend)
        return MotionStream(lambda: talker.pieces(lambda: driver.audio_blocks(WAV2LIP_RATE), n), FPS, n, options.extend)

    def render(
        self, identity: Identity, source: SourceBatch, motion: dict[str, Tensor], options: IpLapOptions
    ) -> Tensor:
        """[B, 4, 128, 128]: the face in BGR and the sketch of the frame, 0..1."""
        sketches = motion["sketches"] / 255
        faces = source.encoded.expand(len(sketches), -1, -1, -1)
        drawn = self._renderer(faces, sketches.repeat_interleave(3, dim=1), identity.references, motion["mel"])
        return torch.cat((drawn.float(), sketches[:, 2:3]), dim=1)

    def compose(self, rendered: Tensor, identity: Identity, source: SourceBatch, options: IpLapOptions) -> Tensor:
        """The faces in their frames, on the host: the published program's pixels come from OpenCV's arithmetic."""
        faces, sketches = levels(rendered[:, :3]).cpu().numpy(), levels(rendered[:, 3:].expand(-1, 3, -1, -1))
        frames = source.frames.cpu().expand(len(faces), -1, -1, -1).numpy().copy()
        tracked = list(source.tracked) * (len(faces) // len(source.tracked))
        for frame, face, k in zip(frames, faces, tracked, strict=True):
            box = identity.track.boxes[k]
            paste_face(frame, face, box, from_crop(identity.track.landmarks[k][:, OUTLINE], box))
        if options.show_sketch:
            size = frames.shape[2], frames.shape[1]
            beside = [cv2.resize(sketch, size) for sketch in sketches.cpu().numpy()]
            frames = np.concatenate((np.stack(beside), frames), axis=2)
        return torch.from_numpy(frames).to(source.frames.device)

    @property
    def _generator(self) -> LandmarkGenerator:
        generator = self.networks["landmark_generator"]
        assert isinstance(generator, LandmarkGenerator)
        return generator

    @property
    def _renderer(self) -> Renderer:
        renderer = self.networks["renderer"]
        assert isinstance(renderer, Renderer)
        return renderer
