"""Direct preference optimisation (Rafailov et al. 2023) on pairs of replies, as SPA-VL trains with them.

Loss of a pair: -log sigmoid(beta (log-ratio of the chosen reply - log-ratio of the rejected one)), log-ratios between
the model that learns and the same model before it learned, log-probabilities summed over a reply's tokens. With label
smoothing e: (1 - e) of that, and e of the same with both replies exchanged. Defaults of SPA-VL's script (Zhang et al.
2024): beta 0.1, rate 2e-5, one pass, 10 warm-up steps, cosine, no decay, 8 x 1 pairs a step. Departures: an adapter in
the language model's layers (their script named lora enables none), the projector stays as it is. Not verified: rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Lt

from proofglass.defenses.learned import check_either
from proofglass.defenses.tuning import (
    LEARNED,
    Lesson,
    content_of,
    micro,
    put_in,
    ready,
    seen_through,
    trained,
)
from proofglass.engine.learning import drawn
from proofglass.interfaces import (
    Count,
    Dataset,
    Defense,
    Learner,
    NonNegative,
    Paper,
    Positive,
    Steps,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Sample

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DPO(Defense):
    """The model is trained to prefer one reply to another, without drifting far from what it was.

    Rows are the crafting rows of the data set (all rows of one that has none, such as spa-vl-preferences): the first
    reference is the reply that is preferred, meta "rejected" the other. A row without both, or with two replies that
    are the same text or the same tokens, is left out and counted.

    pairs: the data set. beta: how dear it is to drift. label_smoothing: share of pairs taken for exchanged. epochs:
    passes over the pairs. steps: in place of them; 0: `epochs` decides. batch: pairs a step. rank: of the adapter; 0:
    all weights but the vision tower's learn, beside a second copy of the model. alpha: of the adapter, which is added
    alpha / rank times. rate: of learning, at its height. warm_up: steps before that. decay: of weights. seed: of
    adapter and order. every: steps between two checkpoints. tuned: folder of a finished training; beside it the other
    fields say nothing. None: the model is trained in the run.
    """

    name = "dpo"
    paper = Paper(
        "Rafailov et al. 2023",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "arXiv:2305.18290",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 on the tuned weights"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("pairs",), (LEARNED,)

    pairs: Dataset | None = None
    beta: Positive = 0.1
    label_smoothing: Annotated[float, Ge(0), Lt(0.5)] = 0.0
    epochs: Positive = 1.0
    steps: Steps = 0
    batch: Count = 8
    rank: Steps = 128
    alpha: Positive = 256.0
    rate: Positive = 2e-5
    warm_up: Steps = 10
    decay: NonNegative = 0.0
    seed: int = 0
    every: Count = 25
    tuned: Path | None = None

    def __post_init__(self) -> None:
        check_either("tuned", self.tuned, pairs=self.pairs)

    def fitted(self, model: Victim, folder: Path) -> DPO:
        return trained(self, model, folder, self._lesson)

    def __call__(self, victim: Victim) -> Victim:
        return put_in(self, victim)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return seen_through(self, model)

    # ---- what is taught ---------------------------------------------------------------------------------------------

    def _lesson(self, learner: Learner) -> Lesson:
        assert self.pairs is not None

        def take(sample: Sample) -> tuple[Any, Any]:
            chosen, rejected = (learner.row(sample.chat, text) for text in replies_of(sample))
            if list(learner.answer(chosen)) == list(learner.answer(rejected)):
                raise ValueError("chosen, rejected: the same tokens; nothing is preferred")
            return chosen, rejected

        rows = ready(self.pairs, take, "pairs", self.name)
        steps = self.steps or math.ceil(self.epochs * len(rows) / self.batch)

        def parts(picked: Sequence[int]) -> Iterator[Tensor]:
            for some in micro(picked, max(1, learner.micro // 2)):
                yield self._loss(learner, [rows.taken[k] for k in some]) * (len(some) / len(picked))

        def picks(step: int) -> list[int]:
            return drawn(self.seed, step, self.batch, len(rows))

        content = content_of((sample, replies_of(sample)) for sample in rows.samples)
        names = [sample.id for sample in rows.samples]
        return Lesson(steps, self.warm_up, picks, parts, names, content, {"pairs": rows.told(self.pairs)})

    def _loss(self, learner: Learner, pairs: Sequence[tuple[Any, Any]]) -> Tensor:
        """The mean over some pairs, the log-probabilities of both models made of the same rows."""
        import torch

        rows = [row for pair in pairs for row in pair]
        with torch.no_grad(), learner.untaught():
            before = -torch.stack([nll.sum() for nll in learner.nll(rows)])
        now = -torch.stack([nll.sum() for nll in learner.nll(rows)])
        ratios = now - before
        return preference_loss(ratios[0::2], ratios[1::2], self.beta, self.label_smoothing).mean()


def preference_loss(chosen: Tensor, rejected: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Of each pair, from the log-ratios [n] of its replies. Source: Rafailov et al. 2023, equation 7; the smoothed form
    is Mitchell's note on cDPO (2023)."""
    from torch.nn.functional import logsigmoid

    margin = beta * (chosen - rejected)
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def replies_of(sample: Sample) -> tuple[str, str]:
    """The preferred reply and the other. Raises ValueError for a row that has no such pair."""
    chosen, rejected = next(iter(sample.references), ""), sample.meta.get("rejected")
    if not chosen.strip():
        raise ValueError("references: expected the preferred reply, found none")
    if not isinstance(rejected, str) or not rejected.strip():
        raise ValueError(f'meta "rejected": expected the other reply, a text, found {rejected!r:.80}')
    if chosen.strip() == rejected.strip():
        raise ValueError("chosen, rejected: the same text; nothing is preferred")
    return chosen, rejected
