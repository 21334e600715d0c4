"""Networks brought into the forms that compute the same function with less work on a CPU in float32."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from thg_zoo.nn.winograd import use_winograd


@runtime_checkable
class HasFastForm(Protocol):
    """A module that knows a faster form of itself, or of its layers."""

    def use_fast_form(self) -> None:
        """Replace layers, in place. Norms have been folded before; the published entries may be gone afterwards."""


def use_fast_forms(network: nn.Module) -> None:
    """Every module's own fast form, then Winograd's algorithm for wide convolutions; in place.

    Fold norms first. For float32 on CPUs: libraries for GPUs choose algorithms themselves, and lower precisions would
    round the sums that stand for products.
    """
    for module in list(network.modules()):
        if isinstance(module, HasFastForm):
            module.use_fast_form()
    use_winograd(network)
