"""Immune (Ghosal et al. 2025): of the likeliest next tokens, a reward model's favourite (format-checked).

Format-checked: no reward model is shipped, so this runs on the user's own and was measured on none. k and the weight
are those that the authors' code runs (the paper: k = 10); its sampling (top-p .9, temperature .7) is a setting of the
run here. Departure: every candidate is scored anew on the full text; the authors' cache of the reward model is not
re-ordered to the token that was chosen, so later scores are of histories that were not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proofglass.defenses.acting import Answering, opens_layers
from proofglass.defenses.opened import Lens, Opened
from proofglass.flow import summed
from proofglass.interfaces import Count, Defense, NonNegative, Paper, Reward, Victim, WhiteBoxVictim, rebased
from proofglass.types import Ask, Cost, Reply

if TYPE_CHECKING:
    import torch

PORTS = ("reply_by", "decode")


@dataclass(frozen=True)
class Immune(Defense):
    """Chooses each token among the k likeliest by logit + weight x reward of the reply so far with it (format-checked).

    k evaluations of the reward model a token, counted as its queries; no call of the victim more. A reward that is no
    number, or fails, is an error of that sample. It stays closed to attackers: a reward gives no gradient here.

    reward: the reward model. k: how many candidates. weight: of the reward; 0 with greedy decoding is the identity.
    """

    name = "immune"
    paper = Paper(
        "Ghosal et al. 2025",
        "Immune: Improving Safety Against Jailbreaks in Multi-modal LLMs via Inference-Time Alignment",
        "arXiv:2411.18688",
    )
    needs_model = "logits"

    reward: Reward
    k: Count = 2
    weight: NonNegative = 0.5

    def __call__(self, victim: Victim) -> Victim:
        def inside(model: Victim) -> Victim:
            return Opened(opens_layers(self, model, *PORTS), self, Lens(acting=Answering(self.answer)))

        return rebased(victim, inside)

    def answer(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> list[Reply]:
        """The replies of `model`, their tokens chosen with the reward model."""
        asked = dict.fromkeys(range(len(asks)), 0)

        def rescored(
            rows: Sequence[tuple[int, Sequence[int]]], logits: torch.Tensor, _: torch.Tensor | None
        ) -> torch.Tensor:
            import torch

            top, tokens = logits.topk(min(self.k, logits.shape[-1]), dim=-1)
            texts = [
                (asks[number].chat, model.decode([*said, token]))
                for (number, said), own in zip(rows, tokens.tolist(), strict=True)
                for token in own
            ]
            for number, _ids in rows:
                asked[number] += tokens.shape[-1]
            rewards = torch.tensor(list(map(float, self.reward.rewards(texts))), device=logits.device)
            if rewards.shape != (len(texts),) or not bool(rewards.isfinite().all()):
                raise ValueError(f"reward {self.reward.name!r}: expected {len(texts)} finite numbers, found {rewards}")
            scores = top + self.weight * rewards.reshape(top.shape)
            return torch.full_like(logits, float("-inf")).scatter(-1, tokens, scores)

        replies = model.reply_by(asks, rescored)
        spent = [{self.reward.key: Cost(queries=asked[k])} if asked[k] else {} for k in range(len(asks))]
        return [replace(reply, helpers=summed([reply.helpers, own])) for reply, own in zip(replies, spent, strict=True)]
