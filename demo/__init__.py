"""The bundled example: a real face and real speech, free to use (origins in examples/README.md)."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def example_source() -> Traversable:
    """A portrait of 512 x 512 pixels."""
    return files("thg_zoo.demo") / "examples" / "astronaut.png"


def example_driver() -> Traversable:
    """About seven seconds of speech."""
    return files("thg_zoo.demo") / "examples" / "speech.wav"
