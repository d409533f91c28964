"""Projected gradient descent (Madry et al. 2018), per sample: the reference white-box attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.attacks.image.pixels import check_targets, craft_each, target_pairs
from proofglass.attacks.image.scored import with_gradients
from proofglass.engine.constraints import check_epsilon, check_radius
from proofglass.interfaces import Attack, Paper, Victim
from proofglass.types import Artefact, Budget, Chat, Image, Sample

if TYPE_CHECKING:
    from proofglass.engine.steps import Step


@dataclass(frozen=True)
class PGD(Attack):
    """One picture per sample, optimised towards the victim saying that sample's target, within `epsilon`.

    epsilon: radius, in pixel units of [0, 1] for norm "linf"; for "l2" the Euclidean norm of the whole difference.
    steps: updates. step_size: None = max(epsilon/10, 1/255). decay: of the step size; a budget shortens a cosine, its
    restarts evenly, and cuts off a run of constant steps. momentum: "sign" as in RobustVLM's PGD (for "l2" with unit
    vectors), "l1" as in Dong et al. 2018 (their momentum_decay is 1).
    init: "uniform" in the ball (l2: on its face) or "clean". select: "best" loss or "last" iterate.
    restarts: runs from fresh starts, the best of which counts.
    start: picture for samples without one (None: mid-grey). batch: pictures optimised together; each as in its own
    run, up to how the victim rounds.
    Source: Madry et al. 2018, section 2.1. Departures: teacher-forced cross-entropy of `sample.target`, downhill,
    instead of a classifier's loss; steps, step size, restarts and best-loss selection are ours.
    """

    epsilon: float = 16 / 255
    steps: int = 100
    step_size: float | None = None
    decay: Literal["constant", "cosine"] = "constant"
    norm: Literal["linf", "l2"] = "linf"
    momentum: Literal["none", "sign", "l1"] = "none"
    momentum_decay: float = 0.9
    init: Literal["uniform", "clean"] = "uniform"
    select: Literal["best", "last"] = "best"
    restarts: int = 1
    start: Image | None = None
    batch: int = 32

    name = "pgd"
    version = 3  # 8-bit pictures keep to l2 radii, and to l-infinity radii between two grey levels
    paper = Paper(
        "Madry et al. 2018",
        "Towards Deep Learning Models Resistant to Adversarial Attacks",
        "arXiv:1706.06083",
    )
    access = "white"
    threat = "user"
    changes = ("image",)
    scope = "sample"

    def __post_init__(self) -> None:
        from proofglass.engine import Schedule

        if self.norm not in ("linf", "l2"):
            raise ValueError(f"norm: expected linf or l2, found {self.norm!r}")
        if self.momentum not in ("none", "sign", "l1"):
            raise ValueError(f"momentum: expected none, sign or l1, found {self.momentum!r}")
        if self.momentum == "l1" and self.norm == "l2":
            raise ValueError("momentum: 'l1' takes sign steps, so it goes with norm 'linf'; use 'sign' with 'l2'")
        if self.init not in ("uniform", "clean"):
            raise ValueError(f"init: expected uniform or clean, found {self.init!r}")
        if self.select not in ("best", "last"):
            raise ValueError(f"select: expected best or last, found {self.select!r}")
        if self.batch < 1:
            raise ValueError(f"batch: expected at least 1, found {self.batch}")
        (check_epsilon if self.norm == "linf" else check_radius)(self.epsilon)
        self._rule()
        Schedule(self.steps, self.decay, restarts=self.restarts)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        from proofglass.engine import A_GRADIENT, L2, LInf, Schedule, TargetNLL

        victim = with_gradients(self, victim)
        check_targets(samples)
        ball = LInf if self.norm == "linf" else L2
        schedule = Schedule(self.steps, self.decay, restarts=self.restarts)
        if self.decay == "cosine":  # cut off instead, a search would never take its small steps
            schedule = schedule.within(budget, price=A_GRADIENT)
        yield from craft_each(
            victim,
            samples,
            lambda part, clean, x0, seeds: TargetNLL(victim, target_pairs(part, clean)),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=ball(self.epsilon, self.init),
            step=self._rule(),
            schedule=schedule,
            budget=budget,
            select=self.select,
        )

    def _rule(self) -> Step:
        from proofglass.engine import MomentumStep, NormalisedStep, SignStep

        size = max(self.epsilon / 10, 1 / 255) if self.step_size is None else self.step_size
        if self.momentum == "l1":
            return MomentumStep(size, self.momentum_decay, "l1")
        if self.momentum == "sign":
            return MomentumStep(size, self.momentum_decay, "sign" if self.norm == "linf" else "unit")
        return SignStep(size) if self.norm == "linf" else NormalisedStep(size)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])
