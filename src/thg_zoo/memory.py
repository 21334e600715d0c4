"""How much memory a piece of work takes: this process's, and the device's where it has its own."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Memory:
    """Bytes. before, peak: resident memory of this process at the beginning, and its maximum since (ffmpeg, a process
    of its own, is not in it); device_peak: the most that PyTorch held on a CUDA device, None elsewhere.

    resettable: whether the system keeps a maximum that can be reset (Linux). Elsewhere `peak` is that of the whole
    life of the process.
    """

    before: int
    peak: int
    device_peak: int | None
    resettable: bool


class MemoryMeter:
    """Measures from its making on: `meter = MemoryMeter(device)`, work, `meter.result()`. One at a time."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._cuda = device if device is not None and device.type == "cuda" else None
        self._resettable = _reset_peak()
        self._before = _status("VmRSS") if self._resettable else _lifetime_peak()
        if self._cuda is not None:
            import torch

            torch.cuda.reset_peak_memory_stats(self._cuda)

    def result(self) -> Memory:
        """What was used until now."""
        device_peak = None
        if self._cuda is not None:
            import torch

            device_peak = torch.cuda.max_memory_allocated(self._cuda)
        peak = _status("VmHWM") if self._resettable else _lifetime_peak()
        return Memory(self._before, peak, device_peak, self._resettable)


def release() -> None:
    """Give back what deleted models held, on every device."""
    gc.collect()
    if sys.platform == "linux":
        # glibc keeps what was freed: after a model of 400 MB the process would stay as large as it was.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _reset_peak() -> bool:
    with contextlib.suppress(OSError):
        _RESET.write_text(_RESET_PEAK)
        return _status("VmHWM") > 0
    return False


def _status(name: str) -> int:
    """An entry of the process's status in bytes."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _lifetime_peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
