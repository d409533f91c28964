"""REINFORCE leave-one-out (Ahmadian et al. 2024): the model learns from what a judge says of its own replies.

For each prompt k replies are drawn; R = reward - beta * (log-ratio of the reply between the model that learns and the
model before); the advantage of a reply is R less the mean R of the others; loss: -mean(advantage * log-probability). A
reply is one action: log-probabilities are sums over its tokens. Departures: an adapter in the language model's layers;
the reward is a judge, no reward model; one step on each draw; replies are drawn at temperature 1, and one that is cut
at the token limit is judged as it is. Not verified: beta, rate, rank, batch (the paper has k 2 and 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from proofglass.defenses.learned import check_either
from proofglass.defenses.rewards import Log, goodness, judged, line_of
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
    Judge,
    Learner,
    NonNegative,
    Paper,
    Positive,
    Steps,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Ask, Attempt, Sample, Settings

if TYPE_CHECKING:
    from torch import Tensor

REWARDS = "rewards.jsonl"


@dataclass(frozen=True)
class RLOO(Defense):
    """The model is trained on its own replies: those that a judge finds better than their siblings become likelier.

    Rows are the crafting rows of the data set (all rows of one that has none). The reward of a reply is how good the
    judge finds it, 0 to 1, by what a good model does with the row: of a row that should be refused a refusal is good,
    of one that should be answered an answer. A reply that the judge cannot judge teaches nothing and is counted. What
    all its siblings are like teaches nothing either: a model that never refuses does not learn to here.

    prompts: the data set. judge: whose score is the reward; what it asks of helpers is counted. k: replies to a prompt.
    beta: how dear it is to drift. max_new_tokens: of a reply. steps: how many. batch: prompts a step. rank: of the
    adapter; 0: all weights but the vision tower's learn, beside a second copy of the model. alpha: of the adapter,
    which is added alpha / rank times. rate: of learning, at its height. warm_up: steps before that. decay: of weights.
    seed: of adapter, order and draws. every: steps between two checkpoints. tuned: folder of a finished training;
    beside it the other fields say nothing. None: the model is trained in the run.
    """

    name = "rloo"
    paper = Paper(
        "Ahmadian et al. 2024",
        "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
        "arXiv:2402.14740",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 on the tuned weights"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("prompts",), (LEARNED,)

    prompts: Dataset | None = None
    judge: Judge | None = None
    k: Annotated[int, Ge(2)] = 4
    beta: NonNegative = 0.03
    max_new_tokens: Count = 64
    steps: Count = 200
    batch: Count = 8
    rank: Steps = 32
    alpha: Positive = 64.0
    rate: Positive = 1e-5
    warm_up: Steps = 10
    decay: NonNegative = 0.0
    seed: int = 0
    every: Count = 10
    tuned: Path | None = None

    def __post_init__(self) -> None:
        check_either("tuned", self.tuned, prompts=self.prompts)
        if self.tuned is None and self.judge is None:
            raise ValueError("judge: expected the judge whose score is the reward, found none")

    def fitted(self, model: Victim, folder: Path) -> RLOO:
        return trained(self, model, folder, partial(self._lesson, folder / REWARDS))

    def __call__(self, victim: Victim) -> Victim:
        return put_in(self, victim)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return seen_through(self, model)

    # ---- what is taught ---------------------------------------------------------------------------------------------

    def _lesson(self, file: Path, learner: Learner) -> Lesson:
        assert self.prompts is not None

        def take(sample: Sample) -> Sample:
            learner.row(sample.chat, "yes")  # raises for what this model cannot be shown
            return sample

        rows = ready(self.prompts, take, "prompts", self.name)
        log = Log(file)
        told = {"prompts": rows.told(self.prompts), "judge": self.judge.name if self.judge else "", "rewards": log.told}

        def picks(step: int) -> list[int]:
            return drawn(self.seed, step, self.batch, len(rows))

        def by_step(step: int) -> Iterator[Tensor]:
            return self._step(learner, step, [rows.samples[k] for k in picks(step)], log)

        content = content_of((sample, (sample.expected,)) for sample in rows.samples)
        names = [sample.id for sample in rows.samples]
        return Lesson(self.steps, self.warm_up, picks, _no_parts, names, content, told, by_step)

    def _step(self, learner: Learner, step: int, samples: Sequence[Sample], log: Log) -> Iterator[Tensor]:
        """Draw, judge, then the loss in parts: of some prompts with all their replies."""
        import torch

        asks = [
            Ask(sample.chat, Settings(self.max_new_tokens, 1.0, draw=seed_of(self.seed, "reply", step, place, k)))
            for place, sample in enumerate(samples)
            for k in range(self.k)
        ]
        said = learner.said(asks)
        of = [sample for sample in samples for _ in range(self.k)]
        attempts = [Attempt(s, s.chat, reply) for s, (reply, _) in zip(of, said, strict=True)]
        assert self.judge is not None
        scores, helpers = judged(self.judge, attempts)
        rewards = [goodness(self.judge.says, s.expected, each) for s, each in zip(of, scores, strict=True)]
        groups = [
            [(said[k][1], reward) for k in range(at, at + self.k) if (reward := rewards[k]) is not None]
            for at in range(0, len(said), self.k)
        ]
        groups = [group for group in groups if len(group) > 1]
        number, drift = sum(map(len, groups)), 0.0
        for some in micro(groups, max(1, learner.micro // self.k)):
            flat = [row for group in some for row, _ in group]
            with torch.no_grad(), learner.untaught():
                before = _logs(learner, flat)
            now = _logs(learner, flat)
            ratios = (now - before).detach()
            drift += float(ratios.sum())
            at = 0
            parts: list[Tensor] = []
            for group in some:
                span = slice(at, at + len(group))
                given = now.new_tensor([reward for _, reward in group])
                parts.append(rloo_loss(now[span], given, ratios[span], self.beta) * len(group))
                at += len(group)
            yield sum(parts[1:], parts[0]) / number
        log.add(line_of(step, rewards, scores, drift / max(number, 1), [reply for reply, _ in said], helpers, self.k))


def _logs(learner: Learner, rows: Sequence[Any]) -> Tensor:
    import torch

    return -torch.stack([nll.sum() for nll in learner.nll(rows)])


def _no_parts(rows: Sequence[int]) -> Iterator[Tensor]:
    raise AssertionError("its loss is made by step")


def leave_one_out(rewards: Tensor) -> Tensor:
    """Of the replies to one prompt [k], k > 1: what each has over the mean of the others."""
    return rewards - (rewards.sum() - rewards) / (len(rewards) - 1)


def rloo_loss(logs: Tensor, rewards: Tensor, ratios: Tensor, beta: float) -> Tensor:
    """Of the replies to one prompt, from their log-probabilities [k], rewards, and log-ratios to the model before,
    which are a part of the reward and give no gradient. Source: Ahmadian et al. 2024, equations 3 and 8."""
    return -(leave_one_out(rewards - beta * ratios.detach()) * logs).mean()
