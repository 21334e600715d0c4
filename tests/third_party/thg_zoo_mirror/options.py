"""Options of the mirror."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.options import option


@dataclass(frozen=True)
class MirrorOptions:
    """See the help of each field."""

    period: int = option(2, "Frames after which it turns.", low=1, high=100, unit="frames")
