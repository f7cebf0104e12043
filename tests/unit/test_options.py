"""A part's options are the keyword arguments of its constructor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nascore.errors import DataError, SettingsError
from nascore.options import Option, make, options_of

if TYPE_CHECKING:
    from nowhere import Hidden


class Part:
    def __init__(
        self, size: int, rate: float = 0.5, mode: Literal["a", "b"] = "a", sizes: tuple[int, ...] = (1,),
        limit: int | None = None, copy: bool = False, _inner: str = "x", hidden: Hidden | None = None,
    ) -> None:  # fmt: skip
        self.given = (size, rate, mode, sizes, limit, copy, _inner, hidden)


def test_the_options_are_listed_in_order():
    assert options_of(Part)[:3] == [
        Option("size", "int", None, True),
        Option("rate", "float", 0.5, False),
        Option("mode", "Literal['a', 'b']", "a", False),
    ]


def test_a_catch_all_is_no_option():
    def factory(path, *args, size=3, **kwargs): ...

    assert [option.name for option in options_of(factory)] == ["path", "size"]


@given(st.integers(), st.floats(allow_nan=False), st.lists(st.integers()), st.none() | st.integers(), st.booleans())
def test_good_options_arrive_as_they_are(size, rate, sizes, limit, copy):
    part = make(
        Part, {"size": size, "rate": rate, "sizes": sizes, "limit": limit, "copy": copy, "_inner": "é"}, "sampler"
    )
    assert part.given == (size, rate, "a", tuple(sizes), limit, copy, "é", None)


def test_defaults_are_the_constructors_own():
    default = object()

    def factory(thing: int = default):
        return thing

    assert make(factory, {}, "x") is default


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"sampler\.size is required: add --set sampler\.size=VALUE"),
        ({"size": 1, "rates": 2}, r"sampler\.rates is no option of Part; did you mean 'rate'\? Allowed: .*size"),
        ({"size": "many"}, r"sampler\.size = 'many': input should be a valid integer"),
        ({"size": 1.5}, r"sampler\.size = 1\.5"),
        ({"size": None}, r"sampler\.size = None"),
        ({"size": 1, "mode": "c"}, r"sampler\.mode = 'c': input should be 'a' or 'b'"),
        ({"size": 1, "sizes": [1, "x"]}, r"sampler\.sizes\.1 = 'x'"),
        ({"size": [1], "rate": {}}, r"sampler\.size = \[1\].*; sampler\.rate = \{\}"),
        ({"size": 1, "option_0": 2}, r"sampler\.option_0 is no option"),
    ],
)
def test_a_bad_option_names_its_key_and_what_is_allowed(options, said):
    with pytest.raises(SettingsError, match=said):
        make(Part, options, "sampler")


def test_an_annotation_for_type_checkers_alone_leaves_the_others_checked():
    marker = object()
    assert make(Part, {"size": 1, "hidden": marker}, "x").given[-1] is marker
    with pytest.raises(SettingsError):
        make(Part, {"size": "text", "hidden": marker}, "x")


def test_positional_arguments_come_first_and_are_no_options_any_more():
    def factory(path, size: int = 3):
        return path, size

    assert make(factory, {"size": 5}, "data", "./photos") == ("./photos", 5)
    with pytest.raises(SettingsError, match=r"data\.path is no option of factory"):
        make(factory, {"path": "x"}, "data", "./photos")


def test_positional_arguments_are_checked_too():
    def factory(size: int):
        return size

    assert make(factory, {}, "space", "5") == 5
    with pytest.raises(SettingsError, match=r"space\.size = 'five'"):
        make(factory, {}, "space", "five")


def test_an_argument_that_the_part_does_not_take():
    with pytest.raises(SettingsError, match=r"^data: .*takes 0 positional arguments but 1 was given"):
        make(lambda: None, {}, "data", "./photos")


def test_what_the_constructor_refuses_is_told_with_the_table():
    def factory(size: int):
        raise ValueError(f"size must be even; got {size}.")

    with pytest.raises(SettingsError, match=r"^sampler: size must be even; got 3\."):
        make(factory, {"size": 3}, "sampler")


def test_an_error_of_our_own_stays_what_it_is():
    def factory():
        raise DataError("no such folder")

    with pytest.raises(DataError, match=r"^no such folder$"):
        make(factory, {}, "data")


def test_dataclasses_functions_and_classes_without_a_constructor():
    @dataclass
    class Record:
        size: int = 3

    class Bare: ...

    assert make(Record, {"size": 7}, "x") == Record(7)
    assert isinstance(make(Bare, {}, "x"), Bare)
    with pytest.raises(SettingsError, match=r"x\.size is no option of Bare; none is available"):
        make(Bare, {"size": 7}, "x")
