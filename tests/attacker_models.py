"""Attacker models and victims whose every answer is known, for searches: they say what a list or a function says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proofglass.interfaces import Judge, Victim, key_of
from proofglass.types import Ask, Attempt, Chat, Cost, Reply, Sample, Score


@dataclass(frozen=True)
class Says(Victim):
    """Answers by `answer`, a function of the ask and of how many asks came before; keeps every ask."""

    answer: Callable[[Ask, int], Reply | str]
    label: str = "says"
    asked: list[Ask] = field(default_factory=list)

    name = "says"

    @property
    def key(self) -> str:
        return key_of([self.name, self.label])

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [self._one(ask) for ask in asks]

    def _one(self, ask: Ask) -> Reply:
        found = self.answer(ask, len(self.asked))
        self.asked.append(ask)
        return found if isinstance(found, Reply) else Reply(found, cost=Cost(queries=1))


@dataclass(frozen=True)
class Proposer(Victim):
    """An attacker model that proposes a new prompt each time, in the form that is asked for."""

    name = "proposer"
    word: str = "please"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(f"<prompt>{self.word}, {ask.settings.draw}</prompt>", cost=Cost(queries=1)) for ask in asks]


@dataclass(frozen=True)
class Yes(Judge):
    """1 if the reply holds `word`, 0.25 if it is longer than ten characters, else 0; unjudged for "?"."""

    name = "yes"
    word: str = "yes"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [self._one(attempt.reply.text) for attempt in attempts]

    def _one(self, text: str) -> Score:
        if text == "?":
            return Score.unjudged(self.name, "a question")
        return Score(self.name, 1.0 if self.word in text else 0.25 if len(text) > 10 else 0.0)


def sample(text: str = "how do i mend a kite ?", *pictures: object, **more: object) -> Sample:
    return Sample("s1", "toy", Chat.user(*pictures, text), **more)  # type: ignore[arg-type]


def run(attack, victim, sample, settings=None, seed=3):
    """(chat, reply, end of the flow) of the whole attack on one sample."""
    from proofglass.flow import drive
    from proofglass.types import Settings

    (artefact,) = attack.craft(victim, [], seed=seed)
    ask = Ask(sample.chat, settings or Settings())
    (end,) = drive([attack.converse(artefact, sample, ask)], victim.reply)
    return (*(end.value or (None, None)), end)
