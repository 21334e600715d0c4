"""The options of LIA: those of models driven by a video, levels, and the published tool for single directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thg_zoo.keypoints.driving_options import TransferOptions
from thg_zoo.options import option


def _direction(k: int) -> Any:
    return option(0.0, f"Steps along the learned direction {k}, added to the motion.", low=-20, high=20)


@dataclass(frozen=True)
class EditingOptions(TransferOptions):
    """The 20 directions that motion is made of. What each of them does, training found: look with sweep."""

    d0: float = _direction(0)
    d1: float = _direction(1)
    d2: float = _direction(2)
    d3: float = _direction(3)
    d4: float = _direction(4)
    d5: float = _direction(5)
    d6: float = _direction(6)
    d7: float = _direction(7)
    d8: float = _direction(8)
    d9: float = _direction(9)
    d10: float = _direction(10)
    d11: float = _direction(11)
    d12: float = _direction(12)
    d13: float = _direction(13)
    d14: float = _direction(14)
    d15: float = _direction(15)
    d16: float = _direction(16)
    d17: float = _direction(17)
    d18: float = _direction(18)
    d19: float = _direction(19)


DIRECTIONS = tuple(f"d{k}" for k in range(20))


@dataclass(frozen=True)
class LiaOptions(EditingOptions):
    """Names and defaults are those of the published programs, where they have them."""

    sweep: int | None = option(
        None, "Without a driver: the clip that goes along this direction, from -degree to degree.", low=0, high=19
    )
    degree: float = option(3.0, "How far a sweep goes to either side.", low=0, high=20, unit="steps")
    range: int = option(16, "Frames of a sweep; the last is one before degree.", low=1, high=1000, unit="frames")
    save_fps: float = option(10.0, "Frames per second of a sweep.", low=1, high=120)
    levels: str = option(
        "clamped",
        "How the networks' levels become pixels. stretched: by the darkest and the brightest of the whole clip, "
        "rounded down, as published; frames are rendered once more to find them, until both limits have been met.",
        choices=("clamped", "stretched"),
    )
