"""Networks brought into the forms that compute the same function with less work on a CPU in float32."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import nn

from thg_zoo.nn.as_written import kept_as_written
from thg_zoo.nn.fold import fold_batch_norm
from thg_zoo.nn.spectral import fold_spectral_norm
from thg_zoo.nn.winograd import use_winograd
from thg_zoo.runtime import Runtime


@runtime_checkable
class HasFastForm(Protocol):
    """A module that knows a faster form of itself, or of its layers."""

    def use_fast_form(self) -> None:
        """Replace layers, in place. Norms have been folded before; the published entries may be gone afterwards."""


def use_fast_forms(network: nn.Module) -> None:
    """Every module's own fast form, then Winograd's algorithm for wide convolutions; in place.

    Fold norms first. For float32 on CPUs: libraries for GPUs choose algorithms themselves, and lower precisions would
    round the sums that stand for products. Inside `as_written` nothing is replaced.
    """
    if kept_as_written():
        return
    for module in list(network.modules()):
        if isinstance(module, HasFastForm):
            module.use_fast_form()
    use_winograd(network)


def finish_networks(networks: Iterable[nn.Module], runtime: Runtime) -> None:
    """What loaded networks are spared, in place: norms folded; on a CPU in float32, fast forms. The same functions."""
    for network in networks:
        fold_spectral_norm(network)
        fold_batch_norm(network)
        if runtime.device.type == "cpu" and runtime.precision == "float32":
            use_fast_forms(network)
