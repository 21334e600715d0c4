"""Limits on what is read, checked before anything is decoded, so that no file can exhaust memory or time."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction

from thg_zoo.errors import MediaLimitError, UsageError

ENVIRONMENT_PREFIX = "THG_ZOO_"


@dataclass(frozen=True)
class Limits:
    """The largest media accepted.

    `max_pixels`: width x height of one picture or frame. `max_seconds`: length of sound or video.
    `max_streams`: tracks in one file. `max_fps`: frames per second of a video.
    """

    max_pixels: int = 64_000_000
    max_seconds: float = 4 * 3600.0
    max_streams: int = 16
    max_fps: float = 240.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Defaults overridden by THG_ZOO_MAX_PIXELS, THG_ZOO_MAX_SECONDS, THG_ZOO_MAX_STREAMS, THG_ZOO_MAX_FPS.

        Raises UsageError for a value that is not a positive number.
        """
        changed = {}
        for field in fields(cls):
            name = environment_name(field.name)
            if name in environment:
                changed[field.name] = _positive(name, environment[name], whole=isinstance(field.default, int))
        return cls(**changed)  # type: ignore[arg-type]  # the type of each value follows the field's default

    def check_size(self, what: str, width: int, height: int) -> None:
        """Raise MediaLimitError if `what` has more than `max_pixels` pixels."""
        if width * height > self.max_pixels:
            raise _exceeded(what, f"has {width}x{height} pixels", "max_pixels", f"{self.max_pixels}")

    def check_duration(self, what: str, seconds: Fraction | float) -> None:
        """Raise MediaLimitError if `what` is longer than `max_seconds`."""
        if seconds > self.max_seconds:
            raise _exceeded(what, f"is {float(seconds):.1f} s long", "max_seconds", f"{self.max_seconds:g} s")

    def check_streams(self, what: str, streams: int) -> None:
        """Raise MediaLimitError if `what` has more than `max_streams` tracks."""
        if streams > self.max_streams:
            raise _exceeded(what, f"has {streams} streams", "max_streams", f"{self.max_streams}")

    def check_fps(self, what: str, fps: Fraction | float) -> None:
        """Raise MediaLimitError if `what` has more than `max_fps` frames per second."""
        if fps > self.max_fps:
            raise _exceeded(what, f"has {float(fps):.2f} frames per second", "max_fps", f"{self.max_fps:g}")


def environment_name(field: str) -> str:
    """The environment variable that sets the limit `field`."""
    return ENVIRONMENT_PREFIX + field.upper()


def _positive(name: str, text: str, *, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
        usable = value > 0 and math.isfinite(value)
    except (ValueError, OverflowError):
        usable = False
    if not usable:
        kind = "whole number" if whole else "number"
        raise UsageError(f"The environment variable {name} is {text!r}.", f"Set it to a {kind} above 0, or unset it.")
    return value


def _exceeded(what: str, finding: str, field: str, limit: str) -> MediaLimitError:
    return MediaLimitError(
        f"{what} {finding}; the limit is {limit}.",
        f"Make it smaller, or raise the limit with {environment_name(field)}.",
    )
