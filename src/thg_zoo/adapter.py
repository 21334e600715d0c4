"""Adapter: what a model has to say for itself; everything else is shared.

An adapter answers four questions (`read_source`, `read_driver`, `render`, and if it pastes back, `compose`),
plus two more if its source may be a video (`track`, `encode`). It never loops over a video: the streaming
loop in `thg_zoo.streaming` does, with one code path for pictures and videos, and bounded memory.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from thg_zoo.animation import Animation
from thg_zoo.errors import OptionError
from thg_zoo.inputs import Driver, Frame, Source, open_driver, open_source
from thg_zoo.motion import Motion
from thg_zoo.run import CancelCheck, ProgressCallback, Run
from thg_zoo.runtime import Runtime
from thg_zoo.source_stream import SourceBatch, to_batch
from thg_zoo.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from thg_zoo.inputs import DriverLike, SourceLike
    from thg_zoo.media.audio import Audio
    from thg_zoo.weights import WeightRecord
    from thg_zoo.zoo import ModelDescription

OptionsT = TypeVar("OptionsT")
IdentityT = TypeVar("IdentityT")


class Adapter(ABC, Generic[OptionsT, IdentityT]):
    """A loaded model. Made by `thg_zoo.load`; subclasses implement the hooks below.

    model: the card and the weight set; runtime: device, precision, batch size; networks: the checkpoint
    parts by name, filled and in evaluation mode; weights: where each file came from.
    """

    # Frames per batch when nobody asks for another number: enough to keep the device busy.
    batch_sizes: ClassVar[dict[str, int]] = {"cpu": 8, "cuda": 32, "mps": 16}

    # Whether the published program computes a picture's features again for every frame. Here that is done once; the
    # plain loop of `thg_zoo.bench` does it as published.
    encodes_every_frame: ClassVar[bool] = False

    def __init__(self, model: ModelDescription, runtime: Runtime) -> None:
        self.model = model
        self.runtime = runtime
        self.networks: dict[str, nn.Module] = {}
        self.weights: list[WeightRecord] = []

    # The hooks.

    def build_networks(self) -> dict[str, nn.Module]:
        """The networks by checkpoint part, with the published state-dict keys. Called on the meta device."""
        return {}

    def finish_loading(self) -> None:
        """Called once when `networks` are filled and on the device: fold norms, prepare constants."""

    def adjust_source(self, source: Source, options: OptionsT) -> Source:
        """The source as the model is to see it: `Source.changed` (cropped, turned), `Source.frozen`, or itself."""
        return source

    @abstractmethod
    def read_source(self, source: Source, options: OptionsT, run: Run) -> IdentityT:
        """What depends on the source as a whole. Once per source; may pass over a video, keeping no frames."""

    def track(
        self,
        identity: IdentityT,
        frames: Iterator[Frame],
        options: OptionsT,
        run: Run,
    ) -> Iterator[tuple[Frame, Any]]:
        """What is known of each source frame (a box, say), in order, with a bounded look-ahead.

        What it finds is kept for all drivers. None for a frame says that nothing in it is animated: it passes
        unchanged.
        """
        for frame in frames:
            yield frame, ()

    def settle(
        self,
        identity: IdentityT,
        tracked: Iterator[tuple[Frame, Any]],
        shown: int,
        options: OptionsT,
    ) -> Iterator[tuple[Frame, Any]]:
        """What `track` found, finished for one animation, of which `shown` source frames are seen at most.

        For what costs little and depends on where the animation ends. May end there; look-ahead is bounded.
        """
        return tracked

    def encode(
        self,
        identity: IdentityT,
        source: SourceBatch,
        options: OptionsT,
    ) -> Any:
        """Features of source frames; once for a picture, per batch for a video. Result: `source.encoded`."""
        return None

    @abstractmethod
    def read_driver(self, driver: Driver, identity: IdentityT, options: OptionsT, run: Run) -> Motion:
        """The driver as small per-frame parameters; lazily (`MotionStream`) where the model permits."""

    @abstractmethod
    def render(self, identity: IdentityT, source: SourceBatch, motion: dict[str, Tensor], options: OptionsT) -> Tensor:
        """Frames [B, 3, h, w] for a batch of motion: floats in 0..1, or finished 8-bit levels (then `compose` too is
        the adapter's). A picture's features have B = 1 and are to be expanded."""

    def compose(
        self,
        rendered: Tensor,
        identity: IdentityT,
        source: SourceBatch,
        options: OptionsT,
    ) -> Tensor:
        """Finished frames, uint8 [B, H, W, 3]. As it stands the rendered frames themselves, rounded."""
        levels = (rendered * 255).round_().clamp_(0, 255)
        return levels.to(torch.uint8, memory_format=torch.channels_last).permute(0, 2, 3, 1)

    def choose_audio(self, driver: Driver, source: Source, options: OptionsT) -> Path | Audio | None:
        """The sound of the result. As it stands the driver's, else that of a source video."""
        return driver.audio if driver.audio is not None else source.audio

    # What callers use.

    @property
    def batch_size(self) -> int:
        """Frames rendered at once."""
        return self.runtime.batch_size or self.batch_sizes[self.runtime.device.type]

    @property
    def spec(self) -> ModelSpec:
        """The model's card."""
        return self.model.spec

    def inference(self) -> contextlib.AbstractContextManager[Any]:
        """The context for everything that runs networks."""
        return torch.inference_mode()

    def prepare(
        self,
        source: SourceLike,
        *,
        seed: int = 0,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        **options: Any,
    ) -> Portrait[OptionsT, IdentityT]:
        """Do everything that depends on the source alone, once; every driver is cheap afterwards.

        source: a path, a PIL picture, an array uint8 [H, W, 3], a tensor [3, H, W] in 0..1, or a `Clip`.
        Raises MediaError for an unusable source, FaceError if it shows no face, OptionError.
        """
        resolved: OptionsT = self.model.resolve(options)
        opened = self.adjust_source(open_source(source, self.spec.sources), resolved)
        run = Run(seed, progress, cancel)
        run.advance("prepare", 0, 1)
        with run.stage("prepare"), self.inference():
            identity = self.read_source(opened, resolved, run)
            portrait = Portrait(self, opened, identity, resolved, options, run)
            if opened.still:
                portrait.still_batch()
        run.advance("prepare", 1, 1)
        return portrait

    def animate(
        self,
        source: SourceLike,
        driver: DriverLike,
        *,
        drive_by: str = "auto",
        seed: int = 0,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        **options: Any,
    ) -> Animation:
        """`prepare(source)` and `Portrait.animate(driver)` in one call."""
        portrait = self.prepare(source, seed=seed, progress=progress, cancel=cancel, **options)
        return portrait.animate(driver, drive_by=drive_by, seed=seed, progress=progress, cancel=cancel)


class Portrait(Generic[OptionsT, IdentityT]):
    """A prepared source: what `Adapter.prepare` returns. Not to be shared between threads.

    source: the opened source; identity: what the adapter made of it; options: as it was prepared with.
    """

    def __init__(
        self,
        adapter: Adapter[OptionsT, IdentityT],
        source: Source,
        identity: IdentityT,
        options: OptionsT,
        given: dict[str, Any],
        run: Run,
    ) -> None:
        self.adapter = adapter
        self.source = source
        self.identity = identity
        self.options = options
        # Of a video source: what tracking found for each frame, once a first pass has gone through.
        self.tracked: list[Any] = []
        self._given = given
        self._prepared = run
        self._still: SourceBatch | None = None

    def still_batch(self) -> SourceBatch:
        """The one frame of a picture, tracked and encoded once."""
        if self._still is None:
            adapter = self.adapter
            frames = adapter.track(self.identity, iter([self.source.first()]), self.options, self._prepared)
            frame, tracked = next(iter(adapter.settle(self.identity, frames, 1, self.options)))
            self._still = to_batch([frame], [tracked], adapter.runtime.device)
            with adapter.runtime.autocast():
                self._still.encoded = adapter.encode(self.identity, self._still, self.options)
        return self._still

    def animate(
        self,
        driver: DriverLike,
        *,
        drive_by: str = "auto",
        seed: int = 0,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        **options: Any,
    ) -> Animation:
        """The source moved by a driver, lazily: frames are made when they are asked for.

        driver: a path, an array of sound with its rate (samples, rate), a `Clip`, a picture, `Keyframes`, or None
        where the options alone change the source; drive_by: audio or video, where a video could be either. Raises
        MediaError for an unusable driver, OptionError.
        """
        resolved = self._resolve(options)
        adapter = self.adapter
        opened = open_driver(driver, adapter.spec.drivers, drive_by)
        run = Run(seed, progress, cancel, dict(self._prepared.timings), list(self._prepared.warnings))
        run.advance("read driver", 0, None)
        with run.stage("read driver"), adapter.inference():
            motion = adapter.read_driver(opened, self.identity, resolved, run)
        return Animation(self, opened, motion, resolved, run)

    def _resolve(self, options: dict[str, Any]) -> OptionsT:
        """The options of one animation: those of the preparation, and what is given now.

        Options that take effect at preparation cannot change any more.
        """
        resolved: OptionsT = self.adapter.model.resolve(self._given | options)
        for info in self.adapter.model.options:
            if info.stage == "source" and getattr(resolved, info.name) != getattr(self.options, info.name):
                raise OptionError(
                    f"Option {info.name!r} takes effect when the source is prepared.", "Pass it to prepare()."
                )
        return resolved
