"""Where and how networks run: device, precision, batch size, memory format."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thg_zoo.errors import DeviceError, UsageError, nearest

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "float16")
DEVICE_KINDS = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Runtime:
    """The resolved execution settings of a loaded model.

    precision `float32` is the published arithmetic; the lower ones run under autocast and change the output
    (measured in each model card). batch_size None lets the model choose for the device.
    """

    device: torch.device
    precision: str = "float32"
    batch_size: int | None = None

    @property
    def description(self) -> str:
        """The device in words, for people: `cpu (8 threads, float32)` or `cuda:0 (NVIDIA L4, float32)`."""
        import torch

        if self.device.type == "cuda":
            what = torch.cuda.get_device_name(self.device)
        elif self.device.type == "cpu":
            threads = torch.get_num_threads()
            what = f"{threads} thread{'s' if threads > 1 else ''}"
        else:
            what = "Apple GPU"
        return f"{self.device} ({what}, {self.precision})"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run."""
        import torch

        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))


def resolve_runtime(device: str = "auto", precision: str = "float32", batch_size: int | None = None) -> Runtime:
    """Settings from what a person asked for.

    `auto` takes CUDA, then Apple's MPS, then the CPU. A device that is named is used or refused with the
    reason: it is never replaced by another. Raises DeviceError, or UsageError for a malformed request.
    """
    import torch

    if precision not in PRECISIONS:
        raise UsageError(f"{precision!r} is not a precision.", nearest(precision, PRECISIONS))
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"A batch of {batch_size} frames is not possible.", "Give a whole number from 1.")
    kind, _, index = device.partition(":")
    if kind not in DEVICE_KINDS or (index and (kind != "cuda" or not index.isdecimal())):
        raise UsageError(f"{device!r} is not a device.", "Give auto, cpu, cuda, cuda:N or mps.")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda":
        return Runtime(_cuda_device(device, int(index or 0)), precision, batch_size)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("The device 'mps' needs a Mac with Apple silicon.", "Use --device cpu.")
    return Runtime(torch.device(kind), precision, batch_size)


def _cuda_device(asked: str, index: int) -> torch.device:
    import torch

    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        raise DeviceError(
            f"The device {asked!r} cannot be used: this PyTorch ({torch.__version__}) is built without CUDA.",
            "Install a CUDA build of PyTorch, or use --device cpu.",
        )
    if not torch.cuda.is_available():
        raise DeviceError(
            f"The device {asked!r} cannot be used: PyTorch finds no NVIDIA GPU or driver.",
            "Check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu.",
        )
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"The device {asked!r} does not exist: there are {torch.cuda.device_count()} GPUs.",
            "Count from cuda:0.",
        )
    return torch.device("cuda", index)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's, or the machine's, memory is used up."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator and some CUDA libraries raise a plain RuntimeError that only its text tells apart.
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in ("not enough memory", "can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
