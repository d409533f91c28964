"""What helps an attack is read from its fields."""

from __future__ import annotations

from dataclasses import dataclass

from proofglass.interfaces import Attack, Encoder, Judge, Painter, Victim
from proofglass.interfaces.attacks import needs_of
from proofglass.registry import build


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
