"""Fields are checked by their annotation, however a plug is built, and the message says field, expected, found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from hypothesis import given
from hypothesis import strategies as st

from proofglass.interfaces import Checked, Count, Defense, Judge, NonNegative, Share, Steps, Text, Victim
from proofglass.interfaces.fields import hints, spelled
from proofglass.registry import build

if TYPE_CHECKING:
    from somewhere import Unknown


def is_even(value: int, field: str) -> None:
    if value % 2:
        raise ValueError(f"{field}: expected an even number, found {value}")


@dataclass(frozen=True)
class Plug(Defense):
    """Every kind of field."""

    norm: Literal["linf", "l2"] = "linf"
    coding: Literal["", "int8"] = ""
    batch: Count = 1
    steps: Steps | None = None
    size: Annotated[float, Gt(0)] = 0.5
    share: Share = 0.5
    low: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    most: Annotated[int, Le(5), Lt(5)] = 4
    texts: tuple[Text, ...] = ()
    some: Annotated[tuple[str, ...], MinLen(1)] = ("a",)
    place: tuple[Share, Share] = (0.5, 0.5)
    either: int | str | Sequence[int | str] = 0
    flag: bool = False
    even: Annotated[int, Checked(is_even, "even")] = 0
    file: Path | None = None
    theirs: Unknown | None = None
    hidden: int = field(default=0, init=False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"norm": "l3"}, "norm: expected linf or l2, found 'l3'"),
        ({"norm": None}, "norm: expected linf or l2, found None"),
        ({"coding": "int4"}, "coding: expected int8 or nothing, found 'int4'"),
        ({"batch": 0}, "batch: expected at least 1, found 0"),
        ({"batch": 1.5}, "batch: expected a whole number, found 1.5"),
        ({"batch": True}, "batch: expected a whole number, found True"),
        ({"batch": "3"}, "batch: expected a whole number, found '3'"),
        ({"steps": -1}, "steps: expected at least 0 or None, found -1"),
        ({"size": 0}, "size: expected more than 0, found 0"),
        ({"size": math.nan}, "size: expected more than 0, found nan"),
        ({"size": True}, "size: expected a number, found True"),
        ({"share": 1.01}, "share: expected 0 to 1, found 1.01"),
        ({"share": math.nan}, "share: expected 0 to 1, found nan"),
        ({"low": 0}, "low: expected more than 0 and less than 1, found 0"),
        ({"most": 5}, "most: expected less than 5, found 5"),
        ({"texts": "abc"}, "texts: expected a list of texts, found 'abc'"),
        ({"texts": ["a", 3]}, "texts: expected a list, each a text, found ['a', 3]"),
        ({"texts": ["a", " "]}, "texts: expected no empty text, found ' '"),
        ({"some": ()}, "some: expected at least one, found none"),
        ({"place": (0.5, 2)}, "place: expected a list, each 0 to 1, found (0.5, 2)"),
        ({"place": (0.5,)}, "place: expected a list of 2, found (0.5,)"),
        ({"either": 1.5}, "either: expected a whole number or a text or a list, found 1.5"),
        ({"flag": 1}, "flag: expected true or false, found 1"),
        ({"even": 3}, "even: expected an even number, found 3"),
        ({"file": 3}, "file: expected a path, found 3"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_field_expected_and_found(given, told):
    with pytest.raises(ValueError) as error:
        Plug(**given)
    assert str(error.value) == told


def test_what_fits_is_taken_and_lists_become_tuples():
    plug = Plug(norm="l2", steps=0, texts=["a", "b"], place=[0, 1], either="x", even=4, file="~/a", theirs=object())
    assert (plug.texts, plug.place, plug.either) == (("a", "b"), (0, 1), "x")
    assert plug.file == Path("~/a").expanduser()
    assert Plug(either=[1, "x"]).either == [1, "x"]  # no tuple was asked for


def test_a_field_whose_type_is_known_to_checkers_only_is_left_alone():
    assert "theirs" not in hints(Plug)
    assert hints(Plug).keys() == set(Plug().settings()) - {"theirs"}


def test_a_post_init_of_ones_own_sees_checked_fields_and_a_subclass_is_checked_once_too():
    seen = []

    @dataclass(frozen=True)
    class Own(Plug):
        least: NonNegative = 0.0

        def __post_init__(self):
            seen.append((self.batch, self.texts))

    @dataclass(frozen=True)
    class Further(Own):
        pass

    Further(texts=["a"])
    assert seen == [(1, ("a",))]
    with pytest.raises(ValueError, match="least: expected at least 0, found -1"):
        Further(least=-1)
    with pytest.raises(ValueError, match="batch"):
        Own(batch=0)
    assert len(seen) == 1


def test_a_field_that_is_declared_anew_has_its_new_bounds():
    @dataclass(frozen=True)
    class Larger(Plug):
        batch: Annotated[int, Ge(8)] = 8

    with pytest.raises(ValueError, match="batch: expected at least 8, found 7"):
        Larger(batch=7)


@given(st.floats(), st.integers(-5, 5), st.integers(0, 5))
def test_an_interval_holds_exactly_what_its_bounds_say(value, low, width):
    bounds = Annotated[float, Interval(ge=low, lt=low + width)]
    Within = make_dataclass("Within", [("x", bounds)], bases=(Defense,), frozen=True)
    if width and low <= value < low + width:
        assert Within(value).x == value
    else:
        with pytest.raises(ValueError, match="x: expected"):
            Within(value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("norm", "'linf' | 'l2'"),
        ("batch", "int (at least 1)"),
        ("steps", "int (at least 0) | None"),
        ("share", "float (0 to 1)"),
        ("texts", "tuple[str (not empty), ...]"),
        ("even", "int (even)"),
        ("file", "Path | None"),
    ],
)
def test_an_annotation_is_spelled_in_a_few_words(name, words):
    assert spelled(hints(Plug)[name]) == words


@dataclass(frozen=True)
class Helped(Defense):
    """Fields that take plugs.

    judge: one, or none. helpers: several.
    """

    judge: Judge | None = None
    helpers: tuple[Victim, ...] = ()
    name = "helped"


def test_a_field_that_takes_a_plug_takes_no_name_and_no_other_kind() -> None:
    judge, victim = build("judges", "not-refused"), build("victims", "testbed-linear")
    assert Helped(judge, [victim]).helpers == (victim,)  # type: ignore[arg-type]
    for wrong in ("not-refused", victim, 3):
        with pytest.raises(ValueError, match="judge: expected a Judge or None, found "):
            Helped(wrong)
    with pytest.raises(ValueError, match=r"found 'not-refused'; a name is for study files, .* build it first"):
        Helped("not-refused")  # type: ignore[arg-type]
    for several in ([victim, judge], ["testbed-linear"]):
        with pytest.raises(ValueError, match="helpers: expected a list, each a Victim, found "):
            Helped(None, several)  # type: ignore[arg-type]
