"""Several attacks as one: `figstep + prefix-injection`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from proofglass.errors import ImageError, is_environment
from proofglass.flow import Flow
from proofglass.interfaces.attacks import Attack, Opens, Scope
from proofglass.interfaces.victims import Victim
from proofglass.types import Artefact, Ask, Budget, Chat, Cost, Reply, Sample


@dataclass(frozen=True)
class Composed(Attack):
    """Attacks one after the other: crafted in order, applied in order.

    Each member is crafted on samples whose chats those before it have changed, and changes what they made: a text
    attack behind a picture attack is crafted with that picture in the dialogue. A member that makes a chat of its own
    (FigStep does) keeps nothing of what stood before it, so it belongs in front. Where only some members are crafted
    for each sample, the others are crafted first, once, on the crafting split (`Attack.shared`). An ask of a member
    with a dialogue of its own passes all members behind it. What crafting may spend is shared equally among the members
    that spend: a composition gets no more than one attack does.

    members: the attacks, in the order in which they change a chat. spenders: among how many the budget is shared; None:
    the members that spend.
    """

    members: tuple[Attack, ...] = ()
    spenders: int | None = None

    name = "composed"

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("members: expected at least one attack, found none")
        object.__setattr__(self, "name", " + ".join(member.name for member in self.members))

    @property
    def threat(self) -> str:
        """Of the strongest member: a user writes all that a third party could."""
        return "user" if any(member.threat == "user" for member in self.members) else self.members[0].threat

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part for member in self.members for part in member.changes))

    @property
    def opens(self) -> Opens:
        return max((member.opens for member in self.members), key=get_args(Opens).index)

    @property
    def looks_through(self) -> str:
        return "; ".join(dict.fromkeys(filter(None, (member.looks_through for member in self.members))))

    @property
    def scope(self) -> Scope:
        scopes = {member.scope for member in self.members}
        return "sample" if "sample" in scopes else "universal" if "universal" in scopes else "none"

    @property
    def queries(self) -> int:
        """The product of what the members ask, where each of them says."""
        product = 1
        for member in self.members:
            product *= member.queries
        return product

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need for member in self.members for need in member.needs))

    def shared(self) -> Attack | None:
        """The members that are crafted once, where others are crafted for each sample."""
        universal = tuple(member for member in self.members if member.scope == "universal")
        return Composed(universal, self._spenders) if universal and self.scope == "sample" else None

    def after(self, artefact: Artefact) -> Attack:
        parts = iter(artefact.parts)
        return replace(
            self,
            members=tuple(_Ready(m, next(parts)) if m.scope == "universal" else m for m in self.members),
            spenders=self._spenders,
        )

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        each = self._share_of(budget)
        parts: dict[str | None, list[Artefact]] = {sample.id: [] for sample in samples} or {None: []}
        shown = list(samples)
        for place, member in enumerate(self.members):
            found = list(member.craft(victim, shown, seed=seed, budget=each))
            serves = {artefact.sample_id: artefact for artefact in found}
            shown = [sample for sample in shown if sample.id in serves or None in serves]
            for key in [key for key in parts if key not in serves and None not in serves]:
                del parts[key]  # nothing was crafted for this sample
            for key, own in parts.items():
                own.append(serves.get(key) or serves[None])
            behind = self.members[place + 1 :]
            if any(later.scope != "none" for later in behind):
                looks = any(later.opens != "nothing" for later in behind)
                shown = [self._changed(member, parts[sample.id][-1], sample, looks) for sample in shown]
        if self.scope == "sample":
            for sample_id, own in parts.items():
                yield self._joined(sample_id, own)
        else:
            yield self._joined(None, next(iter(parts.values())))

    def _changed(self, member: Attack, part: Artefact, sample: Sample, looks: bool) -> Sample:
        """As the members behind see it. One that this member cannot change fails in its own dialogue, with the reason,
        and takes no other with it."""
        try:
            return sample.changed(member.apply(part, sample))
        except (ValueError, ImageError) as error:
            if is_environment(error):
                raise
            if self.scope == "sample" or not looks:  # where nobody behind looks inside, the wordings are all there is
                return sample
            raise

    def _share_of(self, budget: Budget | None) -> Budget | None:
        if budget is None or self._spenders < 2:
            return budget
        return replace(budget, amount=budget.amount / self._spenders)

    @property
    def _spenders(self) -> int:
        if self.spenders is not None:
            return self.spenders
        return sum(member.scope != "none" and member.opens != "nothing" for member in self.members)

    def _joined(self, sample_id: str | None, parts: Sequence[Artefact]) -> Artefact:
        spent = [(m, p) for m, p in zip(self.members, parts, strict=True) if not isinstance(m, _Ready)]
        return Artefact(
            sample_id,
            images=tuple(image for part in parts for image in part.images),
            texts=tuple(text for part in parts for text in part.texts),
            clean=next((part.clean for part in parts if part.clean), None),
            crafted_on=next((part.crafted_on for part in parts if part.crafted_on), ""),
            cost=sum((part.cost for _, part in spent), Cost()),
            trace=_traces(spent),
            meta={"notes": [note for part in parts for note in part.meta.get("notes", ())]},
            parts=tuple(parts),
        )

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        for member, part in self._served(artefact):
            sample = sample.changed(member.apply(part, sample))
        return sample.chat

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        return (yield from _through(self._served(artefact), sample, ask))

    def _served(self, artefact: Artefact) -> list[tuple[Attack, Artefact]]:
        """Each member with its part; with the whole where it has none (a plan's stand-in)."""
        return list(zip(self.members, artefact.parts or (artefact,) * len(self.members), strict=True))


@dataclass(frozen=True)
class _Ready(Attack):
    """An attack that is crafted already.

    attack: which. artefact: what was crafted.
    """

    attack: Attack
    artefact: Artefact

    name = "ready"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.attack.name)

    @property
    def key(self) -> str:
        """That of the attack: what it crafted follows from it."""
        return self.attack.key

    @property
    def changes(self) -> tuple[str, ...]:
        return self.attack.changes

    @property
    def opens(self) -> Opens:
        return self.attack.opens

    @property
    def scope(self) -> Scope:
        return "none"

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        yield self.artefact

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return self.attack.apply(artefact, sample)

    def converse(self, artefact: Artefact, sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
        return self.attack.converse(artefact, sample, ask)


def _traces(spent: Sequence[tuple[Attack, Artefact]]) -> Mapping[str, Any]:
    """Of the one member that has a trace; of several, under the names of the members, with their places where two have
    one name."""
    traces = [(k, member.name, part.trace) for k, (member, part) in enumerate(spent, start=1) if part.trace]
    if len(traces) == 1:
        return traces[0][2]
    names = [name for _, name, _ in traces]
    told = {k: name if names.count(name) == 1 else f"{name} ({k})" for k, name, _ in traces}
    return {f"{told[k]}: {key}": value for k, _, trace in traces for key, value in trace.items()}


def _through(members: Sequence[tuple[Attack, Artefact]], sample: Sample, ask: Ask) -> Flow[tuple[Chat, Reply]]:
    """The dialogue of the first member, each ask of which is led by the others; what it asks a helper is not."""
    (attack, part), *inner = members
    dialogue = attack.converse(part, sample, ask)
    if not inner:
        return (yield from dialogue)
    sent: list[tuple[Chat, Reply, Chat]] = []  # what the member asked, what it heard, and what was asked in the end

    def passed(one: Ask) -> Flow[Reply]:
        if one.to is not None:
            reply: Reply = yield one
            return reply
        chat, reply = yield from _through(inner, sample.changed(one.chat), one)
        sent.append((one.chat, reply, chat))
        return reply

    answer: Reply | list[Reply] | None = None
    while True:
        try:
            asked = dialogue.send(answer)
        except StopIteration as end:
            chat, reply = end.value
            return _asked(sent, chat, reply), reply
        if isinstance(asked, list):
            answers = []
            for one in asked:
                answers.append((yield from passed(one)))
            answer = answers
        else:
            answer = yield from passed(asked)


def _asked(sent: Sequence[tuple[Chat, Reply, Chat]], chat: Chat, reply: Reply) -> Chat:
    """The chat that brought `reply` where a member says that `chat` did: of several asks about it, that of this answer,
    to whose reason the member may have added something."""

    def bare(one: Reply) -> Reply:
        return replace(one, reason="any")  # an error has one

    found = [(heard, asked) for own, heard, asked in reversed(sent) if own == chat]
    return next((asked for heard, asked in found if bare(heard) == bare(reply)), found[0][1] if found else chat)
