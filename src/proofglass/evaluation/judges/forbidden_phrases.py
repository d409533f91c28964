"""Does a text hold one of some phrases? A list of one's own as a wall: words that must not come in, or go out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.evaluation.judges.phrases import normalise
from proofglass.interfaces import Judge, key_of
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class ForbiddenPhrases(Judge):
    """1 if the reply holds one of the phrases, 0 if it holds none; whole words, in any case.

    Texts and phrases are compared in lower case, NFKC, with single blanks and straight quotes. Whoever spells a phrase
    otherwise passes: it is a fence, no guard.

    phrases: what must not be said. phrases_file: a file with one a line ("#" starts a comment), beside them.

    An error, an empty, wholly filtered or blocked reply is unjudged.
    """

    name = "forbidden-phrases"
    column = "forbidden phrase"
    says = "bad"

    phrases: tuple[str, ...] = ()
    phrases_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.phrases and self.phrases_file is None:
            raise ValueError("phrases: expected phrases, or a phrases_file")
        if not all(normalise(phrase) for phrase in self.phrases):
            raise ValueError(f"phrases: expected no empty one, found {self.phrases}")

    @property
    def key(self) -> str:
        """Holds the phrases themselves, wherever they stand."""
        return key_of(
            [super().key, hashlib.sha256("\n".join(self._normal()).encode("utf-8", "surrogatepass")).hexdigest()]
        )

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        phrases = self._normal()
        return [self._one(attempt, phrases) for attempt in attempts]

    def _one(self, attempt: Attempt, phrases: Sequence[str]) -> Score:
        reply = attempt.reply
        if not reply.is_said:
            return Score.unjudged(self.name, f"the reply is {reply.outcome}")
        if not reply.text.strip():
            return Score.unjudged(self.name, "the reply is empty")
        text = normalise(reply.text)
        found = next((each for each in phrases if re.search(rf"(?<!\w){re.escape(each)}(?!\w)", text)), "")
        return Score(self.name, float(bool(found)), "forbidden" if found else "allowed", found and f"phrase: {found}")

    def _normal(self) -> tuple[str, ...]:
        own = tuple(map(normalise, self.phrases))
        if self.phrases_file is None:
            return own
        digest_of(self.phrases_file)  # says what is wrong with a file that is not there
        try:
            lines = self.phrases_file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.name}.phrases_file: cannot read {self.phrases_file}: {error}") from error
        found = tuple(filter(None, (normalise(line.partition("#")[0].strip()) for line in lines)))
        if not found:
            raise UsageError(f"{self.name}.phrases_file: {self.phrases_file} holds no phrase")
        return own + found
