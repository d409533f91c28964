"""What a field means is read from the docstring; every field of every registered plug has a meaning."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from proofglass.cli.listing import describe
from proofglass.cli.meanings import description, meanings
from proofglass.registry import KINDS, entries, entry


@dataclass
class Base:
    """Has a start.

    start: where it begins; None: nowhere. Raises ValueError without one.
    """

    start: int | None = None


@dataclass
class Method(Base):
    """One line.

    epsilon: radius, in [0, 1]. kind: "a" (first). "b" is second, steps: no label. low, high: bounds, which
    go on over a line.

    Behind the paragraph, epsilon: nothing more. Source: a paper.
    """

    epsilon: float = 0.1
    kind: str = "a"
    steps: int = 3
    low: int = 0
    high: int = 1


def test_a_meaning_goes_from_its_label_to_the_next_or_to_the_end_of_the_paragraph():
    assert meanings(Method) == {
        "epsilon": "radius, in [0, 1].",
        "kind": '"a" (first). "b" is second, steps: no label.',
        "low": "bounds, which go on over a line.",
        "high": "bounds, which go on over a line.",
        "start": "where it begins; None: nowhere.",
    }


def test_the_description_is_what_the_docstring_says_besides():
    assert description(Method) == "One line.\n\nBehind the paragraph, epsilon: nothing more. Source: a paper."


def own(kind):
    return {entry.load(): name for name, entry in entries(kind).items() if entry.target.startswith("proofglass.")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_registered_plug_has_a_meaning(kind):
    silent = {
        f"{name}.{f.name}"
        for plug, name in own(kind).items()
        if dataclasses.is_dataclass(plug)
        for f in dataclasses.fields(plug)
        if f.init and not meanings(plug).get(f.name)
    }
    assert silent == set()


def test_a_trait_that_fields_decide_is_listed_as_each_name_makes_it() -> None:
    told = {name: describe("judges", entry("judges", name)) for name in ("qwen3guard", "shieldgemma-2", "unsafe")}
    assert {name: one["aspect"] for name, one in told.items()} == {
        "qwen3guard": "unsafe",
        "shieldgemma-2": "unsafe image",
        "unsafe": "unsafe",
    }
    found = {name: describe("judges", each)["measured"] for name, each in entries("judges").items()}
    assert found["llama-guard-3-vision"]["agreement"].startswith("sensitivity 0.204")
    assert found["llama-guard-4"] is None
    every = (describe(kind, each) for kind in KINDS for each in entries(kind).values())
    assert not any(isinstance(value, property) for one in every for value in one.values())
