"""Auto-PGD (Croce & Hein 2020), per sample: a white-box reference that needs no step size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.crafting.access import with_gradients
from proofglass.attacks.crafting.pixels import craft_each
from proofglass.engine import A_GRADIENT, L2, APGDStep, LInf, Schedule, TargetNLL
from proofglass.engine.constraints import check_epsilon, check_radius
from proofglass.engine.pictures import check_targets, target_pairs
from proofglass.interfaces import Attack, Count, Paper, Positive, Share, Steps, Victim
from proofglass.types import Artefact, Budget, Image, Sample


@dataclass(frozen=True)
class APGD(Attack):
    """One picture per sample, whose step size halves where the loss stalls: `engine.APGDStep` says how.

    epsilon: radius, in pixel units of [0, 1] for norm "linf"; for "l2" the Euclidean norm of the whole difference.
    steps: updates; a budget lowers them first, since the places of the checks depend on their number. step_size: the
    first one; None: 2 epsilon (the paper; RobustVLM takes 1 epsilon). norm: of the ball and of the steps. rho: the
    paper's share of steps that must help, 0.75. momentum: the weight of the new point against the last move, the
    paper's alpha, 0.75. init: "random" on the ball's face, as in the authors' code, or "clean". restarts: runs from
    fresh starts, the best of which counts; a budget is shared between them evenly. start: picture for samples without
    one (None: mid-grey). batch: pictures optimised together; each as in its own run, up to how the victim rounds.

    Source: Croce & Hein 2020, algorithm 1 and the authors' code, which places the checks for small step numbers
    otherwise than the paper. Departures: teacher-forced cross-entropy of `sample.target` instead of a classifier's
    loss (their DLR loss needs class logits), so nothing is known to have succeeded and every restart runs all
    pictures; the first check compares with the loss at the start, as in the paper and not as in the code.
    """

    epsilon: Positive = 16 / 255
    steps: Steps = 100
    step_size: Positive | None = None
    norm: Literal["linf", "l2"] = "linf"
    rho: Share = 0.75
    momentum: Share = 0.75
    init: Literal["random", "clean"] = "random"
    restarts: Count = 1
    start: Image | None = None
    batch: Count = 32

    name = "apgd"
    version = 2  # 8-bit pictures keep to l2 radii, and to l-infinity radii between two grey levels
    paper = Paper(
        "Croce & Hein 2020",
        "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks",
        "arXiv:2003.01690",
    )
    opens = "gradients"
    threat = "user"
    changes = ("image",)
    scope = "sample"

    def __post_init__(self) -> None:
        (check_epsilon if self.norm == "linf" else check_radius)(self.epsilon)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        victim = with_gradients(self, victim)
        check_targets(samples)
        yield from craft_each(
            victim,
            samples,
            lambda part, clean, x0, seeds: TargetNLL(victim, target_pairs(part, clean)),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=LInf(self.epsilon, "face" if self.init == "random" else "clean")
            if self.norm == "linf"
            else L2(self.epsilon, "uniform" if self.init == "random" else "clean"),
            step=self.rule(),
            schedule=Schedule(self.steps, restarts=self.restarts).within(
                budget, price=A_GRADIENT, passes=victim.passes
            ),
            budget=budget,
            select="best",
        )

    def rule(self) -> APGDStep:
        """The step rule."""
        first = 2 * self.epsilon if self.step_size is None else self.step_size
        return APGDStep(first, self.norm, self.rho, self.momentum)
