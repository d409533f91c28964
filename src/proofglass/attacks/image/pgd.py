"""Projected gradient descent (Madry et al. 2018), per sample: the reference white-box attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.image.pixels import start_pixels
from proofglass.engine.constraints import check_epsilon
from proofglass.interfaces import Attack, Paper, Victim, WhiteBoxVictim
from proofglass.types import Artefact, Chat, Cost, Image, Sample


@dataclass(frozen=True)
class PGD(Attack):
    """One picture per sample, optimised until the victim says that sample's target, within `epsilon`.

    epsilon: l-infinity radius in pixel units of [0, 1]. steps: updates. step_size: None = max(epsilon/10, 1/255).
    decay: of the step size. init: "uniform" in the ball or "clean". select: "best" loss or "last" iterate.
    start: picture for samples without one (None: mid-grey). batch: pictures optimised together; each picture's
    result equals its own run.
    Source: Madry et al. 2018, section 2.1. Target: teacher-forced cross-entropy of `sample.target`.
    """

    epsilon: float = 16 / 255
    steps: int = 100
    step_size: float | None = None
    decay: Literal["constant", "cosine"] = "constant"
    init: Literal["uniform", "clean"] = "uniform"
    select: Literal["best", "last"] = "best"
    start: Image | None = None
    batch: int = 32

    name = "pgd"
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
        check_epsilon(self.epsilon)
        if self.batch < 1:
            raise ValueError(f"batch: expected at least 1, found {self.batch}")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: int | None = None
    ) -> Iterator[Artefact]:
        from proofglass.engine import LInf, Schedule, SignStep, TargetNLL, minimise

        assert isinstance(victim, WhiteBoxVictim)
        rule = SignStep(self.step_size or max(self.epsilon / 10, 1 / 255))
        for at in range(0, len(samples), self.batch):
            part = samples[at : at + self.batch]
            clean, x0 = start_pixels(victim, [s.chat for s in part], self.start)
            pairs = [[(s.chat.with_image(c), s.target)] for s, c in zip(part, clean, strict=True)]
            found = minimise(
                TargetNLL(victim, pairs, seed=seed),
                x0,
                constraint=LInf(self.epsilon, self.init),
                step=rule,
                schedule=Schedule(self.steps, self.decay),
                seed=seed + at,
                budget=budget,
                select=self.select,
            )
            share = Cost(found.cost.forward // len(part), found.cost.backward // len(part))
            for sample, before, after in zip(part, clean, found.images(), strict=True):
                yield Artefact(sample.id, (after,), clean=before, crafted_on=victim.key, cost=share, trace=found.trace)

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])
