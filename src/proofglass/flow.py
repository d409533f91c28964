"""Dialogues as generators, many of them advanced together: one batch per model and round.

A method that asks (Self-Moderation, a judge model, a multi-turn attack) is written as the paper writes it:
`reply = yield Ask(chat)`, or a list of asks for several at once. `drive` advances all dialogues in step and
sends each round as one batch per model, so n dialogues of k asks cost k batches of n, stacked defenses included.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proofglass.types import Ask, Cost, Reply

T = TypeVar("T")
Flow = Generator["Ask | list[Ask]", Any, T]
Answer = Callable[[Sequence[Ask]], list[Reply]]


@dataclass(frozen=True)
class Driven(Generic[T]):
    """End of one dialogue: its value, or the reason why it broke; and the cost of all its asks."""

    value: T | None
    cost: Cost
    failure: str = ""


def drive(flows: Sequence[Flow[T]], answer: Answer, models: Mapping[str, Answer] | None = None) -> list[Driven[T]]:
    """Advance all `flows` to their end; one call of `answer` (or of a model in `models`) per round.

    Returns one `Driven` per flow, in order. A flow that raises costs itself only: its `failure` says why.
    Raises KeyError if a flow asks a model that `models` lacks, ValueError if a model answers another number of
    asks than it was given: both are errors of the program, not of a sample.
    """
    models = {} if models is None else models
    ends: list[Driven[T] | None] = [None] * len(flows)
    costs = [Cost() for _ in flows]
    waiting: dict[int, Ask | list[Ask]] = {}

    def step(k: int, send: Any) -> None:
        try:
            waiting[k] = flows[k].send(send)
        except StopIteration as end:
            ends[k] = Driven(end.value, costs[k])
        except Exception as error:
            ends[k] = Driven(None, costs[k], f"{type(error).__name__}: {error}")

    for k in range(len(flows)):
        step(k, None)
    while waiting:
        round_, waiting = waiting, {}
        replies = _answer_round(round_, answer, models)
        for k, asked in round_.items():
            got = replies[k]
            for reply in got:
                costs[k] = costs[k] + reply.cost
            step(k, got if isinstance(asked, list) else got[0])
    return [end for end in ends if end is not None]


def _answer_round(
    round_: Mapping[int, Ask | list[Ask]], answer: Answer, models: Mapping[str, Answer]
) -> dict[int, list[Reply]]:
    """One batch per model, in the order of the flows; replies sorted back to their flow."""
    batches: dict[str | None, list[tuple[int, int, Ask]]] = {}
    replies: dict[int, list[Reply]] = {}
    for k, asked in round_.items():
        asks = asked if isinstance(asked, list) else [asked]
        replies[k] = [Reply()] * len(asks)
        for place, ask in enumerate(asks):
            batches.setdefault(ask.to, []).append((k, place, ask))
    for name, batch in batches.items():
        model = answer if name is None else models[name]
        got = model([ask for _, _, ask in batch])
        if len(got) != len(batch):
            raise ValueError(f"{name or 'victim'}: {len(batch)} asks, {len(got)} replies")
        for (k, place, _), reply in zip(batch, got, strict=True):
            replies[k][place] = reply
    return replies
