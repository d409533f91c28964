"""What helps an attack is read from its fields."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from proofglass.cli.listing import describe
from proofglass.interfaces import Attack, Encoder, Judge, Painter, Victim
from proofglass.interfaces.attacks import needs_of
from proofglass.registry import build, entries


@dataclass(frozen=True)
class Searching(Attack):
    """Holds helpers of every kind."""

    name = "searching"

    helper: Victim
    judge: Judge | None = None
    painter: Painter | None = None
    surrogates: tuple[Encoder, ...] = ()
    steps: int = 3


def test_a_field_without_a_default_and_one_that_is_filled_are_needs() -> None:
    assert needs_of(Searching, {}) == ("language model",)
    assert needs_of(Searching, {"judge": object()}) == ("language model", "judge")
    made = Searching(build("victims", "testbed-linear"))
    assert made.needs == ("language model",)
    assert made.queries == 0


# What every attack is compared with: no figure of their papers is about a model of pictures and texts.
REFERENCES = ("pgd", "apgd", "square", "black-box-pgd")


@pytest.mark.parametrize("name", [name for name in entries("attacks") if name not in REFERENCES])
def test_an_attack_says_what_its_paper_reports_and_who_leads_it(name: str) -> None:
    attack = entries("attacks")[name].load()
    told = describe("attacks", entries("attacks")[name], deep=True)
    assert not attack.paper or told["reports"].strip()
    assert told["threat"] in ("user", "third party", "user or third party")
    assert set(told["changes"]) <= {"image", "text"}
    assert isinstance(told["queries"], int)
    assert told["queries"] >= 1


@pytest.mark.parametrize("name", entries("attacks"))
def test_the_first_line_of_an_attack_is_a_whole_sentence(name: str) -> None:
    first = (entries("attacks")[name].load().__doc__ or "").strip().splitlines()[0]
    assert first.endswith(".")
