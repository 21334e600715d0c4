"""The model `lia`: a picture moved like a video, along directions in a latent space. See README.md beside.

Wang, Yang, Bremond, Dantcheva, "Latent Image Animator: Learning to Animate Images via Latent Space Navigation", ICLR
2022; published code: github.com/wyhsirius/LIA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from thg_zoo.adapters.lia.networks import SIDE, Generator
from thg_zoo.adapters.lia.networks import Source as EncodedSource
from thg_zoo.adapters.lia.options import DIRECTIONS, LiaOptions
from thg_zoo.inputs import Driver, Frame
from thg_zoo.keypoints.keyframes import Keyframes, check_keyframes
from thg_zoo.media.planes import to_planes
from thg_zoo.motion import Motion, MotionStream, MotionTable, Parameters, length
from thg_zoo.run import Run
from thg_zoo.source_stream import SourceBatch
from thg_zoo.timing import frame_rate
from thg_zoo.video_driven import STILL_FPS, Likeness, Transfer, VideoDrivenAdapter


class LiaAdapter(VideoDrivenAdapter[LiaOptions]):
    """Motion is alpha, 20 numbers a frame; sums of it are sums in the latent space, for directions are linear."""

    # Networks.

    def build_networks(self) -> dict[str, nn.Module]:
        """The generator: encoder and decoder."""
        return {"gen": Generator()}

    def finish_loading(self) -> None:
        """Linear layers in a row become one, and gains part of their convolutions; then as its relatives."""
        self._generator.fold()
        super().finish_loading()

    @property
    def _generator(self) -> Generator:
        return cast("Generator", self.networks["gen"])

    # The source.

    def squeeze(self, pixels: Frame, options: LiaOptions) -> Tensor:
        """`[1, 3, 256, 256]` in 0..1 by Pillow's bicubic filter, as published."""
        resized = np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        return to_planes([resized], self.runtime.device)

    def encode(self, identity: Likeness, source: SourceBatch, options: LiaOptions) -> EncodedSource:
        """Appearance and features of the crop, once."""
        return self._generator.encode(_signed(identity.picture))

    # The driver.

    def observe(self, pictures: Tensor) -> Parameters:
        """alpha `[B, 20]`."""
        return {"alpha": self._generator.motion(_signed(pictures))}

    def transfer(self, likeness: Likeness, reference: Parameters | None, options: LiaOptions) -> Transfer:
        """The driver's alpha, or its change since the reference added to the source's; and steps that are given."""
        shift = _steps(options).to(likeness.picture)
        if reference is not None:
            shift = shift + likeness.points["alpha"] - reference["alpha"]
        return lambda seen: {"alpha": seen["alpha"] + shift}

    def read_driver(self, driver: Driver, identity: Likeness, options: LiaOptions, run: Run) -> Motion:
        """As its relatives; of an edit the source's own alpha and the steps. Extremes are found where they count."""
        if driver.kind == "edit":
            if driver.keyframes is not None:
                check_keyframes(driver.keyframes, DIRECTIONS, self.model.resolve, driver.name)
            motion: Motion = _edit(identity, driver.keyframes, options)
        else:
            motion = super().read_driver(driver, identity, options, run)
        if options.levels == "clamped":
            return motion
        low, high = self._extremes(motion, identity, options, run)

        def with_extremes() -> Iterator[Parameters]:
            for batch in motion.batches(self.batch_size):
                column = torch.ones(length(batch), 1)
                yield {**batch, "low": low * column, "high": high * column}

        return MotionStream(with_extremes, motion.fps, motion.n_frames)

    def _extremes(self, motion: Motion, identity: Likeness, options: LiaOptions, run: Run) -> tuple[float, float]:
        """The lowest and the highest level of a clip within -1..1; nothing is kept of its frames."""
        low, high, done = 1.0, -1.0, 0
        with self.runtime.autocast():
            source = self._generator.encode(_signed(identity.picture))
            for batch in motion.batches(self.batch_size):
                frames = self._generator.render(source, batch["alpha"].to(self.runtime.device)).clamp(-1, 1)
                low, high = min(low, float(frames.min())), max(high, float(frames.max()))
                done += len(frames)
                run.advance("find levels", done, motion.n_frames)
                if (low, high) == (-1, 1):
                    break
        return low, high

    # The result.

    def render(self, identity: Likeness, source: SourceBatch, motion: dict[str, Tensor], options: LiaOptions) -> Tensor:
        """Frames `[B, 3, 256, 256]` of the crop."""
        frames = self._generator.render(source.encoded, motion["alpha"]).clamp(-1, 1)
        if "low" not in motion:
            return (frames + 1) / 2
        return stretched(frames, *(motion[name][:, :, None, None] for name in ("low", "high")))


def stretched(frames: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Levels between the extremes of their clip in 0..1, rounded down to steps of 1/255 as published."""
    return ((frames - low) / (high - low).clamp(min=1e-6) * 255).floor() / 255


def _signed(pictures: Tensor) -> Tensor:
    """0..1 to -1..1."""
    return (pictures - 0.5) * 2


def _steps(options: LiaOptions) -> Tensor:
    """`[1, 20]`: steps along the directions, as given."""
    return torch.tensor([[getattr(options, name) for name in DIRECTIONS]])


def _edit(likeness: Likeness, keyframes: Keyframes | None, options: LiaOptions) -> MotionTable:
    """One picture; a sweep along one direction; or as many frames as the keyframes last."""
    alpha, fps = likeness.points["alpha"] + _steps(options).to(likeness.picture), STILL_FPS
    if keyframes is not None:
        fps = keyframes.fps
        alpha = alpha.repeat(len(keyframes), 1)
        for name in keyframes.names:
            given = keyframes.over_time(name, getattr(options, name), fps, len(keyframes))
            alpha[:, DIRECTIONS.index(name)] += torch.from_numpy(given).to(alpha) - getattr(options, name)
    elif options.sweep is not None:
        fps = frame_rate(options.save_fps)
        alpha = alpha.repeat(options.range, 1)
        alpha[:, options.sweep] += (torch.arange(options.range) * 2 / options.range - 1).to(alpha) * options.degree
    return MotionTable({"alpha": alpha}, fps)
