"""Functions of networks translated by the library's compiler, `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import nn

from thg_zoo.errors import DeviceError
from thg_zoo.nn.nearest import NearestConv
from thg_zoo.nn.spade_joined import JoinedSpadeResBlock
from thg_zoo.nn.wide_kernel import WideKernelConv3d
from thg_zoo.nn.winograd import MinimalFiltering

P = ParamSpec("P")
R = TypeVar("R")

# These write products into places that they choose themselves, which the compiler does not take.
_OPAQUE = (MinimalFiltering, NearestConv, WideKernelConv3d, JoinedSpadeResBlock)


def compiled(function: Callable[P, R], *networks: nn.Module) -> Callable[P, R]:
    """`function`, which calls `networks`, translated when it first runs; again for every other shape of its arguments.

    That takes a minute or more, and on a CPU a C++ compiler. The result differs by rounding. What it returns raises
    DeviceError where it cannot be translated.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, _OPAQUE):
                setattr(module, "forward", torch.compiler.disable(module.forward))  # type: ignore[no-untyped-call]  # noqa: B010
    fast = torch.compile(function)

    @wraps(function)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        # Known only now: `torch.compile` has imported it.
        from torch._dynamo.exc import TorchDynamoException

        try:
            return fast(*args, **kwargs)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise DeviceError(
                f"The networks cannot be compiled on this machine: {reason}",
                "Leave compile=false, or install what is missing: on a CPU a C++ compiler such as g++.",
            ) from error

    return translated
