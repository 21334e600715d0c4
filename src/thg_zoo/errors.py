"""Every error a user can meet: what is wrong, with the name of the input, and what to do about it.

Library code raises these and nothing else for anything a user can get wrong; whatever else escapes is a
bug. `exit_code` is what the command line returns (documented in docs/cli.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThgZooError(Exception):
    """Base of all errors.

    `message` says what is wrong and names the input, `remedy` says what to do about it. Both are sentences.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class UsageError(ThgZooError):
    """The call itself is wrong: an argument that cannot be, or two that contradict each other."""

    exit_code = 2


class UnknownModelError(UsageError):
    """No model of that name is registered."""


class OptionError(UsageError):
    """An unknown option, or a value outside its type, range or choices."""


class SpecError(UsageError):
    """A model card (configs/NAME.yaml) that does not follow the format."""


class InputError(ThgZooError):
    """A source or driver that cannot be used."""

    exit_code = 3


class MediaError(InputError):
    """A file or array that is missing, empty, unreadable, damaged, or of a kind that is not accepted."""


class MediaLimitError(InputError):
    """A file above the limits on pixels, duration or streams (see `thg_zoo.media.limits`)."""


class FaceError(InputError):
    """No face where one is needed, or no face of the index asked for."""


class OutputError(ThgZooError):
    """The output cannot be written: kind, permission, an existing file, or a full disk."""

    exit_code = 4


class WeightsError(ThgZooError):
    """Published weights are missing, wrong, or must not be used."""

    exit_code = 5


class DownloadError(WeightsError):
    """No source of a weight file could deliver it."""


class VerificationError(WeightsError):
    """A weight file is not the published one: another size or another sha256."""


class CheckpointError(WeightsError):
    """A checkpoint of an unsafe, damaged or different layout than the network expects."""


class LicenceError(WeightsError):
    """The licence of a weight file has not been accepted."""


class DeviceError(ThgZooError):
    """The device asked for does not exist, cannot do what is asked, or has no memory left."""

    exit_code = 6


class ManifestError(UsageError):
    """A manifest with lines that cannot be jobs. `problems`: (line, what is wrong) of every one of them."""

    def __init__(self, message: str, remedy: str = "", problems: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(message, remedy)
        self.problems = problems


class BatchError(ThgZooError):
    """Many jobs were to be done and some, or all, of them were not."""

    exit_code = 7


class Cancelled(ThgZooError):
    """The run was stopped by the caller; nothing was left behind."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the known names closest to `name`, or all of them if none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(n) for n in close)}?"
    return f"Known are: {', '.join(names)}." if names else ""
