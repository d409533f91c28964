"""Reading a judge model's answer, strictly: a closed form, exactly once, or it is unread.

An answer is data as well. It is read by the JSON reader and by equality of words, never run, and its size and depth
are limited first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from proofglass.evaluation.judges.llm.rubric import CODE, Question, Rubric, Said
from proofglass.types import Reply

MOST = 10_000  # characters of an answer that are looked at
SHARE = 0.5  # what two words together must have of the first token's probability, as for guards
_WHOLE = 1.001
_GRADE = re.compile(r"\[\[([^\[\]]*)\]\]")
_NUMBER = re.compile(r"(?<![\w.,-])\d{1,4}(?:\.\d{1,4})?(?!\w|[.,]\d)", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """said: the answers by name, empty where nothing could be read; why not: in a few words."""

    said: Said = field(default_factory=dict)
    why_not: str = ""


class _Unread(Exception):
    """Its text says why."""


def read(rubric: Rubric, reply: Reply, code: str) -> Reading:
    """The answers in `reply`, or why there are none. code: what an answer to this very ask holds, where its form has
    one."""
    text = reply.text.strip()
    try:
        if not text:
            raise _Unread("empty")
        if len(text) > MOST:
            raise _Unread(f"longer than {MOST} characters")
        if rubric.form == "word":
            return Reading(_word(rubric.questions[-1], text, reply.finish == "length"))
        if rubric.form == "grade":
            return Reading(_grade(rubric.questions[-1], text, code, reply.finish == "length"))
        return Reading(_object(rubric.questions, text, code))
    except _Unread as why:
        cut = ", cut at the token limit" if reply.finish == "length" and rubric.form != "word" else ""
        return Reading(why_not=f"{why}{cut}")


def shares(question: Question, choices: Mapping[str, float]) -> Reading:
    """What each of a question's two words has of the probability of both, by what a model tells of the token that its
    answer begins with."""
    words = question.words
    found = [choices.get(word) for word in words]
    if any(chance is None for chance in found):
        return Reading(why_not=f"the model tells no probability of {' and '.join(words)}")
    chances = [float(chance) for chance in found if _is_chance(chance)]
    both = sum(chances)
    if len(chances) < len(found) or both > _WHOLE:  # more than the whole: both begin with one token
        told = " and ".join(str(chance)[:20] for chance in found)
        return Reading(why_not=f"probabilities that are none of two words: {told}")
    if both < SHARE:
        return Reading(why_not=f"it begins with neither {' nor '.join(words)} ({both:.3f} of 1)")
    return Reading({word: chance / both for word, chance in zip(words, chances, strict=True)})


def _is_chance(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1  # NaN is not


def _word(question: Question, text: str, is_cut: bool) -> Said:
    said = text.casefold()
    for word in question.words:
        if said == word.casefold():
            longer = [other for other in question.words if other.casefold().startswith(said) and other != word]
            if is_cut and longer:
                raise _Unread(f"cut at the token limit, where {word} may yet become {longer[0]}")
            return {question.name: word}
    raise _Unread(f"not one of {', '.join(question.words)}")


def _grade(question: Question, text: str, code: str, is_cut: bool) -> Said:
    """[[n]], the same if it stands more than once; else the first number in range. Source: RTVLM's protocol. Of an
    answer that was cut [[n]] alone counts: any other number may stand before the grade."""
    if text.count(code) != 1:
        raise _Unread("without the code of this ask" if code not in text else "the code stands twice")
    after = text.partition(code)[2]
    low, high = question.numbers or (0, 0)
    marks = {mark.strip() for mark in _GRADE.findall(after)}
    if len(marks) > 1:
        raise _Unread("two grades")
    if marks:
        (mark,) = marks
        if not _NUMBER.fullmatch(mark) or not low <= float(mark) <= high:
            raise _Unread(f"its grade is no number from {low} to {high}")
        return {question.name: float(mark)}
    if is_cut:
        raise _Unread("no grade in brackets")
    for number in _NUMBER.findall(after):
        if low <= float(number) <= high:
            return {question.name: float(number)}
    raise _Unread(f"no number from {low} to {high}")


def _object(questions: tuple[Question, ...], text: str, code: str) -> Said:
    try:
        found = json.loads(_unwrapped(text), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # a huge number is a ValueError too
        raise _Unread("not one JSON object") from error
    if not isinstance(found, dict):
        raise _Unread("not one JSON object")
    wanted = [CODE, *(question.name for question in questions)]
    if list(found) != wanted:
        raise _Unread(
            f"its keys are not {', '.join(wanted)}" + (", in this order" if set(found) == set(wanted) else "")
        )
    if found[CODE] != code:
        raise _Unread("without the code of this ask")
    return {question.name: _answer(question, found[question.name]) for question in questions}


def _unwrapped(text: str) -> str:
    """What stands in one block of code, else `text` itself."""
    lines = text.split("\n")
    is_block = len(lines) > 2 and lines[0].strip().casefold() in ("```", "```json") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if is_block else text


def _answer(question: Question, value: object) -> str | float:
    if question.numbers:
        low, high = question.numbers
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise _Unread(f"{question.name} is no whole number from {low} to {high}")
    if isinstance(value, bool) and {"true", "false"} <= set(question.words):
        return "true" if value else "false"
    if isinstance(value, str) and (not question.words or value in question.words):
        return value
    raise _Unread(f"{question.name} is none of {', '.join(question.words)}" if question.words else
                  f"{question.name} is no text")  # fmt: skip


def _once(pairs: list[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
