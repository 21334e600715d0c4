"""Shared inputs: the bundled face and speech, short drivers of every kind."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thg_zoo.demo import example_driver, example_source
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio, read_audio
from thg_zoo.media.image import read_image


def pytest_configure() -> None:
    """What runs in the background is started with SIGINT ignored, and so would be the programs that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _same_log() -> Iterator[None]:
    """The command line redirects the log, with --debug all of it: put it back as the next test expects it."""
    logs = [logging.getLogger(), logging.getLogger("thg_zoo")]
    before = [(list(log.handlers), log.level, log.propagate) for log in logs]
    yield
    for log, (handlers, level, propagate) in zip(logs, before, strict=True):
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.fixture(scope="session")
def face_path() -> Path:
    """A real portrait of 512 x 512 pixels."""
    return example_source()


@pytest.fixture(scope="session")
def speech_path() -> Path:
    """About seven seconds of real speech."""
    return example_driver()


@pytest.fixture(scope="session")
def face(face_path: Path) -> NDArray[np.uint8]:
    """The portrait, 256 x 256 to keep tests fast."""
    return np.ascontiguousarray(read_image(face_path)[::2, ::2])


@pytest.fixture(scope="session")
def short_speech(speech_path: Path) -> Audio:
    """0.44 seconds from within the speech: 11 frames at 25 per second."""
    whole = read_audio(speech_path)
    start, n = whole.sample_rate // 2, int(0.44 * whole.sample_rate)
    return read_audio((whole.samples[start : start + n], whole.sample_rate))


@pytest.fixture(scope="session")
def face_clip(face: NDArray[np.uint8]) -> Clip:
    """The portrait moving to the right by two pixels per frame for seven frames, 25 per second."""
    frames = [np.roll(face, 2 * k, axis=1) for k in range(7)]
    return Clip(np.stack(frames), Fraction(25))
