"""Options of a model: a frozen dataclass whose fields carry help, range and choices.

The command line, the Gradio controls and the tables in the docs are made from these fields. Values come in
layers, the later one winning: the dataclass's defaults, the card's (model, then variant), a user's YAML
file, and `key=value` pairs or keyword arguments. OmegaConf parses and merges; this module checks.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from thg_zoo.errors import OptionError, nearest

Stage = Literal["source", "driver"]
OptionsT = TypeVar("OptionsT")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    or_index: bool = False,
    stage: Stage = "driver",
    unit: str = "",
) -> Any:
    """A dataclass field with what a person needs to know about it.

    low, high: inclusive limits of a number (of each number of a tuple); choices: the values a text may take,
    and with or_index whole numbers from 0 as well; stage: `source` if the option takes effect when the source
    is prepared, `driver` if afterwards.
    """
    metadata = {
        "help": help,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "or_index": or_index,
        "stage": stage,
        "unit": unit,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class OptionInfo:
    """One option as the command line, the page and the docs show it."""

    name: str
    type: Any
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    or_index: bool
    stage: Stage
    unit: str

    @property
    def type_name(self) -> str:
        """The type in words: `number`, `whole number`, `true/false`, `text`, or a list of them."""
        inner, optional = _without_none(self.type)
        if typing.get_origin(inner) is tuple:
            args = typing.get_args(inner)
            words = f"{len(args)} x {_WORDS[args[0]]}" if Ellipsis not in args else f"list of {_WORDS[args[0]]}s"
        else:
            words = _WORDS[inner]
        return f"{words} or none" if optional else words

    @property
    def range_text(self) -> str:
        """The accepted values in words, empty if everything of the type is."""
        if self.choices:
            return " | ".join((*self.choices, "0, 1, 2, ...") if self.or_index else self.choices)
        if self.low is None and self.high is None:
            return ""
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f"{low} .. {high} {self.unit}".strip()


_WORDS = {bool: "true/false", int: "whole number", float: "number", str: "text"}


def describe_options(cls: type[Any]) -> tuple[OptionInfo, ...]:
    """All options of an options class, in the order in which it declares them."""
    hints = typing.get_type_hints(cls)
    return tuple(
        OptionInfo(name=f.name, type=hints[f.name], default=f.default, **f.metadata) for f in dataclasses.fields(cls)
    )


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`key=value` texts as a mapping, values parsed as YAML (`true`, `0.5`, `[1, 2]`, `null`).

    Raises OptionError for a text without `=` or without a name.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise OptionError(f"{pair!r} is not an option.", "Write options as key=value, for example blink=false.")
        try:
            parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"{name}={text}"]), resolve=False)
        except (OmegaConfBaseException, YAMLError) as error:
            raise OptionError(f"The value of {pair!r} cannot be read.", "Quote texts with special signs.") from error
        values.update(typing.cast("dict[str, Any]", parsed))
    return values


def read_options_file(path: str | Path) -> dict[str, Any]:
    """Options from a user's YAML file. Raises OptionError if it cannot be read as a mapping."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        config = OmegaConf.load(path)
        values = OmegaConf.to_container(config, resolve=True)
    except (OSError, UnicodeDecodeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise OptionError(f"The options file {str(path)!r} cannot be read: {error}.", "Give a YAML file.") from error
    if not isinstance(config, DictConfig):
        raise OptionError(f"The options file {str(path)!r} holds no mapping.", "Write one `name: value` per line.")
    return typing.cast("dict[str, Any]", values)


def resolve_options(cls: type[OptionsT], *layers: Mapping[str, Any]) -> OptionsT:
    """An instance of `cls` from its defaults and `layers`, the later layer winning.

    Raises OptionError for an unknown name (offering the nearest), a wrong type, or a value out of range.
    """
    infos = {info.name: info for info in describe_options(cls)}
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in infos:
                remedy = nearest(str(name), infos) or "This model has no options."
                raise OptionError(f"There is no option {name!r}.", remedy)
            values[name] = _checked(infos[name], value)
    return cls(**values)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A type without `None`, and whether it had it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kept = [a for a in typing.get_args(hint) if a is not type(None)]
        return kept[0], len(kept) < len(typing.get_args(hint))
    return hint, False


def _checked(info: OptionInfo, value: Any) -> Any:
    """`value` as the option's type, within its range and choices."""
    hint, optional = _without_none(info.type)
    if value is None:
        if optional:
            return None
        raise _refusal(info, value)
    if typing.get_origin(hint) is not tuple:
        return _checked_scalar(info, hint, value)
    kinds = typing.get_args(hint)
    items = value.split(",") if isinstance(value, str) else value
    if Ellipsis in kinds and isinstance(value, (int, float)):
        items = (value,)
    if not isinstance(items, Sequence) or (Ellipsis not in kinds and len(items) != len(kinds)):
        raise _refusal(info, value)
    return tuple(_checked_scalar(info, kinds[0], item) for item in items)


def _checked_scalar(info: OptionInfo, kind: type, value: Any) -> Any:
    try:
        converted = _convert(kind, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _refusal(info, value) from error
    if info.choices and converted not in info.choices and not (info.or_index and str(converted).isdecimal()):
        words = " or ".join(repr(choice) for choice in info.choices) + (" or a number from 0" if info.or_index else "")
        raise OptionError(f"Option {info.name!r} cannot be {value!r}.", f"Choose {words}.")
    if isinstance(converted, (int, float)) and not isinstance(converted, bool):
        below = info.low is not None and converted < info.low
        above = info.high is not None and converted > info.high
        if below or above or not math.isfinite(converted):
            raise OptionError(f"Option {info.name!r} = {value} is out of range.", f"Accepted: {info.range_text}.")
    return converted


def _convert(kind: type, value: Any) -> Any:
    """`value` as `kind`; only lossless conversions, so that 0.5 is no whole number and 2 no truth value."""
    if kind is bool:
        if isinstance(value, str):
            if value.lower() not in ("true", "false"):
                raise ValueError
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise TypeError
        return value
    if kind is str:
        # YAML reads a text made of digits as a number: it comes back unharmed, while a truth value (`no`) does not.
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise TypeError
        return str(value)
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if kind is int:
        if number != int(number):
            raise ValueError
        return int(number)
    return number


def _refusal(info: OptionInfo, value: Any) -> OptionError:
    accepted = f"a {info.type_name}" + (f" ({info.range_text})" if info.range_text else "")
    return OptionError(f"Option {info.name!r} cannot be {value!r}.", f"It takes {accepted}.")
