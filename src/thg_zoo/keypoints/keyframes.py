"""Keyframes: numbers at moments in time, and smooth ways between them. How a portrait is edited over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from thg_zoo.errors import MediaError, MediaLimitError, OptionError, nearest
from thg_zoo.timing import frame_rate, frames_to_cover

INTERPOLATIONS = ("smooth", "linear")
_FPS = Fraction(25)
_LONGEST = 3600
_HELP = "See docs/cli.md for an example."


@dataclass(frozen=True)
class Keyframes:
    """times: seconds, rising, the first 0; values: at each time numbers by name; fps: of the clip that comes of it;
    interpolation: `smooth` rests at every keyframe, `linear` does not.
    """

    times: tuple[float, ...]
    values: tuple[Mapping[str, float], ...]
    fps: Fraction = _FPS
    interpolation: str = "smooth"

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.times, self.times[1:], strict=False))
        if not self.times or len(self.times) != len(self.values) or self.times[0] != 0 or not rising:
            raise MediaError("The times of the keyframes do not rise from 0.", _HELP)
        if not math.isfinite(self.times[-1]) or self.times[-1] > _LONGEST:
            raise MediaLimitError("The keyframes last longer than an hour.", "Make several clips.")
        if self.interpolation not in INTERPOLATIONS:
            raise MediaError(
                f"The interpolation of keyframes cannot be {self.interpolation!r}.",
                f"Use {' or '.join(INTERPOLATIONS)}.",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """What any of them sets."""
        return tuple(dict.fromkeys(name for values in self.values for name in values))

    def __len__(self) -> int:
        """Frames of the clip: the last keyframe is its last frame."""
        return frames_to_cover(Fraction(self.times[-1]).limit_denominator(10**6), self.fps) + (len(self.times) > 1)

    def over_time(self, name: str, otherwise: float, fps: Fraction, n: int) -> NDArray[np.float64]:
        """`[n]`: the number at n frames of any rate; keyframes that do not set it have `otherwise`."""
        keys = np.array([values.get(name, otherwise) for values in self.values])
        if len(keys) == 1:
            return np.repeat(keys, n)
        moments = np.arange(n) / float(fps)
        after = np.clip(np.searchsorted(self.times, moments, side="right"), 1, len(keys) - 1)
        times = np.array(self.times)
        way = np.clip((moments - times[after - 1]) / (times[after] - times[after - 1]), 0, 1)
        if self.interpolation == "smooth":
            way = way * way * (3 - 2 * way)
        between: NDArray[np.float64] = keys[after - 1] + way * (keys[after] - keys[after - 1])
        return between


def read_keyframes(path: str | Path) -> Keyframes:
    """From a YAML file: `keyframes` (each with its `time` and numbers by name); if wanted `fps` and `interpolation`.

    Raises MediaError, naming what is wrong.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return parse_keyframes(data)
    except OSError as error:
        raise MediaError(f"{str(path)!r} cannot be read: {error.strerror}.", "Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MediaError(f"{str(path)!r} is no YAML file: {error}.", _HELP) from error
    except MediaError as error:
        raise MediaError(f"{str(path)!r}: {error.message}", error.remedy) from error


def parse_keyframes(data: Any) -> Keyframes:
    """From a mapping as `read_keyframes` finds it. Raises MediaError."""
    frames = data.get("keyframes") if isinstance(data, dict) else None
    if not isinstance(frames, Sequence) or not all(isinstance(frame, dict) for frame in frames):
        raise MediaError("There is no list of keyframes.", _HELP)
    unknown = set(data) - {"keyframes", "fps", "interpolation"}
    if unknown:
        raise MediaError(f"The entry {sorted(map(str, unknown))[0]!r} is not known.", _HELP)
    times = tuple(_number(frame.get("time"), "time") for frame in frames)
    values = tuple({str(n): _number(v, str(n)) for n, v in frame.items() if n != "time"} for frame in frames)
    try:
        fps = frame_rate(data.get("fps", _FPS))
    except (ValueError, TypeError, OverflowError) as error:
        raise MediaError(f"{data['fps']!r} is no frame rate.", "Give frames per second.") from error
    return Keyframes(times, values, fps, data.get("interpolation", "smooth"))


def check_keyframes(
    keyframes: Keyframes, names: Sequence[str], resolve: Callable[[dict[str, Any]], object], what: str
) -> None:
    """Raises OptionError for a name that is none of `names`, or a value that its option does not take."""
    for values in keyframes.values:
        for name, value in values.items():
            if name not in names:
                raise OptionError(f"{what} sets {name!r}, which is no slider.", nearest(name, names))
            resolve({name: value})


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise MediaError(f"The {name} of a keyframe is {value!r}, not a number.", _HELP)
    return float(value)
