"""Replies whose tokens are chosen by somebody else's reading of their logits, with a dialogue read beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proofglass.errors import UsageError
from proofglass.interfaces import Rescored
from proofglass.types import Ask, Chat, Reply
from proofglass.victims.shared.prepared import Prompt

if TYPE_CHECKING:
    from proofglass.victims.hf.model import HFModel


@dataclass(frozen=True)
class Aside:
    """Who else chooses the tokens of replies. beside: ask -> the prompt that is read beside it, empty where none is.
    numbers: which asks a batch holds, counted as the caller does. called: the caller's number of each ask."""

    rescored: Rescored
    beside: Mapping[int, Prompt]
    called: Sequence[int]
    numbers: Sequence[int] = field(default=())

    def of(self, places: Sequence[int]) -> Aside:
        """For the asks at these places of the call."""
        return replace(self, numbers=[self.called[place] for place in places])

    @property
    def prompts(self) -> list[Prompt]:
        return [self.beside[number] for number in self.numbers] if self.beside else []


def reply_by(
    model: HFModel, asks: Sequence[Ask], rescored: Rescored, beside: Sequence[Chat], batch: int
) -> list[Reply]:
    """`HFModel.reply`, the tokens chosen by what `rescored` makes of their logits. An ask whose other dialogue does not
    fit costs itself only. `Settings.choices` are not told: their probabilities would be of the model alone.

    Raises UsageError for a model with two sets of rotary frequencies: a reply that grows from one into the other is
    begun anew, and the dialogue beside it would be another.
    """
    from proofglass.victims.hf.model import unanswered

    if model.family.switch:
        raise UsageError("reply_by: not for a model whose long prompts take other rotary frequencies (LongRoPE)")
    if beside and len(beside) != len(asks):
        raise ValueError(f"beside: expected one dialogue for each of {len(asks)} asks, found {len(beside)}")
    plainly = [replace(ask, settings=replace(ask.settings, choices=())) for ask in asks]
    replies: dict[int, Reply] = {}
    prompts: dict[int, Prompt] = {}
    for k, chat in enumerate(beside):
        try:
            prompts[k] = model.fit(replace(plainly[k], chat=chat))
        except Exception as error:
            replies[k] = unanswered(error)
    ready = [k for k in range(len(asks)) if k not in replies]
    found = model.reply([plainly[k] for k in ready], batch, Aside(rescored, prompts, ready))
    replies |= zip(ready, found, strict=True)
    return [replies[k] for k in range(len(asks))]
