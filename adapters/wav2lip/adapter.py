"""The model `wav2lip`: the face of every frame redrawn so that the lips follow a speech. See README.md beside.

Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM Multimedia 2020;
published code: github.com/Rudrabha/Wav2Lip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thg_zoo.adapter import Adapter
from thg_zoo.adapters.wav2lip.box_cache import cache_file, read_faces, write_faces
from thg_zoo.adapters.wav2lip.boxes import fixed_boxes, place_boxes
from thg_zoo.adapters.wav2lip.detection import Looks, find_faces, make_detector
from thg_zoo.adapters.wav2lip.mask import blend_face
from thg_zoo.adapters.wav2lip.networks import FaceCode, Generator
from thg_zoo.adapters.wav2lip.options import NO_BOX, Wav2LipOptions
from thg_zoo.adapters.wav2lip.processing import cut_face, network_input, network_output, transform_frame
from thg_zoo.adapters.wav2lip.speech import listen, pieces, plan
from thg_zoo.audio.mel import WAV2LIP_RATE
from thg_zoo.faces.detector import Face, FaceDetector
from thg_zoo.faces.s3fd import S3fdNetwork
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.motion import Motion, MotionStream
from thg_zoo.nn.fold import fold_batch_norm
from thg_zoo.nn.winograd import use_winograd
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.timing import frame_rate
from thg_zoo.version import __version__


@dataclass
class Identity:
    """The source: its name, the rate and number of its frames if it is a video, and where its faces are.

    detector: None where the box is given; seen: the faces of each picture that was looked at; file: where they are
    remembered, if they are.
    """

    name: str
    still: bool
    fps: Fraction | None
    n_frames: int
    detector: FaceDetector | None
    seen: list[list[Face]] = field(default_factory=list)
    file: Path | None = None


class Wav2LipAdapter(Adapter[Wav2LipOptions, Identity]):
    """Glue between the contract and the modules beside this one."""

    encodes_every_frame = True

    def build_networks(self) -> dict[str, nn.Module]:
        """The generator, and S3FD, which the published program uses for the face boxes."""
        return {"generator": Generator(), "detector": S3fdNetwork()}

    def finish_loading(self) -> None:
        """Norms folded, channels last, on CPUs fewer multiplications: the same functions up to rounding."""
        fold_batch_norm(self.networks["generator"])
        self._save_multiplications("generator")
        for network in self.networks.values():
            # Not one of the stubs' overloads knows the memory format alone.
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adjust_source(self, source: Source, options: Wav2LipOptions) -> Source:
        """A video resized, rotated and cropped; of a static one the first frame. Pictures stay, as published."""
        if source.still:
            return source
        wanted = options.resize_factor, options.rotate, options.crop
        if wanted != (1, False, (0, -1, 0, -1)):
            source = source.changed(lambda frame: transform_frame(frame, *wanted))
        return source.frozen() if options.static else source

    def read_source(self, source: Source, options: Wav2LipOptions, run: Run) -> Identity:
        """Nothing is looked at yet; faces of a video file that are remembered from an earlier run are read."""
        identity = Identity(source.name, source.still, source.fps, source.n_frames, None)
        if options.box != NO_BOX:
            return identity
        if options.detector == "s3fd":
            # Not before it is needed: it takes three times the memory of the weights.
            self._save_multiplications("detector")
        identity.detector = make_detector(options, self._detector_network, self.runtime)
        if options.cache_boxes and source.file and not source.still and all(self._detector_weights(options)):
            identity.file = cache_file(source.file.path, self._way(options))
            identity.seen = read_faces(identity.file)
        return identity

    def track(
        self, identity: Identity, frames: Iterator[Frame], options: Wav2LipOptions, run: Run
    ) -> Iterator[tuple[Frame, Any]]:
        """The face of each frame as it was found, or None."""
        if identity.detector is None:
            yield from ((frame, None) for frame in frames)
            return
        remembered = len(identity.seen)
        looks = Looks(identity.detector, identity.seen)
        try:
            yield from find_faces(frames, looks, options, self.runtime.device.type)
        finally:
            if identity.file and len(identity.seen) > remembered:
                write_faces(identity.file, identity.seen)

    def settle(
        self, identity: Identity, tracked: Iterator[tuple[Frame, Any]], shown: int, options: Wav2LipOptions
    ) -> Iterator[tuple[Frame, Any]]:
        """Boxes from faces. As published, frames that are not shown have no part in the smoothing."""
        seen = itertools.islice(tracked, shown)
        if identity.detector is None:
            return fixed_boxes(seen, options)
        return place_boxes(seen, options, identity.name, None if identity.still else identity.fps)

    def encode(self, identity: Identity, source: SourceBatch, options: Wav2LipOptions) -> FaceCode:
        """The face encoder's maps; of a picture's one face what the decoder would make of them for every sound."""
        frames = source.frames.cpu().numpy()
        faces = np.stack([cut_face(frame, box) for frame, box in zip(frames, source.tracked, strict=True)])
        inputs = network_input(torch.from_numpy(faces).to(self.runtime.device))
        return self._generator.share_face(inputs) if identity.still else self._generator.encode_face(inputs)

    def read_driver(self, driver: Driver, identity: Identity, options: Wav2LipOptions, run: Run) -> Motion:
        """The sound is decoded once to know its length and level, then again as it is rendered, in bounded memory."""
        fps = identity.fps or frame_rate(options.fps)
        samples, levels = listen(driver.audio_blocks(WAV2LIP_RATE))
        cues = plan(samples, levels, fps, 0 if identity.still else identity.n_frames, options)
        n = len(cues.kept)
        # A video that is shown to its end ends there, whatever its container says of its length; but no sound is cut.
        whole = options.rest != "cut" and n == identity.n_frames and Fraction(samples, WAV2LIP_RATE) <= n / fps
        extend = "cut" if whole else options.extend
        return MotionStream(lambda: pieces(lambda: driver.audio_blocks(WAV2LIP_RATE), cues, fps), fps, n, extend)

    def render(
        self, identity: Identity, source: SourceBatch, motion: dict[str, Tensor], options: Wav2LipOptions
    ) -> Tensor:
        """[B, 4, 96, 96]: the face in BGR, 0..1, and how much of it is shown."""
        audio = self._generator.encode_audio(motion["mel"])
        face = self._generator.decode(audio, source.encoded).float()
        return torch.cat((face, motion["shown"].view(-1, 1, 1, 1).expand_as(face[:, :1])), dim=1)

    def compose(self, rendered: Tensor, identity: Identity, source: SourceBatch, options: Wav2LipOptions) -> Tensor:
        """The faces in their boxes, on the host: the published program's pixels come from OpenCV's arithmetic."""
        faces = network_output(rendered[:, :3]).cpu().numpy()
        shown = rendered[:, 3, 0, 0].tolist()
        frames = source.frames.cpu().expand(len(faces), -1, -1, -1).numpy().copy()
        boxes = list(source.tracked) * (len(faces) // len(source.tracked))
        for frame, face, box, weight in zip(frames, faces, boxes, shown, strict=True):
            blend_face(frame, face, box, weight, mouth_only=options.mask == "mouth")
        return torch.from_numpy(frames).to(source.frames.device)

    def _save_multiplications(self, name: str) -> None:
        if self.runtime.device.type == "cpu" and self.runtime.precision == "float32":
            use_winograd(self.networks[name])

    @property
    def _generator(self) -> Generator:
        generator = self.networks["generator"]
        assert isinstance(generator, Generator)
        return generator

    @property
    def _detector_network(self) -> S3fdNetwork:
        network = self.networks["detector"]
        assert isinstance(network, S3fdNetwork)
        return network

    def _detector_weights(self, options: Wav2LipOptions) -> list[str]:
        """Hashes of the weight files that decide what the detector finds; random weights have an empty one."""
        if options.detector != "s3fd":
            return []
        names = {"detector", *(file.name for file in self.model.variant.files if "detector" in file.parts)}
        return [weight.sha256 for weight in self.weights if weight.name in names]

    def _way(self, options: Wav2LipOptions) -> str:
        """Everything on which the faces that are seen in a video depend, but for the video."""
        geometry = options.resize_factor, options.rotate, options.crop
        looking = options.detector, options.detect_size, options.detect_every, options.face == "best"
        device = self.runtime.device.type, self.runtime.precision
        return repr((__version__, self._detector_weights(options), geometry, looking, device))
