"""The right answers of a sample, as texts, or why it has none: a loader's mistake costs that sample only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofglass.types import Sample


def references_of(sample: Sample) -> tuple[str, ...] | str:
    """The references; a text that says what is wrong with them, so that the sample is unjudged."""
    given: Any = sample.references
    if isinstance(given, str) or not isinstance(given, Sequence):
        return f"the sample's references: expected a list of texts, found {type(given).__name__}"
    if strange := [one for one in given if not isinstance(one, str)]:
        return f"the sample's references: expected texts, found {type(strange[0]).__name__} {str(strange[0])[:20]!r}"
    return tuple(given) or "the sample has no reference"
