"""The model `liveportrait`: a portrait, still or moving, animated by another face, or edited. See README.md beside.

Guo et al., "LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control", 2024; published code:
github.com/KwaiVGI/LivePortrait.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from thg_zoo.adapters.liveportrait.crop import limited
from thg_zoo.adapters.liveportrait.driver import PictureReader, frames_for_video, read_saved
from thg_zoo.adapters.liveportrait.edit import EDITS, edit
from thg_zoo.adapters.liveportrait.editing import sliders_of
from thg_zoo.adapters.liveportrait.landmark_network import LANDMARK_FILE, landmark_path, read_landmark_network
from thg_zoo.adapters.liveportrait.landmarks import FaceFinder
from thg_zoo.adapters.liveportrait.mask import crop_mask, whole_levels
from thg_zoo.adapters.liveportrait.mover import Mover
from thg_zoo.adapters.liveportrait.networks import LivePortraitNetworks, build
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.adapters.liveportrait.source import Likeness, as_input, look, read_likeness
from thg_zoo.adapters.liveportrait.templates import MODEL
from thg_zoo.adapters.liveportrait.transfer import Moves
from thg_zoo.errors import OptionError
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.paste import paste
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.keypoints.keyframes import check_keyframes
from thg_zoo.media.audio import Audio
from thg_zoo.motion import Motion, MotionStream, MotionTable, length
from thg_zoo.nn.volume_generator import VolumeSource
from thg_zoo.recording import RecordingAdapter, Tape
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch

# Driving frames of which the motion is found at once.
_PIECE = 8


class LivePortraitAdapter(RecordingAdapter[LivePortraitOptions, Likeness]):
    """Glue between the contract and the modules beside this one."""

    # Some 9 s of one core a frame, and maps of 30 MB: more frames at once gain nothing on a CPU.
    batch_sizes = {"cpu": 2, "cuda": 8, "mps": 4}  # noqa: RUF012 (declared by the contract)

    # Loading.

    def build_networks(self) -> dict[str, nn.Module]:
        """Appearance, motion, warping, decoder, and three perceptrons."""
        return build()

    def finish_loading(self) -> None:
        """The networks joined, folded; the detector that crops start from."""
        self._networks = LivePortraitNetworks(self.networks, self.runtime)
        self._detector = Mtcnn(self.runtime.device)

    # The source.

    def adjust_source(self, source: Source, options: LivePortraitOptions) -> Source:
        """Not larger than wanted, and of even height and width."""
        longest, division = options.source_max_dim, options.source_division
        fits = limited(np.zeros((*source.size, 3), np.uint8), longest, division).shape[:2] == source.size
        return source if fits else source.changed(lambda frame: limited(frame, longest, division))

    def read_source(self, source: Source, options: LivePortraitOptions, run: Run) -> Likeness:
        """Crops and motion of every frame; ratios of eyes and lips where there are 203 points."""
        return read_likeness(source, self._finder(options, run), self._networks, options, run)

    def track(
        self, identity: Likeness, frames: Iterator[Frame], options: LivePortraitOptions, run: Run
    ) -> Iterator[tuple[Frame, Any]]:
        """What `read_source` saw of each frame."""
        return zip(frames, identity.sights, strict=False)

    def encode(self, identity: Likeness, source: SourceBatch, options: LivePortraitOptions) -> VolumeSource:
        """Feature volumes of the crops. They are cut on the host: published pixels come from OpenCV's arithmetic."""
        views = [look(frame, sight) for frame, sight in zip(source.frames.cpu().numpy(), source.tracked, strict=True)]
        return self._networks.encode(as_input(views, self.runtime.device))

    # The driver.

    def read_driver(self, driver: Driver, identity: Likeness, options: LivePortraitOptions, run: Run) -> Motion:
        """Of a picture, while the driver is read; of a video when its driver is known, for that is smoothed."""
        if not identity.complete and not _pasted(options):
            raise OptionError(
                f"{identity.name} has frames without a face, which cannot pass where crops are the result.",
                "Use missing_face=hold, or pasteback, do_crop and stitching.",
            )
        if driver.kind == "edit":
            if driver.keyframes is not None:
                check_keyframes(driver.keyframes, EDITS, self.model.resolve, driver.name)
            return edit(identity, driver.keyframes, options, self._networks)
        tape = self._tape(driver, identity.finder, options, run)
        moves: Moves = "picture" if driver.kind == "image" or tape.n_frames == 1 else "sequence"
        if moves == "picture" and options.transfer == "displacement":
            run.warn(f"{driver.name} is one picture, without movement: its positions are taken.")
        sliders = sliders_of(options, self.runtime.device)
        if identity.person.still:
            move = Mover(identity.person, options, self._networks, sliders).driven(tape.reference, moves)
            return MotionStream(lambda: ({"driving": move(p)} for p in tape.pieces()), tape.fps, tape.n_frames)
        assert identity.fps is not None
        whole, n = tape.whole(run), len(identity.sights)
        rows = frames_for_video(length(whole), tape.fps, n, identity.fps, options.sync)
        if moves == "sequence":
            whole = {name: value[rows] for name, value in whole.items()}
            n = len(rows)
        person = identity.person.until(n)
        moved = Mover(person, options, self._networks, sliders).driven(tape.reference, moves)(whole)
        return MotionTable({"source": person.keypoints, "driving": moved}, identity.fps, "cut")

    def record(self, driver: Driver, options: LivePortraitOptions, run: Run) -> Tape:
        """Pose and expression, and ratios where there are 203 points."""
        return PictureReader(self._networks, self._finder(options, run), options, True).read(driver.frames, _PIECE, run)

    @property
    def template_name(self) -> str:
        """Pose and expression are one language for all variants."""
        return MODEL

    # The result.

    def render(
        self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: LivePortraitOptions
    ) -> Tensor:
        """Crops `[B, 3, 512, 512]`. Raises DeviceError where networks are to be compiled and cannot."""
        keypoints = motion.get("source", identity.person.keypoints)
        return self._networks.render(source.encoded, keypoints, motion["driving"], translated=options.compile)

    def compose(
        self, rendered: Tensor, identity: Likeness, source: SourceBatch, options: LivePortraitOptions
    ) -> Tensor:
        """The crops within the source, or by themselves."""
        if not _pasted(options):
            return whole_levels(rendered)
        matrices = np.stack([sight.matrix for sight in source.tracked])
        return paste(rendered, source.frames, matrices, crop_mask(options, rendered.device))

    def choose_audio(self, driver: Driver, source: Source, options: LivePortraitOptions) -> Path | Audio | None:
        """As the option says; where the one has no sound, the other's."""
        if options.audio == "none":
            return None
        heard = [driver.audio, source.audio] if options.audio == "driver" else [source.audio, driver.audio]
        return next((sound for sound in heard if sound is not None), None)

    # Details.

    def _finder(self, options: LivePortraitOptions, run: Run) -> FaceFinder:
        path = landmark_path(options, self.spec.extras.get(LANDMARK_FILE), self.weights, run)
        return FaceFinder(self._detector, None if path is None else read_landmark_network(path))

    def _tape(self, driver: Driver, finder: FaceFinder, options: LivePortraitOptions, run: Run) -> Tape:
        if driver.motion:
            return read_saved(driver.motion, _PIECE, self.runtime.device)
        ratios = options.eye_retargeting or options.lip_retargeting
        return PictureReader(self._networks, finder, options, ratios).read(driver.frames, _PIECE, run)


def _pasted(options: LivePortraitOptions) -> bool:
    """Whether the crop goes back into the source: as published, only where it was cut out and stitched."""
    return options.pasteback and options.cropped and options.stitching
