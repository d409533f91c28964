"""Which tokens a token search tries next: one rule, of which GCG, HotFlip and ARCA are settings.

Every score is first-order: of a token v at a position whose gradient (of the loss, to the embedding there) is g, the
loss rises by about (E_v - E_current) . g, so the least is tried first. GCG reads all positions at once and draws from
the best of each; HotFlip and ARCA go from position to position and try the best of one. ARCA averages the gradient
over several tokens put in at that position; with the current one alone it is HotFlip.
Sources: Zou et al. 2023 (GCG), Ebrahimi et al. 2018 (HotFlip), Jones et al. 2023 and its released code (ARCA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.engine.seeds import stream

if TYPE_CHECKING:
    import torch

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Swaps:
    """How one step changes one token of a mark.

    order: "all" draws positions over the whole mark, "sweep" takes one position a step, in order. candidates: how many
    are tried a step. top: of "all": they are drawn from so many best tokens of each position. fill_ins: of "sweep": how
    many random tokens stand at the position while its gradient is averaged; 1: the current one. accepts: "least" goes
    on from the best candidate even where it is worse than what it replaces, "better" only from one that is better.
    """

    order: Literal["all", "sweep"] = "all"
    candidates: int = 512
    top: int = 256
    fill_ins: int = 1
    accepts: Literal["least", "better"] = "least"

    def __post_init__(self) -> None:
        if min(self.candidates, self.top, self.fill_ins) < 1:
            raise ValueError("candidates, top, fill_ins: expected at least 1 each")
        if self.order == "all" and self.fill_ins > 1:
            raise ValueError("fill_ins: belong to one position at a time; take order='sweep'")
        if self.order not in ("all", "sweep") or self.accepts not in ("least", "better"):
            raise ValueError(
                f"order, accepts: expected all or sweep, least or better; found {self.order, self.accepts}"
            )

    def place(self, step: int, length: int) -> int | None:
        """The position that `step` changes; None: any."""
        return step % length if self.order == "sweep" else None

    def fillings(self, ids: Ids, step: int, seed: int, allowed: torch.Tensor) -> list[Ids]:
        """The marks whose gradients a step reads. allowed: bool [V]."""
        import torch

        place = self.place(step, len(ids))
        if place is None or self.fill_ins == 1:
            return [ids]
        known = allowed.nonzero()[:, 0]
        drawn = torch.randint(len(known), (self.fill_ins,), generator=stream(seed, "fill-ins", step))
        return [swapped(ids, place, int(known[k])) for k in drawn]

    def candidates_of(
        self,
        ids: Ids,
        gradient: torch.Tensor,
        embeddings: torch.Tensor,
        allowed: torch.Tensor,
        *,
        step: int,
        seed: int,
    ) -> list[Ids]:
        """Marks to try, each once, the most promising first where the order is "sweep".

        gradient: [len(ids), d], of a step's fillings, averaged; embeddings: [V, d]; allowed: bool [V].
        """
        place = self.place(step, len(ids))
        if place is None:
            picks = self._drawn(gradient @ embeddings.T, allowed, stream(seed, "swap", step))
            return list(dict.fromkeys(swapped(ids, k, token) for k, token in picks))
        scores = rises(gradient[place], embeddings, ids[place])
        least = best(scores[None], allowed, self.candidates)[0]
        return [swapped(ids, place, int(token)) for token in least]

    def _drawn(self, scores: torch.Tensor, allowed: torch.Tensor, generator: torch.Generator) -> list[tuple[int, int]]:
        """(position, token) of each candidate: uniform among the best tokens of its position."""
        import torch

        tokens = best(scores, allowed, self.top).cpu()
        picks = torch.randint(tokens.shape[1], (self.candidates,), generator=generator)
        places = positions(len(scores), self.candidates)
        return [(k, int(tokens[k, pick])) for k, pick in zip(places, picks.tolist(), strict=True)]


def positions(length: int, count: int) -> list[int]:
    """Which position each of `count` candidates changes: in order, each about equally often."""
    return [i * length // count for i in range(count)]


def rises(gradient: torch.Tensor, embeddings: torch.Tensor, current: int) -> torch.Tensor:
    """By how much the loss rises, to first order, with each token in place of `current`: float [V].

    gradient: [d], at the embedding of the current token.
    """
    return (embeddings - embeddings[current]) @ gradient


def best(scores: torch.Tensor, allowed: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` allowed tokens of least score of each row (all of them where fewer are allowed): ids [n, count]."""
    import torch

    kept = scores.masked_fill(~allowed.to(scores.device), torch.inf)
    return kept.topk(min(count, int(allowed.sum())), dim=1, largest=False).indices


def swapped(ids: Sequence[int], place: int, token: int) -> Ids:
    return (*ids[:place], token, *ids[place + 1 :])
