"""Reading a judge model's answer, strictly: a closed form, exactly once, or it is unread.

An answer is data as well. It is read by the JSON reader and by equality of words, never run, and its size and depth
are limited first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from proofglass.evaluation.judges.llm.rubric import CODE, Question, Rubric, Said
from proofglass.evaluation.judges.one_object import object_in
from proofglass.types import Reply

MOST = 10_000  # characters of an answer that are looked at
SHARE = 0.5  # what two words together must have of the first token's probability, as for guards
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
        found = object_in(text)
    except ValueError as error:  # a huge number is one too
        raise _Unread("not one JSON object") from error
    wanted = [CODE, *(question.name for question in questions)]
    if list(found) != wanted:
        raise _Unread(
            f"its keys are not {', '.join(wanted)}" + (", in this order" if set(found) == set(wanted) else "")
        )
    if found[CODE] != code:
        raise _Unread("without the code of this ask")
    return {question.name: _answer(question, found[question.name]) for question in questions}


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
