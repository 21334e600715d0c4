"""What a benchmark runs on: a picture, and a driver of each kind made from what is bundled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import soundfile

from thg_zoo.errors import UsageError
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import Picture, read_image, write_image
from thg_zoo.media.writer import VideoWriter
from thg_zoo.spec import ModelSpec

FPS = 25
# A driving video that moves enough for every stage to have work, and whose encoding costs next to nothing.
_SWAY = 6


@dataclass(frozen=True)
class Inputs:
    """Files: the source, the drivers by kind, and where outputs go."""

    source: Path
    drivers: Mapping[str, Path]
    output: Path

    def driver_of(self, spec: ModelSpec) -> Path:
        """The first of the model's kinds that there is. Raises UsageError."""
        kind = next((kind for kind in spec.drivers if kind in self.drivers), None)
        if kind is None:
            raise UsageError(f"{spec.name} is driven by neither sound nor video.", "It cannot be timed here.")
        return self.drivers[kind]


def write_inputs(folder: Path, source: Picture, speech: Audio, seconds: float) -> Inputs:
    """Speech of `seconds`, repeated if it is shorter, and a video of the picture that sways."""
    picture = write_image(folder / "source.png", source)
    samples = np.resize(speech.samples, int(seconds * speech.sample_rate))
    soundfile.write(folder / "speech.wav", samples, speech.sample_rate)
    with VideoWriter(folder / "driver.mp4", Fraction(FPS), source.shape[:2]) as writer:
        for k in range(round(seconds * FPS)):
            writer.write(np.roll(source, round(_SWAY * np.sin(2 * np.pi * k / FPS)), axis=1))
    drivers = {"audio": folder / "speech.wav", "video": folder / "driver.mp4"}
    return Inputs(picture, drivers, folder / "output.mp4")


def square_picture(source: str | Path, size: int | None) -> Picture:
    """The picture as it is, or square of `size` pixels."""
    picture = read_image(source)
    if size is None:
        return picture
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
