"""Is the short answer right? Yes, no, a number in figures or words, or the letter of an option (Tu et al. 2023)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.evaluation.judges.references import references_of
from proofglass.evaluation.judges.words import holds, words
from proofglass.interfaces import Judge, Paper
from proofglass.types import Attempt, Score

# What counts as saying an answer; any other answer is said by itself.
FORMS: Mapping[str, tuple[str, ...]] = {
    "yes": ("yes", "yeah"),
    "no": ("no", "nope"),
    "0": ("0", "none", "no", "zero"),
    "1": ("1", "one", "single"),
    "2": ("2", "two"),
    "3": ("3", "three"),
    "4": ("4", "four"),
    "5": ("5", "five"),
    "6": ("6", "six"),
    "7": ("7", "seven"),
    "8": ("8", "eight"),
    "9": ("9", "nine"),
    "10": ("10", "ten"),
}


@dataclass(frozen=True)
class AnswerMatch(Judge):
    """1 if the reply says one of the sample's references, 0 if not; without references unjudged.

    Both texts lose case, punctuation and extra blanks; a number is the same in figures and in words, and is never found
    inside another one ("2" in "2.5", "2,000", "-2": see `judges/words.py`); yes, no and numbers to ten have further
    forms.

    mode: "words": a form stands in the reply as whole words; "exact": it is the whole reply; "substring": it is
    anywhere, so that "none" says one and "2.5" says 2 (the authors' code). In every mode the letter in
    `sample.meta["option"]` is right as the whole reply. An error, an empty, wholly filtered or blocked reply is
    unjudged. Labels: right, wrong.

    Source: OODCV-VQA's matching. Departures from the authors' code: whole words by default; "10" is not also 1; replies
    to counterfactual questions are not first cut to the clause that says what would be, so a reply that repeats the
    old number before it gives the new one is right for either.
    """

    name = "answer-match"
    version = 4  # numbers as whole numbers, in figures or words; "point five", "-$2"
    column = "right answers"
    says = "good"
    paper = Paper("Tu et al. 2023", "How Many Unicorns Are in This Image?", "arXiv:2311.16101")

    mode: Literal["words", "exact", "substring"] = "words"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> Score:
        if not attempt.reply.is_said:
            return Score.unjudged(self.name, f"the reply is {attempt.reply.outcome}")
        reply = attempt.reply.text
        said = words(reply)
        if not said:
            return Score.unjudged(self.name, "the reply is empty")
        references = references_of(attempt.sample)
        if isinstance(references, str):
            return Score.unjudged(self.name, references)
        answers = [answer for answer in references if words(answer)]
        if not answers:
            return Score.unjudged(self.name, "the sample has no reference")
        option = words(str(attempt.sample.meta.get("option", "")))
        forms = [form for answer in answers for form in FORMS.get(" ".join(words(answer)), (answer,))]
        right = said == option or any(self._says(reply, said, form) for form in forms)
        return Score(self.name, float(right), "right" if right else "wrong")

    def _says(self, reply: str, said: list[str], form: str) -> bool:
        if self.mode == "substring":
            return folded(form) in folded(reply)
        return said == words(form) if self.mode == "exact" else holds(said, words(form))


def folded(text: str) -> str:
    """NFKC, lower case, punctuation as blanks, single blanks."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(re.sub(r"[^\w']+", " ", text).split())
