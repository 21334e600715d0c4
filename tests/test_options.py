"""Options: layers, types, ranges, and errors that name the nearest option."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thg_zoo.errors import OptionError
from thg_zoo.options import describe_options, option, parse_pairs, read_options_file, resolve_options


@dataclass(frozen=True)
class Example:
    still: bool = option(False, "Keep the head still.")
    expression_scale: float = option(1.0, "Strength of the expression.", low=0.0, high=3.0)
    pose_style: int = option(0, "Style of the head motion.", low=0, high=45)
    crop: str = option("auto", "How the face is cut out.", choices=("auto", "none"), stage="source")
    pads: tuple[int, int, int, int] = option((0, 10, 0, 0), "Margins.", low=-100, high=100, unit="px")
    face: str = option("largest", "Which face.", choices=("largest",), or_index=True)
    yaw: tuple[float, ...] | None = option(None, "Head angles.", low=-90, high=90, unit="degrees")


def resolved(*pairs: str) -> Example:
    return resolve_options(Example, parse_pairs(pairs))


def test_defaults_need_no_layer() -> None:
    assert resolve_options(Example) == Example()


def test_pairs_are_typed_by_the_option() -> None:
    got = resolved("still=true", "expression_scale=2", "pose_style=7", "crop=none", "pads=[1,2,3,4]", "yaw=[0,-10.5]")
    assert got == Example(True, 2.0, 7, "none", (1, 2, 3, 4), yaw=(0.0, -10.5))
    assert isinstance(got.expression_scale, float)


def test_a_choice_may_be_an_index() -> None:
    assert resolved("face=2").face == "2"
    assert resolve_options(Example, {"face": 2}).face == "2"
    assert resolved("face=largest").face == "largest"


def test_none_is_accepted_only_where_the_type_says_so() -> None:
    assert resolved("yaw=null").yaw is None
    with pytest.raises(OptionError, match="pose_style"):
        resolved("pose_style=null")


def test_the_later_layer_wins() -> None:
    card, user = {"pose_style": 3, "still": True}, {"pose_style": 5}
    assert resolve_options(Example, card, user) == Example(still=True, pose_style=5)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("expresion_scale=1", "expression_scale"),
        ("expression_scale=3.5", "0 .. 3"),
        ("expression_scale=.nan", "0 .. 3"),
        ("expression_scale=much", "number"),
        ("pose_style=1.5", "whole number"),
        ("pose_style=.inf", "whole number"),
        ("pose_style=true", "whole number"),
        ("still=2", "true/false"),
        ("still=maybe", "true/false"),
        ("crop=centre", "'auto' or 'none'"),
        ("face=leftmost", "'largest' or a number from 0"),
        ("face=-1", "'largest' or a number from 0"),
        ("pads=[1,2]", "4 x whole number"),
        ("pads=[1,2,3,101]", "-100 .. 100 px"),
        ("yaw=left", "list of numbers"),
    ],
)
def test_wrong_values_name_the_option_and_what_it_takes(pair: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        resolved(pair)
    assert words in str(caught.value)
    assert pair.split("=")[0] in str(caught.value)


@pytest.mark.parametrize("pair", ["still", "=1", "two words=1", "a.b=1", "yaw=[1, 2", "yaw={a: 1"])
def test_malformed_pairs_are_refused(pair: str) -> None:
    with pytest.raises(OptionError):
        resolved(pair)


def test_options_file(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("pose_style: 9\nyaw: [1, 2]\n")
    assert resolve_options(Example, read_options_file(file)) == Example(pose_style=9, yaw=(1.0, 2.0))


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "\x00", "a: ${nowhere}\n", "a: " + "[" * 5000])
def test_broken_options_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "options.yaml"
    file.write_text(text)
    with pytest.raises(OptionError, match=r"options\.yaml"):
        read_options_file(file)


def test_a_name_that_is_no_text_is_an_unknown_option() -> None:
    with pytest.raises(OptionError, match="no option 1"):
        resolve_options(Example, {1: 2})  # type: ignore[dict-item]


def test_missing_options_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.yaml"):
        read_options_file(tmp_path / "none.yaml")


def test_every_option_is_described() -> None:
    infos = {info.name: info for info in describe_options(Example)}
    assert list(infos) == list(asdict(Example()))
    assert infos["pads"].type_name == "4 x whole number"
    assert infos["yaw"].type_name == "list of numbers or none"
    assert infos["yaw"].range_text == "-90 .. 90 degrees"
    assert infos["crop"].stage == "source"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "still": st.booleans(),
            "expression_scale": st.floats(0, 3),
            "pose_style": st.integers(0, 45),
            "crop": st.sampled_from(["auto", "none"]),
            "pads": st.tuples(*[st.integers(-100, 100)] * 4),
        },
    )
)
def test_written_and_read_options_are_the_same(values: dict[str, Any]) -> None:
    pairs = [f"{name}={_written(value)}" for name, value in values.items()]
    assert resolved(*pairs) == resolve_options(Example, values) == Example(**values)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        resolved(text)
    except OptionError as error:
        assert error.remedy
