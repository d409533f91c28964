"""Projected descent on gradients estimated from losses alone: NES, SPSA and RGF, per sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from proofglass.attacks.crafting.access import with_losses
from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.crafting.pixels import craft_each
from proofglass.engine import Adam, Estimated, LInf, Objective, Schedule, SignStep, TargetNLL
from proofglass.engine.pictures import check_targets, target_pairs
from proofglass.engine.steps import Step
from proofglass.interfaces import Attack, Count, Paper, Positive, Steps, Victim
from proofglass.types import Artefact, Budget, Image, Sample


@dataclass(frozen=True)
class BlackBoxPGD(Attack):
    """One picture per sample, moved along a gradient that `draws` random probes of radius `sigma` suggest.

    epsilon: l-infinity radius in pixel units of [0, 1]. steps: updates. kind: "spsa" (random signs, two-sided, 2 x
    draws queries a step), "nes" (Gaussian, two-sided, the same number) or "rgf" (Gaussian, one-sided, draws + 1).
    sigma: radius of a probe, in the same units; against an 8-bit interface 1/255 or more. draws: random directions per
    step. rule: "adam" with learning rate `step_size`, or "sign" steps of it. step_size: of the rule. init: "clean" or
    "uniform" in the ball. start: picture for samples without one (None: mid-grey). batch: pictures optimised together;
    each as in its own run, up to how the victim rounds.

    Access: a score-based black box. A query is one forward pass that returns the loss of the target, never a
    gradient; a victim that gives replies only raises UsageError. The best picture counts for "rgf", which knows the
    loss at each iterate; the last one for the others, which spend no query on it.
    Sources: Uesato et al. 2018 (SPSA), Ilyas et al. 2018 (NES), Nesterov & Spokoiny 2017 (RGF). sigma 0.01, 128
    draws and Adam at 0.01 are the defaults of torchattacks' SPSA, a third party. Departures: its single step is
    raised to 100, as one step cannot leave a ball of its own length; teacher-forced cross-entropy of `sample.target`
    instead of a classifier's loss.
    """

    epsilon: Epsilon = 16 / 255
    steps: Steps = 100
    kind: Literal["spsa", "nes", "rgf"] = "spsa"
    sigma: Annotated[float, Interval(gt=0, le=1)] = 0.01
    draws: Count = 128
    rule: Literal["adam", "sign"] = "adam"
    step_size: Positive = 0.01
    init: Literal["clean", "uniform"] = "clean"
    start: Image | None = None
    batch: Count = 32

    name = "black-box-pgd"
    version = 2  # 8-bit pictures keep to radii between two grey levels
    paper = Paper(
        "Uesato et al. 2018",
        "Adversarial Risk and the Dangers of Evaluating Against Weak Attacks",
        "arXiv:1802.05666",
    )
    opens = "scores"
    threat = "user"
    changes = ("image",)
    scope = "sample"

    def __post_init__(self) -> None:
        self._rule()

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        open_victim = with_losses(self, victim)
        check_targets(samples)
        yield from craft_each(
            open_victim,
            samples,
            lambda part, clean, x0, seeds: self.estimate(TargetNLL(open_victim, target_pairs(part, clean)), seeds),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=LInf(self.epsilon, self.init),
            step=self._rule(),
            schedule=Schedule(self.steps),
            budget=budget,
            select="best" if self.kind == "rgf" else "last",
        )

    def estimate(self, objective: Objective, seeds: Sequence[int]) -> Estimated:
        """`objective` with its gradient estimated by queries; one seed per picture."""
        return Estimated(objective, self.kind, self.sigma, self.draws, tuple(seeds))

    def _rule(self) -> Step:
        return Adam(self.step_size) if self.rule == "adam" else SignStep(self.step_size)
