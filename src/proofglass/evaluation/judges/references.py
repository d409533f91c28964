"""The right answers of a sample, as texts, or why it has none: a loader's mistake costs that sample only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofglass.types import Attempt, Sample


def references_of(sample: Sample) -> tuple[str, ...] | str:
    """The references; a text that says what is wrong with them, so that the sample is unjudged."""
    given: Any = sample.references
    if isinstance(given, str) or not isinstance(given, Sequence):
        return f"the sample's references: expected a list of texts, found {type(given).__name__}"
    if strange := [one for one in given if not isinstance(one, str)]:
        return f"the sample's references: expected texts, found {type(strange[0]).__name__} {str(strange[0])[:20]!r}"
    return tuple(given) or "the sample has no reference"


def held_against(attempt: Attempt) -> tuple[str, ...] | str:
    """The references that a reply is held against; a text that says why there is nothing to hold: nobody said anything
    (`Reply.is_said`), or something is wrong with the references."""
    if not attempt.reply.is_said:
        return f"the reply is {attempt.reply.outcome}"
    return references_of(attempt.sample)


def right_or(value: float, between: str) -> str:
    """The label of a share of right answers: right (1), wrong (0), or `between`."""
    return "right" if value == 1 else "wrong" if value == 0 else between
