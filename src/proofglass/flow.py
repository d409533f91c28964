"""Dialogues as generators, many of them advanced together: one batch per model and round.

A method that asks (Self-Moderation, a judge model, a multi-turn attack) is written as the paper writes it:
`reply = yield Ask(chat)`, or a list of asks for several at once. `drive` advances all dialogues in step and
sends each round as one batch per model, so n dialogues of k asks cost k batches of n, stacked defenses included.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proofglass.faults import stops_the_run
from proofglass.types import Ask, Cost, Reply, Unsent

T = TypeVar("T")
Flow = Generator["Ask | list[Ask]", Any, T]
Answer = Callable[[Sequence[Ask]], list[Reply]]


@dataclass(frozen=True)
class Driven(Generic[T]):
    """End of one dialogue: its value, or the error that broke it; and the cost of all its asks.

    unsent: why an ask of it was never sent (a budget is spent), else empty. It stopped there, without a value: whatever
    it would have made of that is no result.
    """

    value: T | None
    cost: Cost
    error: BaseException | None = None
    unsent: str = ""

    @property
    def failure(self) -> str:
        """Why there is no value, empty if there is one."""
        return f"{type(self.error).__name__}: {self.error}" if self.error is not None else self.unsent


def drive(flows: Sequence[Flow[T]], answer: Answer, models: Mapping[str, Answer] | None = None) -> list[Driven[T]]:
    """Advance all `flows` to their end; one call of `answer` (or of a model in `models`) per round.

    Returns one `Driven` per flow, in order. A flow that raises costs itself only: its `failure` says why. Ctrl-C and
    faults of the machine (`faults.stops_the_run`) go on up. Raises KeyError if a flow asks a model that `models` lacks,
    ValueError if a model answers another number of asks than it was given: both are errors of the program, not of a
    sample.
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
        except BaseException as error:
            if stops_the_run(error):
                raise
            ends[k] = Driven(None, costs[k], error)

    for k in range(len(flows)):
        step(k, None)
    while waiting:
        round_, waiting = waiting, {}
        replies = _answer_round(round_, answer, models)
        for k, asked in round_.items():
            got = replies[k]
            for reply in got:
                costs[k] = costs[k] + reply.cost
            unsent = next((reply.reason for reply in got if isinstance(reply, Unsent)), "")
            if unsent:
                with suppress(RuntimeError):  # it may refuse to be closed
                    flows[k].close()
                ends[k] = Driven(None, costs[k], unsent=unsent)
            else:
                step(k, got if isinstance(asked, list) else got[0])
    return [end for end in ends if end is not None]


def begun(make: Callable[[], Flow[T]]) -> Flow[T]:
    """The dialogue that `make` gives, made when it is first advanced: what making it raises costs itself only, too."""
    return (yield from make())


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
