"""Dialogues as generators, many of them advanced together: one batch per model and round.

A method that asks (Self-Moderation, a judge model, a multi-turn attack) is written as the paper writes it:
`reply = yield Ask(chat)`, `yield ask.on(chat, to=self.helper)` for another model, or a list of asks for several at
once. `drive` advances all dialogues in step and sends each round as one batch per model, so n dialogues of k asks cost
k batches of n, stacked defenses included. What helpers cost is counted apart: an attacker's own calls are no queries of
the victim.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from proofglass.faults import stops_the_run
from proofglass.types import Ask, Cost, Helper, Reply, Unsent

T = TypeVar("T")
Flow = Generator["Ask | list[Ask]", Any, T]
Answer = Callable[[Sequence[Ask]], list[Reply]]
AnswerOf = Callable[[Helper], Answer]


@dataclass(frozen=True)
class Driven(Generic[T]):
    """End of one dialogue: its value, or the error that broke it.

    cost: of all that it asked the victim. unsent: why an ask of it was never sent (a budget is spent), else empty. It
    stopped there, without a value: whatever it would have made of that is no result. helpers: key of each helper that
    it, or a defense around the victim, asked -> what that cost.
    """

    value: T | None
    cost: Cost
    error: BaseException | None = None
    unsent: str = ""
    helpers: Mapping[str, Cost] = field(default_factory=dict)

    @property
    def failure(self) -> str:
        """Why there is no value, empty if there is one."""
        return f"{type(self.error).__name__}: {self.error}" if self.error is not None else self.unsent


def asked_directly(helper: Helper) -> Answer:
    """The answers of a helper without a journal around it: the default of `drive`."""
    return helper.reply


def drive(flows: Sequence[Flow[T]], answer: Answer, answer_of: AnswerOf | None = None) -> list[Driven[T]]:
    """Advance all `flows` to their end; one call of `answer`, and one per helper that is asked, each round.

    answer: of the victim. answer_of: gives the answers of a helper (None: asks it directly); helpers with the same key
    share a batch. Returns one `Driven` per flow, in order. A flow that raises costs itself only: its `failure` says
    why. Ctrl-C and faults of the machine (`faults.stops_the_run`) go on up. Raises ValueError if a model answers
    another number of asks than it was given: an error of the program, not of a sample.
    """
    answer_of = answer_of or asked_directly
    ends: list[Driven[T] | None] = [None] * len(flows)
    spent = [_Spent() for _ in flows]
    waiting: dict[int, Ask | list[Ask]] = {}

    def step(k: int, send: Any) -> None:
        try:
            waiting[k] = flows[k].send(send)
        except StopIteration as end:
            ends[k] = Driven(end.value, spent[k].cost, helpers=spent[k].helpers)
        except BaseException as error:
            if stops_the_run(error):
                raise
            ends[k] = Driven(None, spent[k].cost, error, helpers=spent[k].helpers)

    for k in range(len(flows)):
        step(k, None)
    while waiting:
        round_, waiting = waiting, {}
        replies = _answer_round(round_, answer, answer_of, spent)
        for k, asked in round_.items():
            got = replies[k]
            unsent = next((reply.reason for reply in got if isinstance(reply, Unsent)), "")
            if unsent:
                with suppress(RuntimeError):  # it may refuse to be closed
                    flows[k].close()
                ends[k] = Driven(None, spent[k].cost, unsent=unsent, helpers=spent[k].helpers)
            else:
                step(k, got if isinstance(asked, list) else got[0])
    return [end for end in ends if end is not None]


def begun(make: Callable[[], Flow[T]]) -> Flow[T]:
    """The dialogue that `make` gives, made when it is first advanced: what making it raises costs itself only, too."""
    return (yield from make())


def summed(costs: Iterable[Mapping[str, Cost]]) -> dict[str, Cost]:
    """Costs by model, added up."""
    total: dict[str, Cost] = {}
    for each in costs:
        for key, cost in each.items():
            total[key] = total.get(key, Cost()) + cost
    return total


class _Spent:
    """What one dialogue has cost so far: of the victim, and by helper."""

    def __init__(self) -> None:
        self.cost, self.helpers = Cost(), dict[str, Cost]()

    def add(self, helper: str, reply: Reply) -> None:
        """helper: key of the helper that replied, "" for the victim. What its defenses asked of helpers comes too."""
        if helper:
            self.helpers = summed([self.helpers, {helper: reply.cost}, reply.helpers])
        else:
            self.cost = self.cost + reply.cost
            self.helpers = summed([self.helpers, reply.helpers]) if reply.helpers else self.helpers


def _answer_round(
    round_: Mapping[int, Ask | list[Ask]], answer: Answer, answer_of: AnswerOf, spent: Sequence[_Spent]
) -> dict[int, list[Reply]]:
    """One batch per model, in the order of the flows; replies sorted back to their flow."""
    batches: dict[str, list[tuple[int, int, Ask]]] = {}
    replies: dict[int, list[Reply]] = {}
    for k, asked in round_.items():
        asks = asked if isinstance(asked, list) else [asked]
        replies[k] = [Reply()] * len(asks)
        for place, ask in enumerate(asks):
            batches.setdefault("" if ask.to is None else ask.to.key, []).append((k, place, ask))
    for key, batch in batches.items():
        to, asks = batch[0][2].to, [ask for _, _, ask in batch]
        # Whoever is asked is the victim of that ask: a helper behind a defense would else ask itself without end.
        got = answer(asks) if to is None else answer_of(to)([replace(ask, to=None) for ask in asks])
        if len(got) != len(batch):
            raise ValueError(f"{getattr(to, 'name', key) or 'victim'}: {len(batch)} asks, {len(got)} replies")
        for (k, place, _), reply in zip(batch, got, strict=True):
            replies[k][place] = reply
            spent[k].add(key, reply)
    return replies
