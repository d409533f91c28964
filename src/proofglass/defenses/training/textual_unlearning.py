"""Textual unlearning (Chakraborty et al. 2024): harmful answers become unlikely, learned from words alone.

Loss of a step: -w_a CE(harmful answer) + w_d CE(safe answer to the same question) + w_k KL(model before || model) on
the answers to harmless questions. CE and KL are means over the tokens of an answer, then over rows. Departures: the
ascent on a row ends where its CE reaches `cap`, so that the loss is bounded (Yao et al. 2023, whose method this is for
text, end the whole training at a cap); an adapter in the language model's layers; KL on the tokens of the answer,
theirs on those of the question too. Not verified: the authors' weights, rate, rank, steps (.5, 1, 1 and 1,000 steps of
2 rows are those of Yao et al., whose rate for all weights is 2e-6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MinLen

from proofglass.defenses.learned import check_either
from proofglass.defenses.training.safety_tuning import REFUSALS, refusal_for
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
from proofglass.engine.seeds import seed_of
from proofglass.interfaces import (
    Count,
    Dataset,
    Defense,
    Learner,
    NonNegative,
    Paper,
    Positive,
    Steps,
    Text,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Sample

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TextualUnlearning(Defense):
    """The model unlearns harmful answers to written questions, learns safe ones, and stays as it was on harmless text.

    Rows are the crafting rows of the data sets (all rows of one that has none). Of a row that should be refused the
    harmful answer is meta "rejected" (then the first reference is the safe one), else its first reference, else its
    target; the safe one is meta "response", else one of `refusals`. Of a harmless row the answer is its first
    reference, else its target. A row that lacks one, or that shows a picture where words alone are learned from, is
    left out and counted.

    harmful: questions that should be refused, and what must not be answered. harmless: where the model should stay as
    it was. modality: "text": rows without pictures only, as in the paper; "all": whatever a row shows. ascent: weight
    of the harmful answers. descent: of the safe ones. keep: of staying as it was. cap: nats a token of a harmful answer
    at which its ascent ends. refusals: texts of a refusal, one drawn for each row. steps: how many. batch: rows of each
    data set a step. rank: of the adapter; 0: all weights but the vision tower's learn, beside a second copy of the
    model. alpha: of the adapter, which is added alpha / rank times. rate: of learning, at its height. warm_up: steps
    before that. decay: of weights. seed: of adapter and order. every: steps between two checkpoints. tuned: folder of a
    finished training; beside it the other fields say nothing. None: the model is trained in the run.
    """

    name = "textual-unlearning"
    paper = Paper(
        "Chakraborty et al. 2024",
        "Can Textual Unlearning Solve Cross-Modality Safety Alignment?",
        "arXiv:2406.02575",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 on the tuned weights; tuning again on a few harmless rows"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("harmful", "harmless"), (LEARNED,)

    harmful: Dataset | None = None
    harmless: Dataset | None = None
    modality: Literal["text", "all"] = "text"
    ascent: NonNegative = 0.5
    descent: NonNegative = 1.0
    keep: NonNegative = 1.0
    cap: Positive = 5.0
    refusals: Annotated[tuple[Text, ...], MinLen(1)] = REFUSALS
    steps: Count = 1000
    batch: Count = 2
    rank: Steps = 32
    alpha: Positive = 64.0
    rate: Positive = 2e-4
    warm_up: Steps = 0
    decay: NonNegative = 0.0
    seed: int = 0
    every: Count = 25
    tuned: Path | None = None

    def __post_init__(self) -> None:
        check_either("tuned", self.tuned, harmful=self.harmful, harmless=self.harmless)

    def fitted(self, model: Victim, folder: Path) -> TextualUnlearning:
        return trained(self, model, folder, self._lesson)

    def __call__(self, victim: Victim) -> Victim:
        return put_in(self, victim)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return seen_through(self, model)

    # ---- what is taught ---------------------------------------------------------------------------------------------

    def answers_of(self, sample: Sample) -> tuple[str, str]:
        """The harmful answer to `sample` and the safe one. Raises ValueError for a row that has no such pair."""
        if sample.expected != "refuse":
            raise ValueError(f"expected: a row that should be refused, found {sample.expected!r}")
        rejected = _said(sample.meta.get("rejected"))
        first = next((text for text in sample.references if text.strip()), "")
        harmful = rejected or first or _said(sample.target)
        if not harmful:
            raise ValueError('no answer to unlearn: expected meta "rejected", a target or references, found none')
        safe = _said(sample.meta.get("response")) or (first if rejected else "")
        safe = safe or refusal_for(sample, self.refusals, self.seed)
        if safe.strip() == harmful.strip():
            raise ValueError("harmful answer, safe answer: the same text; nothing is unlearned")
        return harmful, safe

    def _lesson(self, learner: Learner) -> Lesson:
        assert self.harmful is not None
        assert self.harmless is not None

        def pair(sample: Sample) -> tuple[Any, ...]:
            return tuple(learner.row(self._words(sample), text) for text in self.answers_of(sample))

        def plain(sample: Sample) -> tuple[Any, ...]:
            return (learner.row(self._words(sample), answer_of(sample)),)

        harmful = ready(self.harmful, pair, "harmful", self.name)
        harmless = ready(self.harmless, plain, "harmless", self.name)
        first = len(harmful)

        def picks(step: int) -> list[int]:
            own = drawn(seed_of(self.seed, "harmful"), step, self.batch, first)
            other = drawn(seed_of(self.seed, "harmless"), step, self.batch, len(harmless))
            return [*own, *(first + k for k in other)]

        def parts(picked: Sequence[int]) -> Iterator[Tensor]:
            pairs = [harmful.taken[k] for k in picked if k < first]
            others = [harmless.taken[k - first][0] for k in picked if k >= first]
            for some in micro(range(len(pairs)), max(1, learner.micro // 2)):
                yield self._unlearned(learner, [pairs[k] for k in some]) / len(pairs)
            for some in micro(range(len(others)), learner.micro) if self.keep else ():
                yield self.keep * self._drifted(learner, [others[k] for k in some]) / len(others)

        content = content_of(
            [
                *((sample, self.answers_of(sample)) for sample in harmful.samples),
                *((sample, (answer_of(sample),)) for sample in harmless.samples),
            ]
        )
        names = [sample.id for sample in (*harmful.samples, *harmless.samples)]
        told = {"harmful": harmful.told(self.harmful), "harmless": harmless.told(self.harmless)}
        return Lesson(self.steps, self.warm_up, picks, parts, names, content, told)

    def _words(self, sample: Sample) -> Any:
        if self.modality == "text" and sample.chat.images:
            raise ValueError("it shows a picture, and words alone are learned from (`modality: all` takes both)")
        return sample.chat

    def _unlearned(self, learner: Learner, pairs: Sequence[tuple[Any, ...]]) -> Tensor:
        """Ascent and descent, summed over some pairs."""
        import torch

        means = torch.stack([nll.mean() for nll in learner.nll([row for pair in pairs for row in pair])])
        return unlearning_loss(means[0::2], means[1::2], self.ascent, self.descent, self.cap).sum()

    def _drifted(self, learner: Learner, rows: Sequence[Any]) -> Tensor:
        """How far the model has moved, summed over some rows."""
        import torch

        with torch.no_grad(), learner.untaught():
            before = learner.logits(rows)
        return torch.stack([drift(old, new) for old, new in zip(before, learner.logits(rows), strict=True)]).sum()


def unlearning_loss(harmful: Tensor, safe: Tensor, ascent: float, descent: float, cap: float) -> Tensor:
    """Of each row, from the cross-entropies [n] of its harmful and its safe answer: above `cap` the first one counts as
    `cap` and gives no gradient, so nothing lies below -ascent * cap."""
    return descent * safe - ascent * harmful.clamp(max=cap)


def drift(before: Tensor, now: Tensor) -> Tensor:
    """Mean over tokens of KL(before || now), from logits [T, V]."""
    from torch.nn.functional import kl_div, log_softmax

    return kl_div(log_softmax(now, -1), log_softmax(before, -1), log_target=True, reduction="batchmean")


def answer_of(sample: Sample) -> str:
    """Of a harmless row. Raises ValueError where there is none, or where the row should be refused."""
    if sample.expected == "refuse":
        raise ValueError("expected: a harmless row, found one that should be refused")
    found = next((text for text in (*sample.references, sample.target) if text.strip()), "")
    if not found:
        raise ValueError("no answer to stay at: expected references or a target, found none")
    return found


def _said(value: object) -> str:
    return value if isinstance(value, str) and value.strip() else ""
