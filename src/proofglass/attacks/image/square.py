"""The Square attack (Andriushchenko et al. 2020), per sample: random search, the reference without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from proofglass.attacks.crafting.access import with_losses
from proofglass.attacks.crafting.fields import Epsilon
from proofglass.attacks.crafting.pixels import craft_each
from proofglass.engine import A_LOSS, LInf, Schedule, SquareStep, TargetNLL
from proofglass.engine.pictures import check_targets, target_pairs
from proofglass.interfaces import Attack, Count, Paper, Steps, Victim
from proofglass.types import Artefact, Budget, Image, Sample


@dataclass(frozen=True)
class Square(Attack):
    """One picture per sample: squares of +-epsilon at random places, each kept if the target's loss falls.

    epsilon: l-infinity radius in pixel units of [0, 1]. steps: proposals, the stripes of the start among them; each
    costs one query, and a budget lowers their number first, since the side of the squares shrinks over all of them.
    p_init: share of the pixels that the first square changes. start: picture for samples without one (None:
    mid-grey). batch: pictures searched together; each as in its own run, up to how the victim rounds.

    Access: a score-based black box. A query is one forward pass that returns the loss of the target, never a
    gradient; a victim that gives replies only cannot be searched so, and raises UsageError.
    Source: Andriushchenko et al. 2020, l-infinity, and the code in AutoAttack, whose p_init of 0.8 is the default here;
    the authors' own code has 0.05 as its default, which is what they ran on ImageNet. Departures: teacher-forced
    cross-entropy of `sample.target` instead of the margin between classes, so the search does not stop at a success;
    the clean picture costs one query more and stands if nothing beats it.
    """

    epsilon: Epsilon = 16 / 255
    steps: Steps = 5000
    p_init: Annotated[float, Interval(gt=0, le=1)] = 0.8
    start: Image | None = None
    batch: Count = 32

    name = "square"
    version = 2  # 8-bit pictures keep to radii between two grey levels
    paper = Paper(
        "Andriushchenko et al. 2020",
        "Square Attack: a query-efficient black-box adversarial attack via random search",
        "arXiv:1912.00049",
    )
    opens = "scores"
    threat = "user"
    changes = ("image",)
    scope = "sample"

    def rule(self) -> SquareStep:
        """The step rule: which squares are proposed."""
        return SquareStep(self.epsilon, self.p_init)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        open_victim = with_losses(self, victim)
        check_targets(samples)
        yield from craft_each(
            open_victim,
            samples,
            lambda part, clean, x0, seeds: TargetNLL(open_victim, target_pairs(part, clean)),
            seed=seed,
            batch=self.batch,
            start=self.start,
            constraint=LInf(self.epsilon, "clean"),
            step=self.rule(),
            schedule=Schedule(self.steps).within(budget, price=A_LOSS, passes=open_victim.passes),
            budget=budget,
            select="best",
        )
