"""How the tokens of a reply are chosen, and when it is over."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.types import Ask

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Rescore = Callable[[Sequence[int], int, Tensor], Tensor]

COLDEST = 1e-30  # a temperature below it is the limit, the likeliest token: dividing by it would leave no numbers


@dataclass(frozen=True)
class Rules:
    """How tokens are chosen and when a row ends. ends: ids of end tokens. stopped(tokens): whether a reply that has no
    end token yet is over (stop strings). penalty: transformers' `repetition_penalty`, 1 for none. scores(ids, prompt,
    logits): what else becomes of a row's next logits, the penalty included; ids: its tokens, the first `prompt` of them
    asked."""

    max_new_tokens: int
    ends: frozenset[int]
    temperature: float = 0.0
    top_p: float = 1.0
    penalty: float = 1.0
    stopped: Callable[[list[int]], bool] | None = None
    scores: Rescore | None = None

    def over(self, tokens: list[int]) -> bool:
        """Whether a reply ends with these tokens."""
        if tokens[-1] in self.ends or len(tokens) >= self.max_new_tokens:
            return True
        return self.stopped is not None and self.stopped(tokens)


def choose(logits: Tensor, rules: Rules, draws: Sequence[torch.Generator | None], used: Tensor | None = None) -> Tensor:
    """The next token of each row, [R]. logits: [R, V]; draws: the random stream of each row, None for the likeliest
    token; used: bool [R, V], which tokens a row has seen, for the penalty."""
    import torch

    if used is not None:
        scaled = torch.where(logits < 0, logits * rules.penalty, logits / rules.penalty)
        logits = torch.where(used, scaled, logits)
    chosen = logits.argmax(-1)
    for k, draw in enumerate(draws):
        if draw is not None:
            chosen[k] = _draw(logits[k].cpu(), rules, draw).to(chosen.device)
    return chosen


def _draw(logits: Tensor, rules: Rules, draw: torch.Generator) -> Tensor:
    """A token from the smallest set of likely ones that holds `top_p` of the probability."""
    import torch

    ranked, order = (logits / max(rules.temperature, COLDEST)).softmax(-1).sort(descending=True)
    beyond = ranked.cumsum(-1) - ranked >= rules.top_p
    beyond[0] = False  # a top_p that is 0 in float32 leaves the likeliest
    ranked[beyond] = 0
    return order[torch.multinomial(ranked, 1, generator=draw)[0]]


def draw_seed(ask: Ask) -> int:
    """Of a drawn reply: the same ask, the same reply, whoever shares its batch."""
    return int.from_bytes(hashlib.sha256(f"{ask.chat!r}{ask.settings!r}".encode()).digest()[:7], "big")


def first_tokens(choices: Sequence[str], tokens: Callable[[str], Sequence[int]]) -> dict[str, int]:
    """Choice -> its first token. Left out are choices without a token, and those that share their first one with
    another (words that a vocabulary lacks, or a mark for a blank): its probability tells them not apart."""
    first = {choice: ids[0] for choice in choices if (ids := tokens(choice))}
    shared = {token for token, count in Counter(first.values()).items() if count > 1}
    return {choice: token for choice, token in first.items() if token not in shared}
