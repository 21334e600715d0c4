"""The model `pirender`: a portrait with the expression and pose of a driving video, or as controls say. See README.md.

Ren et al., "PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering", ICCV 2021; published
code: github.com/RenYurui/PIRender.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from thg_zoo.adapters.pirender.coefficients import crop_ratio, rescaled
from thg_zoo.adapters.pirender.control import CONTROLS, edited, posed, rotation_track
from thg_zoo.adapters.pirender.driver import PIECE, PictureReader, smoothed, squeezed
from thg_zoo.adapters.pirender.networks import FaceGenerator, Portrait
from thg_zoo.adapters.pirender.options import PIRenderOptions
from thg_zoo.adapters.pirender.tables import NAME, read_table
from thg_zoo.errors import OptionError
from thg_zoo.face3d.landmarks import choose_search
from thg_zoo.face3d.mapping import sections
from thg_zoo.face3d.reading import CoefficientReader
from thg_zoo.face3d.reconstruction import Reconstruction
from thg_zoo.faces.driving_view import find_view
from thg_zoo.faces.fan import FanNetwork
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.retinaface import RetinaFaceNetwork
from thg_zoo.faces.source_crop import SourceCrop, crop_source
from thg_zoo.inputs import Driver, Source
from thg_zoo.keypoints.keyframes import check_keyframes
from thg_zoo.media.planes import to_planes
from thg_zoo.motion import Motion, MotionStream, MotionTable, Parameters
from thg_zoo.nn.fast_forms import finish_networks
from thg_zoo.recording import RecordingAdapter, Tape
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.video_driven import STILL_FPS

_DESCRIPTORS = "descriptors"


@dataclass(frozen=True)
class Likeness:
    """The source: its crop, picture `[1, 3, 256, 256]` in -1..1 as the network sees it, its coefficients `[1, 73]`."""

    crop: SourceCrop
    picture: Tensor
    coefficients: Tensor


class PIRenderAdapter(RecordingAdapter[PIRenderOptions, Likeness]):
    """Glue between the contract and the modules beside this one."""

    encodes_every_frame = True
    # Maps of 34 MB a frame at full size: more frames at once leave the caches.
    batch_sizes = {"cpu": 2, "cuda": 16, "mps": 8}  # noqa: RUF012 (declared by the contract)

    # Loading.

    def build_networks(self) -> dict[str, nn.Module]:
        """The generator, the 3-D reconstruction, and what finds the points of a face."""
        return {
            "net_G_ema": FaceGenerator(),
            "face_3drecon": Reconstruction(),
            "retinaface": RetinaFaceNetwork(),
            "fan": FanNetwork(),
        }

    def finish_loading(self) -> None:
        """Norms folded; on a CPU in float32, wide convolutions with fewer multiplications. The same functions."""
        self._detector = Mtcnn(self.runtime.device)
        finish_networks(self.networks.values(), self.runtime)
        self._generator.editing_net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    # The contract.

    def read_source(self, source: Source, options: PIRenderOptions, run: Run) -> Likeness:
        """The crop and its coefficients. Raises FaceError where no face is found, OptionError for a box outside."""
        crop = crop_source(source.first(), options, self._detector, source.name, run)
        picture = squeezed(crop.pixels)
        coefficients = self._reader(options, run).read_one(picture, source.name)
        return Likeness(crop, to_planes([picture], self.runtime.device) * 2 - 1, coefficients)

    def encode(self, identity: Likeness, source: SourceBatch, options: PIRenderOptions) -> Portrait:
        """The portrait's part of both networks, once."""
        return self._generator.encode(identity.picture)

    def read_driver(self, driver: Driver, identity: Likeness, options: PIRenderOptions, run: Run) -> Motion:
        """Descriptors while the driver is read; of a driver that is normalised, when its coefficients are known."""
        if driver.kind == "edit":
            return self._edit(driver, identity, options)
        if options.track != "none":
            raise OptionError(f"track={options.track} is for no driver, but {driver.name} is given.", "Leave one out.")
        tape = self._template(driver) if driver.motion else self.record(driver, options, run)
        if options.norm_crop_param:
            rows = tape.whole(run)[NAME]
            normalised = torch.split(rescaled(rows, crop_ratio(identity.coefficients, rows)), PIECE)
            tape = replace(tape, pieces=lambda: ({NAME: piece} for piece in normalised))

        def described() -> Iterator[Parameters]:
            shown = smoothed((posed(piece[NAME], options) for piece in tape.pieces()), options.smooth)
            return ({_DESCRIPTORS: self._generator.describe(section)} for section in sections(shown))

        return MotionStream(described, tape.fps, tape.n_frames)

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: PIRenderOptions
    ) -> Tensor:
        """Frames `[B, 3, 256, 256]` of the crop."""
        frames: Tensor = self._generator(source.encoded, motion[_DESCRIPTORS])[0]
        return (frames.clamp(-1, 1) + 1) / 2

    def compose(self, rendered: Tensor, identity: Likeness, source: SourceBatch, options: PIRenderOptions) -> Tensor:
        """The crop as it is rendered, or within the whole picture."""
        if not options.paste_back:
            return super().compose(rendered, identity, source, options)
        return identity.crop.paste(rendered, source.frames, options.feather)

    # Drivers.

    def record(self, driver: Driver, options: PIRenderOptions, run: Run) -> Tape:
        """Coefficients in the driver's own crop."""
        view = find_view(driver, options, "0", None, self._detector, run)
        return self._reader(options, run).read(driver.frames, view)

    def _template(self, driver: Driver) -> Tape:
        """A saved driver. Raises MediaError."""
        assert driver.motion is not None
        template = read_table(driver.motion, self.template_name)
        return Tape.of(template, template.reference, PIECE, self.runtime.device)

    def _edit(self, driver: Driver, identity: Likeness, options: PIRenderOptions) -> Motion:
        """What options and keyframes make of the picture. As published every frame stands still for the network."""
        keyframes = driver.keyframes
        if options.track == "rotation":
            if keyframes is not None:
                raise OptionError(f"track=rotation is for no driver, but {driver.name} is given.", "Leave one out.")
            keyframes = rotation_track()
        elif keyframes is not None:
            check_keyframes(keyframes, CONTROLS, self.model.resolve, driver.name)
        rows = edited(identity.coefficients, keyframes, options)
        fps = keyframes.fps if keyframes else STILL_FPS
        return MotionTable({_DESCRIPTORS: self._generator.describe_still(rows)}, fps)

    # Which networks.

    def _reader(self, options: PIRenderOptions, run: Run) -> PictureReader:
        untrained = any(weight.path is None for weight in self.weights)
        name, device = self.model.name, self.runtime.device
        search = choose_search(options.landmarks, self.networks, device, untrained=untrained, model=name)
        reconstruction = self.networks["face_3drecon"]
        assert isinstance(reconstruction, Reconstruction)
        return PictureReader(CoefficientReader(search, reconstruction, device), run)

    @property
    def _generator(self) -> FaceGenerator:
        network = self.networks["net_G_ema"]
        assert isinstance(network, FaceGenerator)
        return network
