"""The options of `warp`."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.options import option
from thg_zoo.timing import EXTENSION_RULES


@dataclass(frozen=True)
class WarpOptions:
    """What a user can set; help and ranges stand with each field."""

    mouth: float = option(1.0, "How far the mouth opens, relative to what the sound suggests.", low=0, high=2)
    head_motion: float = option(1.0, "Size of the head's motion (a source video keeps its own).", low=0, high=3)
    blink: float = option(1.0, "How often the eyes blink, relative to once in four seconds.", low=0, high=4)
    smoothing: float = option(1.0, "Length of the filters on the mouth's motion.", low=0.2, high=4)
    teeth: bool = option(True, "Draw the edge of the upper teeth where the picture itself shows none.")
    extend: str = option("ping-pong", "How a source video goes on when the sound is longer.", choices=EXTENSION_RULES)
    face: str = option(
        "largest",
        "Which face: largest, or its number counted from the left, from 0.",
        choices=("largest",),
        or_index=True,
        stage="source",
    )
    missing_face: str = option(
        "error",
        "What a source video's frames without the face do: stop, keep the last place, or pass unchanged.",
        choices=("error", "hold", "pass"),
        stage="source",
    )
