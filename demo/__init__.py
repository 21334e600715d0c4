"""The bundled example: a real face and real speech, free to use (origins in examples/README.md)."""

from __future__ import annotations

from pathlib import Path

_EXAMPLES = Path(__file__).parent / "examples"


def example_source() -> Path:
    """A portrait of 512 x 512 pixels."""
    return _EXAMPLES / "astronaut.png"


def example_driver() -> Path:
    """About seven seconds of speech."""
    return _EXAMPLES / "speech.wav"
