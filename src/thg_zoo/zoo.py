"""Names to models: which exist, what their cards say, and `load`.

Models come from the cards in configs/ and from installed packages that declare the entry point group
`thg_zoo.models`: the entry point's name is the model's, its value a package that holds NAME.yaml.
Nothing here imports torch until `load` is called.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thg_zoo.errors import SpecError, UnknownModelError, nearest
from thg_zoo.options import OptionInfo, describe_options, resolve_options
from thg_zoo.spec import ModelSpec, Variant, bundled, parse

if TYPE_CHECKING:
    from torch import nn

    from thg_zoo.adapter import Adapter

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "thg_zoo.models"


@dataclass(frozen=True)
class ModelDescription:
    """A model as a person sees it: its card, one of its variants, and its options."""

    spec: ModelSpec
    variant: Variant

    @property
    def name(self) -> str:
        """The name that `load` takes."""
        return self.variant.name

    @property
    def commercial(self) -> bool:
        """Whether it may be used commercially, weights included."""
        return self.spec.commercial(self.variant.name)

    @property
    def options(self) -> tuple[OptionInfo, ...]:
        """Its options with help and ranges, defaults as this variant sets them."""
        defaults = self.resolve({})
        return tuple(replace(info, default=getattr(defaults, info.name)) for info in describe_options(type(defaults)))

    def resolve(self, options: Mapping[str, Any]) -> Any:
        """An instance of the options class: its defaults, the card's, the variant's, then `options`.

        Raises OptionError for an unknown name or a value that is not accepted.
        """
        cls = _import(self.spec.options_class, self.spec.name)
        return resolve_options(cls, self.spec.options, self.variant.options, options)


@cache
def _registry() -> dict[str, ModelDescription]:
    """Every variant of every card, by the name that `load` takes."""
    cards = dict(bundled())
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in cards:
            raise SpecError(
                f"The model {point.name!r} of {point.value!r} exists already.", "Uninstall or rename one of the two."
            )
        try:
            text = (files(point.value) / f"{point.name}.yaml").read_text(encoding="utf-8")
        except (ImportError, OSError) as error:
            raise SpecError(
                f"The card of the installed model {point.name!r} cannot be read: {error}.",
                f"Install the package of {point.value!r} again, or uninstall it.",
            ) from error
        cards[point.name] = parse(point.name, text)
    found: dict[str, ModelDescription] = {}
    for spec in cards.values():
        for variant in spec.variants.values():
            if variant.name in found:
                raise SpecError(f"Two cards define {variant.name!r}.", "Rename one of the variants.")
            found[variant.name] = ModelDescription(spec, variant)
    return found


def list_models(*, driver: str | None = None, commercial: bool = False) -> list[ModelDescription]:
    """All models by name; with `driver`, those driven by that kind; with `commercial`, those free for such use."""
    return [
        model
        for _, model in sorted(_registry().items())
        if (driver is None or driver in model.spec.drivers) and (model.commercial or not commercial)
    ]


def describe(name: str) -> ModelDescription:
    """A model's card and options. Raises UnknownModelError, offering the nearest names."""
    try:
        return _registry()[name]
    except KeyError:
        raise UnknownModelError(f"There is no model {name!r}.", nearest(name, _registry())) from None


def load(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "float32",
    batch_size: int | None = None,
    seed: int = 0,
    accept_licence: bool = False,
) -> Adapter[Any, Any]:
    """A model ready to animate.

    weights: nothing for the published set from the hub, a folder or file laid out like it, or `"random"`
    (seeded by `seed`; for tests, dry runs and benchmarks); device: auto, cpu, cuda, cuda:N or mps; precision:
    float32 (published), bfloat16 or float16; batch_size: frames at once, by default what suits the device;
    accept_licence: accept the terms of weights whose licence restricts their use. Raises UnknownModelError,
    UsageError, DeviceError, WeightsError.
    """
    from thg_zoo.runtime import resolve_runtime
    from thg_zoo.weights import empty_networks, fill_networks

    model = describe(name)
    runtime = resolve_runtime(device, precision, batch_size)
    adapter = _adapter(model, runtime)
    with empty_networks():
        networks = adapter.build_networks()
    adapter.weights = fill_networks(
        networks, model.variant, weights, base=seed, accept_licence=accept_licence, device=runtime.device
    )
    adapter.networks = networks
    adapter.finish_loading()
    logger.info("loaded %s on %s", name, runtime.description)
    return adapter


def empty_networks_of(name: str) -> dict[str, nn.Module]:
    """The networks of a model without memory or weights, to compare files with."""
    from thg_zoo.runtime import resolve_runtime
    from thg_zoo.weights import empty_networks

    adapter = _adapter(describe(name), resolve_runtime("cpu"))
    with empty_networks():
        return adapter.build_networks()


def _adapter(model: ModelDescription, runtime: Any) -> Adapter[Any, Any]:
    cls = _import(model.spec.adapter, model.spec.name)
    adapter: Adapter[Any, Any] = cls(model, runtime)
    return adapter


def _import(target: str, model: str) -> Any:
    """The object that a card names as `module:name`."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"The card of {model!r} names {target!r}, which cannot be imported: {error}.") from error
