"""Projected gradient descent (Madry et al. 2018), per sample: the reference white-box attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.crafting.access import with_gradients
from proofglass.attacks.crafting.pixels import craft_each
from proofglass.engine import A_GRADIENT, L2, LInf, MomentumStep, NormalisedStep, Schedule, SignStep, TargetNLL
from proofglass.engine.constraints import check_epsilon, check_radius
from proofglass.engine.pictures import check_targets, target_pairs
from proofglass.engine.steps import Step
from proofglass.interfaces import Attack, Count, NonNegative, Paper, Positive, Steps, Victim
from proofglass.types import Artefact, Budget, Image, Sample


@dataclass(frozen=True)
class PGD(Attack):
    """One picture per sample, optimised towards the victim saying that sample's target, within `epsilon`.

    epsilon: radius, in pixel units of [0, 1] for norm "linf"; for "l2" the Euclidean norm of the whole difference.
    steps: updates. step_size: in the same units; None: max(epsilon / 10, 1/255). decay: of the step size; a budget
    shortens a cosine, its restarts evenly, and cuts off a run of constant steps. norm: of the ball and of the steps.
    momentum: "sign" as in RobustVLM's PGD (for "l2" with unit vectors), "l1" as in Dong et al. 2018. momentum_decay:
    what is left of the accumulated gradient at each step (Dong et al.: 1). init: "uniform" in the ball (l2: on its
    face) or "clean". select: the iterate with the "best" loss, or the "last" one. restarts: runs from fresh starts, the
    best of which counts. start: picture for samples without one (None: mid-grey). batch: pictures optimised together;
    each as in its own run, up to how the victim rounds.

    Source: Madry et al. 2018, section 2.1. Departures: teacher-forced cross-entropy of `sample.target`, downhill,
    instead of a classifier's loss; steps, step size, restarts and best-loss selection are ours.
    """

    epsilon: Positive = 16 / 255
    steps: Steps = 100
    step_size: Positive | None = None
    decay: Literal["constant", "cosine"] = "constant"
    norm: Literal["linf", "l2"] = "linf"
    momentum: Literal["none", "sign", "l1"] = "none"
    momentum_decay: NonNegative = 0.9
    init: Literal["uniform", "clean"] = "uniform"
    select: Literal["best", "last"] = "best"
    restarts: Count = 1
    start: Image | None = None
    batch: Count = 32

    name = "pgd"
    version = 3  # 8-bit pictures keep to l2 radii, and to l-infinity radii between two grey levels
    paper = Paper(
        "Madry et al. 2018",
        "Towards Deep Learning Models Resistant to Adversarial Attacks",
        "arXiv:1706.06083",
    )
    opens = "gradients"
    threat = "user"
    changes = ("image",)
    scope = "sample"

    def __post_init__(self) -> None:
        if self.momentum == "l1" and self.norm == "l2":
            raise ValueError("momentum: 'l1' takes sign steps, so it goes with norm 'linf'; use 'sign' with 'l2'")
        (check_epsilon if self.norm == "linf" else check_radius)(self.epsilon)
        self.rule()

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        victim = with_gradients(self, victim)
        check_targets(samples)
        ball = LInf if self.norm == "linf" else L2
        schedule = Schedule(self.steps, self.decay, restarts=self.restarts)
        if self.decay == "cosine":  # cut off instead, a search would never take its small steps
            schedule = schedule.within(budget, price=A_GRADIENT, passes=victim.passes)
        yield from craft_each(
            victim,
            samples,
            lambda part, clean, x0, seeds: TargetNLL(victim, target_pairs(part, clean)),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=ball(self.epsilon, self.init),
            step=self.rule(),
            schedule=schedule,
            budget=budget,
            select=self.select,
        )

    def rule(self) -> Step:
        """The step rule. Raises ValueError for a step size that it cannot take."""
        size = max(self.epsilon / 10, 1 / 255) if self.step_size is None else self.step_size
        if self.momentum == "l1":
            return MomentumStep(size, self.momentum_decay, "l1")
        if self.momentum == "sign":
            return MomentumStep(size, self.momentum_decay, "sign" if self.norm == "linf" else "unit")
        return SignStep(size) if self.norm == "linf" else NormalisedStep(size)
