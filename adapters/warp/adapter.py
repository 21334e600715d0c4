"""The model `warp`: a talking head by classical image processing, without weights. See README.md beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from thg_zoo.adapter import Adapter
from thg_zoo.adapters.warp import dubbing, life
from thg_zoo.adapters.warp.anatomy import points_of, study
from thg_zoo.adapters.warp.articulation import articulate
from thg_zoo.adapters.warp.canvas import Canvas, make_canvas
from thg_zoo.adapters.warp.options import WarpOptions
from thg_zoo.adapters.warp.painting import paint
from thg_zoo.adapters.warp.speech import SAMPLE_RATE, listen
from thg_zoo.adapters.warp.transfer import follow
from thg_zoo.faces.choose import choose_face, rule_of
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.track import MissingFace, track_faces
from thg_zoo.faces.upright import AnyTurn
from thg_zoo.inputs import Driver, Frame, Source
from thg_zoo.motion import Motion, MotionStream, MotionTable
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.timing import frame_rate, frames_to_cover

# Faces of videos are looked for in every so many frames, and interpolated in between: detection takes most time.
_DETECTED_EVERY = 2


@dataclass(frozen=True)
class Identity:
    """canvas: the face that is animated; setting: how it goes into the frames of a video, None for a picture."""

    canvas: Canvas
    setting: dubbing.Setting | None


class WarpAdapter(Adapter[WarpOptions, Identity]):
    """Glue between the contract and the modules beside this one."""

    def finish_loading(self) -> None:
        """The face detector."""
        self._detector = Mtcnn(self.runtime.device)

    def read_source(self, source: Source, options: WarpOptions, run: Run) -> Identity:
        """The face that the options choose: a picture's, or that of a video's calmest frame.

        Raises FaceError where there is none.
        """
        rule = rule_of(options.face)
        if source.still:
            picture = source.first()
            face = choose_face(AnyTurn(self._detector).detect([picture])[0], rule, source.name)
        else:
            picture, face = dubbing.calmest_frame(source, self._detector, rule, run)
        points = points_of(face)
        canvas = make_canvas(torch.from_numpy(picture).to(self.runtime.device), study(picture, points))
        return Identity(canvas, None if source.still else dubbing.make_setting(canvas, points))

    def track(
        self, identity: Identity, frames: Iterator[Frame], options: WarpOptions, run: Run
    ) -> Iterator[tuple[Frame, Any]]:
        """Of a video the place of the face in each frame, see `dubbing.place`; None where it is missing."""
        if identity.setting is None:
            yield from super().track(identity, frames, options, run)
            return
        missing = cast(MissingFace, options.missing_face)
        faces = track_faces(
            frames, self._detector, rule_of(options.face), missing, what="the source video", every=_DETECTED_EVERY
        )
        for frame, face in faces:
            yield frame, None if face is None else dubbing.place(identity.setting, face)

    def read_driver(self, driver: Driver, identity: Identity, options: WarpOptions, run: Run) -> Motion:
        """Mouth, head and eyes, from speech or from a video. A source video keeps its own head and eyes."""
        if identity.setting is not None:
            options = replace(options, head_motion=0.0, blink=0.0)
        if driver.kind == "video":
            return self._motion_of_video(driver, options)
        fps = frame_rate(self.spec.fps or 25)
        features, samples = listen(driver.audio_blocks(SAMPLE_RATE))
        n = frames_to_cover(Fraction(samples, SAMPLE_RATE), fps)
        speech = articulate(features, n, fps, options.smoothing)
        mouth = torch.from_numpy(speech.mouth)
        mouth[:, :2] *= options.mouth
        pose = life.head_motion(n, fps, run.generator("head"), speech.emphasis, speech.speaking) * options.head_motion
        lids = life.blinks(n, fps, run.generator("blink"), options.blink)
        eyes = np.stack([lids, life.brows(speech.emphasis) * min(options.head_motion, 1.0)], axis=1)
        motion = {"mouth": mouth, "pose": torch.from_numpy(pose), "eyes": torch.from_numpy(eyes)}
        return MotionTable(motion, fps, options.extend)

    def _motion_of_video(self, driver: Driver, options: WarpOptions) -> Motion:
        frames, fps = driver.frames, driver.frames.fps or Fraction(25)

        def make() -> Iterator[dict[str, Tensor]]:
            tracked = track_faces(
                frames.frames(), self._detector, "largest", "hold", what=driver.name, fps=fps, every=_DETECTED_EVERY
            )
            return follow(tracked, options.mouth, options.head_motion)

        return MotionStream(make, fps, frames.n_frames, options.extend)

    def render(
        self, identity: Identity, source: SourceBatch, motion: dict[str, Tensor], options: WarpOptions
    ) -> Tensor:
        """The head box [B, 3, h, w], already in 8 bits."""
        return paint(identity.canvas, motion, options.teeth).permute(0, 3, 1, 2)

    def compose(self, rendered: Tensor, identity: Identity, source: SourceBatch, options: WarpOptions) -> Tensor:
        """The head in its picture, or the lower face in the video's frames; the rest is the source, bit by bit."""
        if identity.setting is not None:
            return dubbing.set_in(rendered, source.frames, source.tracked, identity.canvas, identity.setting)
        frames = source.frames.expand(len(rendered), -1, -1, -1).clone()
        rows, columns = identity.canvas.box.slices
        frames[:, rows, columns] = rendered.permute(0, 2, 3, 1)
        return frames
