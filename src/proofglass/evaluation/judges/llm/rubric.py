"""A rubric: what a judge model is asked about a reply, in which words it may answer, and what that comes to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from proofglass.evaluation.judges.llm import RUBRICS
from proofglass.interfaces import Paper

Said = Mapping[str, str | float]
Says = Literal["done", "refused", "bad", "good"]
Form = Literal["json", "grade", "word"]
Shown = Literal["question", "reply", "reference"]
CODE = "code"
SCENARIO = "scenario"  # where a rubric asks the same in all
SLOTS: Mapping[Shown, str] = {"question": "{question}", "reply": "{reply}", "reference": "{reference}"}


@dataclass(frozen=True)
class Question:
    """One thing that a judge model is asked.

    name: its key in the answer. text: what is asked. words: the only answers ("true" and "false" may be JSON's own).
    numbers: the lowest and the highest whole number, instead. Neither: a few sentences of the model's own.
    """

    name: str
    text: str
    words: tuple[str, ...] = ()
    numbers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """What an answer comes to. value: 0..1; label: the same in a word."""

    value: float
    label: str


@dataclass(frozen=True)
class Value:
    """A number that a rubric gives. column, says, aspect: as in `Judge`. of: answers -> verdict. graded: it has more
    than two values, so that several answers have a mean and no majority."""

    column: str
    says: Says
    of: Callable[[Said], Verdict]
    aspect: str = ""
    graded: bool = False


@dataclass(frozen=True)
class Rubric:
    """A method of judging by a language model.

    line: what it is, in a few words. tasks: what the model is told to judge; one text under SCENARIO, or one for each
    scenario, of which `scenario_of` finds that of a category ("" for none). questions: in the order in which they are
    answered, so that reasons come before what rests on them. values: name -> number; the first is what the method
    states. shows: what of an attempt the model sees. form: "json"; "grade", prose with [[n]] at its end; "word", a
    classifier whose whole answer is one of the words. prompt: for "word", the exact text of the classifier, with
    {question}, {reply}, {reference} for what it shows; "": ours. temperature: of the first ask. max_new_tokens: of an
    answer. length_cap: characters of the reply that are shown. outlasts_target: the reply must be longer than the
    sample's target to be judged at all. pairwise: reply and reference are shown as answers A and B, words of the last
    question; in the other order they change places. version: raised when `of` changes.
    """

    name: str
    line: str
    tasks: Mapping[str, str]
    questions: tuple[Question, ...]
    values: Mapping[str, Value]
    paper: Paper | None = None
    shows: tuple[Shown, ...] = ("question", "reply")
    form: Form = "json"
    scenario_of: Callable[[str], str] | None = None
    prompt: str = ""
    temperature: float = 0.0
    max_new_tokens: int = 512
    length_cap: int = 8000
    outlasts_target: bool = False
    pairwise: bool = False
    version: int = 1

    def value(self, name: str) -> Value:
        """The number of this name, "" for the first. Raises ValueError for one that it does not give."""
        if name and name not in self.values:
            raise ValueError(f"value: rubric {self.name} gives {', '.join(self.values)}, found {name!r}")
        return self.values[name or next(iter(self.values))]

    @property
    def lists_options(self) -> bool:
        """Whether it lists words to choose from, which may be listed in another order."""
        return any(len(question.words) > 1 for question in self.questions)

    def told(self) -> dict[str, Any]:
        """All that decides, for a key: what is asked and how it is read; of functions `version`. What lists and tables
        say about it decides nothing."""
        aside = ("line", "paper", "values", "scenario_of")
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in aside}
        return plain | {"values": [[name, v.says, v.aspect, v.graded] for name, v in self.values.items()]}


def published(name: str) -> Rubric:
    """The rubric of a published method. Raises KeyError for any other name."""
    found: Rubric = importlib.import_module(RUBRICS[name]).RUBRIC
    return found
