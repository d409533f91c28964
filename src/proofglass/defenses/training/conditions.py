"""Feedback in front of a model, in a form of its own: how it is written into a question, and known in what users write.

The channel is plain text, so what a user writes in its form would be obeyed as if it were ours; it is taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from proofglass.defenses.wording import around, check_slots, filled
from proofglass.types import Chat

RATING, CRITIQUE = "{rating}", "{critique}"
NESTED = 50  # conditions that are written into each other


@dataclass(frozen=True)
class Condition:
    """A form with a {rating} and, if wanted, a {critique}, and where it stands in a question. "": nothing stands there.

    Raises ValueError for a form without a rating, and for one that does not begin and end with words or signs of its
    own: it could not be told from what else is written.
    """

    form: str
    place: Literal["before", "behind"] = "before"

    def __post_init__(self) -> None:
        if not self.form:
            return
        check_slots(self.form, "condition", RATING, *([CRITIQUE] if CRITIQUE in self.form else []))
        if not (_signs(self._head) and _signs(self._tail)):
            raise ValueError(
                f"condition: expected words or signs before its first and behind its last slot, found {self.form!r:.80}"
            )

    @property
    def shows_critiques(self) -> bool:
        return CRITIQUE in self.form

    def placed(self, chat: Chat, rating: str, critique: str) -> Chat:
        """`chat` with this feedback in its last question, on a line of its own; nothing where the form is empty."""
        if not self.form:
            return chat
        told = filled(self.form, rating=rating, critique=critique)
        return around(chat, f"{told}\n", "") if self.place == "before" else around(chat, "", f"\n{told}")

    def taken_out(self, chat: Chat) -> Chat:
        """`chat` without what has this form in any turn of user or assistant; system prompts are not theirs."""
        if not self.form:
            return chat
        messages = (
            message
            if message.role == "system"
            else replace(message, parts=tuple(self._free(p) if isinstance(p, str) else p for p in message.parts))
            for message in chat.messages
        )
        return Chat(tuple(messages))

    def _free(self, text: str) -> str:
        """Everything from an opening of the form to the next end of it is cut, or the opening alone where no end
        follows, until there is no opening. Raises ValueError for a text that puts forms into each other without end."""
        for _ in range(NESTED):
            if self._opening.search(text) is None:
                return text
            text = self._cut(text)
        raise ValueError(f"chat: a condition is written into another one more than {NESTED} times; it is not asked")

    def _cut(self, text: str) -> str:
        kept, at, ends = [], 0, True
        while (found := self._opening.search(text, at)) is not None:
            end = self._end.search(text, found.end()) if ends else None
            ends = end is not None  # looked for once: a text of openings alone is not read again for each of them
            kept.append(text[at : found.start()])
            at = end.end() if end is not None else found.end()
        return " ".join([*kept, text[at:]])

    @property
    def _head(self) -> str:
        return min((self.form.partition(slot)[0] for slot in (RATING, CRITIQUE)), key=len)

    @property
    def _tail(self) -> str:
        return min((self.form.rpartition(slot)[2] for slot in (RATING, CRITIQUE)), key=len)

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        return _loosely(self._head)

    @cached_property
    def _end(self) -> re.Pattern[str]:
        return _loosely(self._tail)


def _signs(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def _loosely(text: str) -> re.Pattern[str]:
    """Its words and signs in this order, whatever their case and the blanks between them."""
    return re.compile(r"\s*".join(re.escape(each) for each in _signs(text)), re.IGNORECASE)
