"""Controls generated from the options of a model, and values back from controls.

Options without a list of choices that take any text name files of the server (a landmark model, say): the page
and the API do not offer them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from thg_zoo.errors import OptionError
from thg_zoo.options import OptionInfo
from thg_zoo.zoo import ModelDescription

# So many at most are shown beside the button; the others are folded.
_AT_HAND = 4
_MOST_STEPS = 2000


@dataclass(frozen=True)
class Control:
    """One option with the component that sets it."""

    option: OptionInfo
    component: Any


@dataclass(frozen=True)
class ControlGroup:
    """The controls of all models that share options and their defaults."""

    models: tuple[str, ...]
    controls: tuple[Control, ...]
    box: Any


def offered(model: ModelDescription) -> list[OptionInfo]:
    """The options that visitors may set."""
    return [info for info in model.options if not _is_free_text(info)]


def refuse_hidden(model: ModelDescription, options: Mapping[str, Any]) -> None:
    """Raise OptionError for an option that exists, but not for visitors."""
    for info in model.options:
        if info.name in options and _is_free_text(info):
            raise OptionError(f"Option {info.name!r} names a file of the server.", "Leave it out here.")


def control_groups(models: Iterable[ModelDescription], shown: str) -> list[ControlGroup]:
    """Controls for every model, in the current layout; those of the model `shown` are visible.

    Those that are easily set and change the result at once stand first, the rest is folded.
    """

    def at_hand(model: ModelDescription) -> list[OptionInfo]:
        return [info for info in offered(model) if info.stage == "driver" and _is_easy(info)][:_AT_HAND]

    return _groups(models, shown, offered, at_hand)


def editing_groups(models: Iterable[ModelDescription], shown: str) -> list[ControlGroup]:
    """Controls of models that can be edited: their sliders, and folded all else that needs no new preparation.

    The sliders are those options that a base class of a model's options called EditingOptions declares.
    """

    def infos(model: ModelDescription) -> list[OptionInfo]:
        return [info for info in offered(model) if info.stage == "driver"]

    def sliders(model: ModelDescription) -> list[OptionInfo]:
        base = next((c for c in type(model.resolve({})).__mro__ if c.__name__ == "EditingOptions"), None)
        declared = set(vars(base).get("__annotations__", ())) if base else set()
        return [info for info in infos(model) if info.name in declared]

    return _groups(models, shown, infos, sliders)


def _groups(
    models: Iterable[ModelDescription],
    shown: str,
    of_model: Callable[[ModelDescription], list[OptionInfo]],
    at_hand: Callable[[ModelDescription], list[OptionInfo]],
) -> list[ControlGroup]:
    alike: dict[tuple[OptionInfo, ...], list[ModelDescription]] = {}
    for model in models:
        alike.setdefault(tuple(of_model(model)), []).append(model)
    groups = []
    for infos, same in alike.items():
        names = tuple(model.name for model in same)
        with gr.Column(visible=shown in names, elem_classes="zoo-options") as box:
            groups.append(ControlGroup(names, tuple(_build(infos, at_hand(same[0]))), box))
    return groups


def chosen(groups: Sequence[ControlGroup], model: str, values: Sequence[Any]) -> dict[str, Any]:
    """The options of `model` that differ from their defaults; `values` are those of all groups' controls in order."""
    start = 0
    for group in groups:
        end = start + len(group.controls)
        if model in group.models:
            return values_of(group.controls, values[start:end])
        start = end
    return {}


def component(info: OptionInfo) -> Any:
    """The component that suits an option."""
    about: dict[str, Any] = {"label": label(info), "info": info.help}
    if info.choices:
        return gr.Dropdown(list(info.choices), value=info.default, allow_custom_value=info.or_index, **about)
    if info.type is bool:
        return gr.Checkbox(value=info.default, **about)
    step = _step(info)
    if step and info.default is not None and info.low is not None and info.high is not None:
        return gr.Slider(info.low, info.high, value=info.default, step=step, **about)
    if info.range_text and not _is_list(info):
        about["info"] += f" {info.range_text}"
    # A number field without a value says 0: only text can be empty.
    if _is_list(info) or info.default is None:
        return gr.Textbox(value=_as_text(info.default), placeholder=info.type_name, **about)
    return gr.Number(value=info.default, precision=0 if _kind(info) == "whole number" else None, **about)


def label(info: OptionInfo) -> str:
    """An option's name for people, with its unit."""
    words = info.name.replace("_", " ").capitalize()
    return f"{words} ({info.unit})" if info.unit else words


def values_of(controls: Sequence[Control], values: Sequence[Any]) -> dict[str, Any]:
    """The options that differ from their defaults."""
    pairs = zip(controls, values, strict=True)
    return {c.option.name: _value(value) for c, value in pairs if not _is_default(c.option, value)}


def _build(infos: Iterable[OptionInfo], at_hand: Sequence[OptionInfo]) -> list[Control]:
    """Those at hand stand first, the rest is folded."""
    folded = [info for info in infos if info not in at_hand]
    built = [Control(info, component(info)) for info in at_hand]
    if folded:
        with gr.Accordion(f"Advanced ({len(folded)})", open=False):
            built += [Control(info, component(info)) for info in folded]
    return built


def _kind(info: OptionInfo) -> str:
    return info.type_name.removesuffix(" or none")


def _is_free_text(info: OptionInfo) -> bool:
    return _kind(info) == "text" and not info.choices


def _is_list(info: OptionInfo) -> bool:
    return isinstance(info.default, tuple) or " x " in info.type_name or info.type_name.startswith("list of")


def _is_easy(info: OptionInfo) -> bool:
    return bool(info.choices) or info.type is bool or _step(info) is not None


def _step(info: OptionInfo) -> float | None:
    """The step of a slider over the option's range, None where a slider would not help."""
    if info.type not in (int, float) or info.low is None or info.high is None:
        return None
    extent = info.high - info.low
    if info.type is int:
        return 1 if extent <= _MOST_STEPS else None
    return next((step for step in (0.001, 0.01, 0.05, 0.1, 0.5, 1.0) if 20 <= extent / step <= 400), None)


def _as_text(value: Any) -> str:
    return "" if value is None else ", ".join(map(str, value))


def _value(value: Any) -> Any:
    """What a control says: empty text means none."""
    return None if value == "" else value


def _is_default(info: OptionInfo, value: Any) -> bool:
    """Whether a control was left as it was."""
    if _is_list(info):
        return str(value or "").replace(" ", "") == _as_text(info.default).replace(" ", "")
    return bool(_value(value) == info.default)
