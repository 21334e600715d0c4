"""Models whose reading of a driver can be recorded as a motion template, and played back later."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from thg_zoo.adapter import Adapter, IdentityT, OptionsT
from thg_zoo.inputs import Driver, open_driver
from thg_zoo.keypoints.template import MotionTemplate, check_template_path, write_template
from thg_zoo.motion import Gathered, Parameters, part
from thg_zoo.run import CancelCheck, ProgressCallback, Run

if TYPE_CHECKING:
    from thg_zoo.inputs import DriverLike


@dataclass(frozen=True)
class Tape:
    """What is read from a driver: pieces of it in order, as often as wanted, and the reference frame alone."""

    pieces: Callable[[], Iterator[Parameters]]
    reference: Parameters
    fps: Fraction
    n_frames: int

    @classmethod
    def of(cls, template: MotionTemplate, reference: Parameters, size: int, device: torch.device) -> Tape:
        """A saved one, in pieces of `size` frames, on a device."""
        motion, initial = (
            {name: value.to(device) for name, value in values.items()} for values in (template.parameters, reference)
        )

        def pieces() -> Iterator[Parameters]:
            return (part(motion, start, start + size) for start in range(0, len(template), size))

        return cls(pieces, initial, template.fps, len(template))

    def whole(self, run: Run) -> Parameters:
        """All pieces in one; reports progress."""
        gathered = Gathered()
        for piece in self.pieces():
            gathered.add(piece)
            run.advance("read driver", len(gathered), self.n_frames)
        return gathered.whole(next(iter(self.reference.values())).device)


def recorded_kinds(drivers: Iterable[str]) -> list[str]:
    """Of the kinds of drivers that a model takes, those that motion can be read from."""
    return [kind for kind in drivers if kind not in ("motion", "edit")]


class RecordingAdapter(Adapter[OptionsT, IdentityT]):
    """An adapter that can save what it reads from a driver."""

    @abstractmethod
    def record(self, driver: Driver, options: OptionsT, run: Run) -> Tape:
        """What is read from a driver, without a source."""

    @property
    def template_name(self) -> str:
        """Who understands the templates: by default this model with these weights alone."""
        return self.model.name

    def save_motion(
        self,
        driver: DriverLike,
        path: str | Path,
        *,
        overwrite: bool = False,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
        **options: Any,
    ) -> Path:
        """Write what the model reads from a driver as a motion template (.npz), to drive any source later.

        Of the options, those of the driver count. Raises OutputError, MediaError, FaceError, OptionError.
        """
        resolved: OptionsT = self.model.resolve(options)
        target = check_template_path(path, overwrite)
        opened = open_driver(driver, recorded_kinds(self.spec.drivers))
        run = Run(progress=progress, cancel=cancel)
        with self.inference():
            tape = self.record(opened, resolved, run)
            template = MotionTemplate(tape.whole(run), tape.reference, tape.fps, self.template_name)
        return write_template(template, target, overwrite=overwrite)
