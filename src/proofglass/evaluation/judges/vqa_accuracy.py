"""How many of ten people would agree with the answer? (Antol et al. 2015)"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.evaluation.judges.references import held_against, right_or
from proofglass.evaluation.judges.words import words
from proofglass.evaluation.similarity.vqa import ARTICLES, CONTRACTIONS, PEOPLE, accuracy, official_accuracy
from proofglass.interfaces import Judge, Paper
from proofglass.types import Attempt, Score

_WORD = re.compile(r"[\w']+")


@dataclass(frozen=True)
class VqaAccuracy(Judge):
    """VQA accuracy of the reply: the mean over the ten sets of nine human answers of min(1, answers equal to it / 3).

    The sample's references are the ten answers; with another number it is unjudged. An empty reply and a refusal are
    answers that nobody gave; an error, a wholly filtered or blocked reply is unjudged. Labels: right (1), wrong (0),
    disputed. `wrong-answer` with metric "vqa" is 1 less this, by rules "words" without contractions.

    rules: how texts are read before they are compared. "words": as the other judges of short answers read them
    (`judges/words.py`: any number in figures or words), without articles; "official": as the evaluation code of VQA
    cleans them, number words to ten and its oddities included (`similarity/vqa.py`). contractions: whether "dont" is
    "don't", by the table of that code; None: as the rules have it, which is to say with "official" alone.
    """

    name = "vqa-accuracy"
    column = "VQA accuracy"
    says = "good"
    paper = Paper("Antol et al. 2015", "VQA: Visual Question Answering", "arXiv:1505.00468")

    rules: Literal["words", "official"] = "words"
    contractions: bool | None = None

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        references, reply = held_against(attempt), attempt.reply.text
        if isinstance(references, str):
            return Score.unjudged(self.name, references)
        if self.rules == "words":
            references = answers(references)
        if len(references) != PEOPLE:
            return Score.unjudged(self.name, f"VQA accuracy needs {PEOPLE} references, found {len(references)}")
        if self.rules == "official":
            value = official_accuracy(reply, references, contractions=self.contractions is not False)
        else:
            value = agreement(reply, references, contractions=self.contractions is True)
        return Score(self.name, value, right_or(value, "disputed"))


def answers(references: Sequence[str]) -> tuple[str, ...]:
    """Those that have a word."""
    return tuple(text for text in references if words(text))


def agreement(reply: str, answers: Sequence[str], *, contractions: bool = False) -> float:
    """VQA accuracy of a reply, read by the rules "words"."""
    return accuracy(_plain(reply, contractions), [_plain(answer, contractions) for answer in answers])


def _plain(text: str, contractions: bool) -> list[str]:
    if contractions:
        text = _WORD.sub(lambda word: CONTRACTIONS.get(word[0].lower(), word[0]), text.replace("’", "'"))
    tokens = words(text)
    return [token for token in tokens if token not in ARTICLES] or tokens  # "the" is not the empty answer
