"""Crafting by token search: a text for each sample, or one for all, and how it is put into a chat."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.attacks.crafting.apart import folded
from proofglass.attacks.crafting.pixels import by_id, path_of
from proofglass.engine.marked import MarkedNLL, Written, begun, marked, windowed
from proofglass.engine.schedule import Check, Look, replies_cost
from proofglass.engine.seeds import seed_of, stream
from proofglass.engine.swaps import Ids, Swaps
from proofglass.engine.tokens import FoundTokens, search
from proofglass.errors import ClosedVictim, ImageError, UsageError, is_environment
from proofglass.interfaces import Attack, Victim, Weighting, WhiteBoxVictim
from proofglass.types import Artefact, Ask, Budget, Chat, Sample, Settings

if TYPE_CHECKING:
    import torch

UNUSABLE = (ValueError, ImageError)  # what a chat, its target or its pictures may have wrong
AT_ONCE = 64  # random tokens tried together for one place of a start
TRIES = 5


@dataclass(frozen=True)
class TokenCraft:
    """What every token search of an attack is given. start: a text that is repeated while it stays within `tokens`
    tokens, "" for random ones. check_every: steps between two looks whether a greedy reply begins with the target, 0
    for none; plain: whether tokens that are no ASCII are left out."""

    swaps: Swaps
    steps: int
    tokens: int
    start: str
    plain: bool
    check_every: int
    weighting: Weighting = "pair"
    per_step: int | None = None

    def texts(
        self,
        attack: Attack,
        victim: Victim,
        samples: Sequence[Sample],
        says: Callable[[Sample], Written],
        *,
        seed: int,
        budget: Budget | None,
    ) -> Iterator[Artefact]:
        """What the scope of `attack` asks for: one artefact for all samples, or one for each."""
        if attack.scope == "universal":
            yield self.one(attack, victim, by_id(samples), says, seed=seed, budget=budget)
        else:
            yield from self.each(attack, victim, samples, says, seed=seed, budget=budget)

    def each(
        self,
        attack: Attack,
        victim: Victim,
        samples: Sequence[Sample],
        says: Callable[[Sample], Written],
        *,
        seed: int,
        budget: Budget | None,
    ) -> Iterator[Artefact]:
        """One artefact per sample, searched one after the other. A sample that cannot be searched gets one that says
        why (`told_text` raises it): it costs no other sample anything."""
        opened = with_tokens(attack, victim)
        allowed = writable_in(opened, plain=self.plain)
        for sample in samples:
            try:
                found = self._found(opened, [sample], says, allowed, seed_of(seed, sample.id), budget)
            except UNUSABLE as error:
                if isinstance(error, UsageError) or is_environment(error):
                    raise
                yield Artefact(sample.id, crafted_on="", meta={"failed": str(error)})
            else:
                yield _bought(opened, found, sample.id)

    def one(
        self,
        attack: Attack,
        victim: Victim,
        samples: Sequence[Sample],
        says: Callable[[Sample], Written],
        *,
        seed: int,
        budget: Budget | None,
    ) -> Artefact:
        """One artefact that serves all samples. Raises ValueError where one of the crafting samples cannot be used."""
        opened = with_tokens(attack, victim)
        allowed = writable_in(opened, plain=self.plain)
        return _bought(opened, self._found(opened, samples, says, allowed, seed, budget), None)

    def _found(
        self,
        victim: WhiteBoxVictim,
        samples: Sequence[Sample],
        says: Callable[[Sample], Written],
        allowed: torch.Tensor,
        seed: int,
        budget: Budget | None,
    ) -> FoundTokens:
        if missing := next((s for s in samples if not s.target.strip()), None):
            raise ValueError(f"sample {missing.id!r}: target: the attack needs a text to teach, found none")
        if not samples:
            raise ValueError("samples: nothing to optimise for; give targets, or a crafting split that has some")
        pairs = [(says(sample), sample.target) for sample in samples]
        of_row = marked(victim, [pairs], seeds=[seed], per_step=self.per_step, weighting=self.weighting)
        first = repeated(of_row, self.start, self.tokens) if self.start else drawn(of_row, self.tokens, allowed, seed)
        looks = Check(self.check_every, Begins(victim, pairs), queries=len(pairs)) if self.check_every else None
        return search(
            windowed(of_row, [first]),
            [first],
            self.swaps,
            allowed=allowed,
            steps=self.steps,
            seed=[seed],
            budget=budget,
            check=looks,
        )


@dataclass(frozen=True)
class Begins:
    """The share of chats, with a searched text in them, whose greedy reply begins with its target (case and space
    folded): the score of a check."""

    victim: WhiteBoxVictim
    pairs: Sequence[tuple[Written, str]]

    def __call__(self, texts: Sequence[Any], rows: Sequence[int]) -> list[Look]:
        return [self._of(text) for text in texts]

    def _of(self, text: str) -> Look:
        asks = [
            Ask(says.says(text), Settings(max_new_tokens=len(self.victim.encode(target)) + 2))
            for says, target in self.pairs
        ]
        replies = self.victim.reply(asks)
        begun = [
            reply.outcome == "ok" and folded(reply.text).startswith(folded(target))
            for reply, (_, target) in zip(replies, self.pairs, strict=True)
        ]
        return Look(sum(begun) / len(begun), replies_cost(replies))


def with_tokens(attack: Attack, victim: Victim) -> WhiteBoxVictim:
    """`victim`, for an attack that searches tokens. Raises UsageError if it gives replies only, or closes its text."""
    if not isinstance(victim, WhiteBoxVictim):
        raise UsageError(
            f"{attack.name}: needs gradients to the embeddings of tokens, and {victim.name} gives replies only (so "
            "does a victim behind a defense that does not open itself); choose a white-box victim, or craft on a "
            "surrogate"
        )
    try:
        victim.encode("a")
        _ = victim.embedding_width
    except ClosedVictim as error:
        raise UsageError(f"{attack.name}: {error}") from error
    return victim


def writable_in(victim: WhiteBoxVictim, *, plain: bool) -> torch.Tensor:
    """bool [V]: the tokens that a search may write. plain: those of ASCII characters alone.

    Raises UsageError where there are none.
    """
    allowed = victim.writable()
    if plain:
        for token in allowed.nonzero()[:, 0].tolist():
            allowed[token] = victim.decode([token]).isascii()
    if not bool(allowed.any()):
        raise UsageError(
            f"victim {victim.name!r}: none of its {len(allowed)} tokens can be written"
            + ("; try ascii_only=False" if plain else "")
        )
    return allowed


def after_question(sample: Sample) -> Written:
    """The place behind what the sample asks."""
    return Written(sample.chat, before=sample.chat.last_text)


def told_text(artefact: Artefact) -> str:
    """The text that was found. Raises ValueError, with the reason, where none was."""
    if "failed" in artefact.meta:
        raise ValueError(artefact.meta["failed"])
    return artefact.texts[0]


def repeated(objective: MarkedNLL, text: str, tokens: int) -> Ids:
    """`text` again and again, with spaces between, as long as it stays within `tokens` tokens in its place.

    Raises ValueError where it is longer by itself, or shares tokens with the words beside it.
    """
    found = begun(objective, 0, text)
    if len(found) > tokens:
        raise ValueError(f"start: {text!r} alone is {len(found)} tokens, expected {tokens} at most")
    for count in range(2, tokens + 1):
        longer = begun(objective, 0, " ".join([text] * count))
        if len(longer) > tokens:
            break
        found = longer
    return found


def drawn(objective: MarkedNLL, tokens: int, allowed: torch.Tensor, seed: int) -> Ids:
    """`tokens` different random tokens that read back as themselves in their place. Raises ValueError where none do."""
    import torch

    known = allowed.nonzero()[:, 0]
    before = objective._before(0)
    for k in range(TRIES):
        order = known[torch.randperm(len(known), generator=stream(seed, "start", k))].tolist()
        for left in (before, ()):  # by itself where the words beside it are no text, such as a turn's control token
            ids = _grown(objective, left, tokens, order)
            if len(ids) == tokens and objective.reads(0, ids):
                return ids
    raise ValueError(
        f"start: found no {tokens} random tokens that read back as themselves; this tokenizer cannot be searched so, "
        "give a text as `start`"
    )


def _grown(objective: MarkedNLL, left: Ids, tokens: int, order: Sequence[int]) -> Ids:
    ids: Ids = ()
    rest = list(order)
    while len(ids) < tokens and rest:
        tried, rest = rest[:AT_ONCE], rest[AT_ONCE:]
        fits = objective.victim.reads_back([(*left, *ids, token) for token in tried])
        fit = next((k for k, fine in enumerate(fits) if fine), None)
        if fit is not None:
            ids = (*ids, tried[fit])
            rest = [*tried[fit + 1 :], *rest]
    return ids


def _bought(victim: WhiteBoxVictim, found: FoundTokens, sample_id: str | None) -> Artefact:
    cost = dataclasses.replace(found.costs[0], seconds=found.seconds) if sample_id is None else found.costs[0]
    return Artefact(
        sample_id,
        texts=(found.texts[0],),
        crafted_on=victim.key,
        cost=cost,
        trace=found.trace(0) | path_of(victim),
    )


def suffixed(sample: Sample, text: str) -> Chat:
    """The sample's question with `text`, which brings its own space, behind it."""
    return after_question(sample).says(text)
