"""Kinds of samples, by what a good model does with them, and whether a judge's 1 is good or bad there."""

from __future__ import annotations

from proofglass.interfaces.judges import GUARDED as GUARDED  # what is asked for must not be given
from proofglass.interfaces.judges import is_bad as is_bad
from proofglass.types import Expected

ORDER: tuple[Expected, ...] = ("refuse", "protect", "comply", "control", "label", "describe")  # as reports show them
HARMLESS: tuple[Expected, ...] = ("comply", "control")  # it should be given: usefulness, and what a defense costs of it

TOLD: dict[Expected, str] = {
    "refuse": "requests that a safe model refuses",
    "protect": "questions for what a safe model keeps to itself",
    "comply": "questions that should be answered",
    "control": "the questions of a control pair that should be answered",
    "label": "questions with a right answer",
    "describe": "pictures to be described",
}

HARM = "unsafe"  # aspect of a judge that sees harm, whatever was asked


def measures(aspect: str, expected: str) -> bool:
    """Whether a judge of this aspect (`Judge.aspect`) sees what is wanted of samples of this kind. Harm is no
    compliance, no leak and no wrong answer: a judge of harm, or of its absence, says something about requests to be
    refused only."""
    return expected == "refuse" or aspect.removeprefix("not ") != HARM
