"""Projected descent on gradients estimated from losses alone: NES, SPSA and RGF, per sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.attacks.image.pixels import check_targets, craft_each, target_pairs
from proofglass.attacks.image.scored import with_losses
from proofglass.engine.constraints import check_epsilon
from proofglass.interfaces import Attack, Paper, Victim
from proofglass.types import Artefact, Budget, Chat, Image, Sample

if TYPE_CHECKING:
    from proofglass.engine import Estimated, Objective
    from proofglass.engine.steps import Step


@dataclass(frozen=True)
class BlackBoxPGD(Attack):
    """One picture per sample, moved along a gradient that `draws` random probes of radius `sigma` suggest.

    kind: "spsa" (random signs, two-sided, 2 x draws queries a step), "nes" (Gaussian, two-sided, the same number) or
    "rgf" (Gaussian, one-sided, draws + 1). sigma: pixel units of [0, 1]; against an 8-bit interface 1/255 or more.
    epsilon: l-infinity radius in pixel units. rule: "adam" with learning rate `step_size`, or "sign" steps of it.
    init: "clean" or "uniform" in the ball. start: picture for samples without one (None: mid-grey). batch: pictures
    optimised together; each as in its own run, up to how the victim rounds.
    Access: a score-based black box. A query is one forward pass that returns the loss of the target, never a
    gradient; a victim that gives replies only raises UsageError. The best picture counts for "rgf", which knows the
    loss at each iterate; the last one for the others, which spend no query on it.
    Sources: Uesato et al. 2018 (SPSA), Ilyas et al. 2018 (NES), Nesterov & Spokoiny 2017 (RGF). sigma 0.01, 128
    draws and Adam at 0.01 are the defaults of torchattacks' SPSA, a third party. Departures: its single step is
    raised to 100, as one step cannot leave a ball of its own length; teacher-forced cross-entropy of `sample.target`
    instead of a classifier's loss.
    """

    epsilon: float = 16 / 255
    steps: int = 100
    kind: Literal["spsa", "nes", "rgf"] = "spsa"
    sigma: float = 0.01
    draws: int = 128
    rule: Literal["adam", "sign"] = "adam"
    step_size: float = 0.01
    init: Literal["clean", "uniform"] = "clean"
    start: Image | None = None
    batch: int = 32

    name = "black-box-pgd"
    version = 2  # 8-bit pictures keep to radii between two grey levels
    paper = Paper(
        "Uesato et al. 2018",
        "Adversarial Risk and the Dangers of Evaluating Against Weak Attacks",
        "arXiv:1802.05666",
    )
    access = "black"
    threat = "user"
    changes = ("image",)
    scope = "sample"
    reads_loss = True

    def __post_init__(self) -> None:
        from proofglass.engine import Schedule

        check_epsilon(self.epsilon)
        if self.kind not in ("spsa", "nes", "rgf"):
            raise ValueError(f"kind: expected spsa, nes or rgf, found {self.kind!r}")
        if not 0 < self.sigma <= 1:
            raise ValueError(f"sigma: expected 0 < sigma <= 1 (pixels are in [0, 1]), found {self.sigma:g}")
        if self.draws < 1:
            raise ValueError(f"draws: expected at least 1, found {self.draws}")
        if self.rule not in ("adam", "sign"):
            raise ValueError(f"rule: expected adam or sign, found {self.rule!r}")
        if self.init not in ("clean", "uniform"):
            raise ValueError(f"init: expected clean or uniform, found {self.init!r}")
        if self.batch < 1:
            raise ValueError(f"batch: expected at least 1, found {self.batch}")
        self._rule()
        Schedule(self.steps)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        from proofglass.engine import LInf, Schedule, TargetNLL

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
        from proofglass.engine import Estimated

        return Estimated(objective, self.kind, self.sigma, self.draws, tuple(seeds))

    def _rule(self) -> Step:
        from proofglass.engine import Adam, SignStep

        return Adam(self.step_size) if self.rule == "adam" else SignStep(self.step_size)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])
