"""End-to-end attack of Carlini et al. (2023), arXiv:2306.15447: any picture at all that makes the victim say a text.

The distance to the first picture is not bounded; it is measured. No code was published, and step, budget and losses are
known from the paper's reviews and citations only. Decisions and departures: the step of 0.2 has l2 norm 0.2 (with sign
steps of 0.2 the distances that the paper reports cannot come out); success is tested after every step, on the 8-bit
picture; the first picture is uniform noise, rounded to 8 bit, so that it is a picture too; the text is the beginning of
the sample's own target (theirs: one to three toxic tokens, which are not shipped); what is said before the question is
the data set's business (theirs: a benign dialogue, cut at a random turn).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from proofglass.attacks.image.pixels import craft_each, target_pairs
from proofglass.attacks.image.scored import with_gradients
from proofglass.interfaces import Attack, Paper, Victim, WhiteBoxVictim
from proofglass.registry import build
from proofglass.types import Artefact, Ask, Attempt, Budget, Chat, Image, Sample, Settings

if TYPE_CHECKING:
    from proofglass.engine import Check, Look
    from proofglass.engine.steps import Step


@dataclass(frozen=True)
class Carlini2023(Attack):
    """One picture per sample, until the greedy reply holds the target; bounded by [0, 1] alone.

    Minimises the summed cross-entropy of the target's tokens. target: one text for all samples; empty: the first
    `words` words of each sample's own (None: all of it). steps: at most. norm "l2": every step has Euclidean length
    `step_size` in [0, 1] units; "linf": every value moves by `step_size`. init: "uniform" noise (the paper: a random
    picture) or "clean", the sample's own picture (else `start`, else mid-grey). check_every: steps between two looks
    at the reply, which is `extra_tokens` longer than the target. batch: pictures optimised together; each as in its
    own run, up to how the victim rounds. The trace holds "distance": ||x - x0||_2 of the 8-bit pictures, in [0, 1]
    units.
    """

    target: str = ""
    words: int | None = 3
    steps: int = 500
    step_size: float = 0.2
    norm: Literal["l2", "linf"] = "l2"
    init: Literal["uniform", "clean"] = "uniform"
    check_every: int = 1
    extra_tokens: int = 16
    start: Image | None = None
    batch: int = 32

    name = "carlini2023"
    paper = Paper("Carlini et al. 2023", "Are aligned neural networks adversarially aligned?", "arXiv:2306.15447")
    access = "white"
    threat = "user"
    changes = ("image",)
    scope = "sample"
    reports = (
        "toxic tokens said by 100 % of attacked MiniGPT-4, LLaVA and LLaMA-Adapter V2; mean l2 distance on LLaVA 0.86 "
        "(from third parties)"
    )

    def __post_init__(self) -> None:
        from proofglass.engine import Schedule

        if self.words is not None and self.words < 1:
            raise ValueError(f"words: expected at least 1, or None for the whole target, found {self.words}")
        if self.norm not in ("l2", "linf"):
            raise ValueError(f"norm: expected l2 or linf, found {self.norm!r}")
        if self.init not in ("uniform", "clean"):
            raise ValueError(f"init: expected uniform or clean, found {self.init!r}")
        for field in ("check_every", "extra_tokens", "batch"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: expected at least 1, found {getattr(self, field)}")
        Schedule(self.steps)
        self.rule()

    def rule(self) -> Step:
        """The step rule. Raises ValueError for a bad step size."""
        from proofglass.engine import NormalisedStep, SignStep

        return NormalisedStep(self.step_size) if self.norm == "l2" else SignStep(self.step_size)

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        from proofglass.engine import Box, Schedule, TargetNLL

        victim = with_gradients(self, victim)
        yield from map(
            _with_distance,
            craft_each(
                victim,
                [self._aimed(sample, victim, seed) for sample in samples],
                lambda part, clean, x0, seeds: TargetNLL(victim, target_pairs(part, clean), weighting="sum"),
                seed=seed,
                batch=self.batch,
                start=self.start,
                constraint=Box("clean"),
                step=self.rule(),
                schedule=Schedule(self.steps),
                budget=budget,
                check=lambda part, clean: self._check(victim, part, clean),
            ),
        )

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])

    def _aimed(self, sample: Sample, victim: WhiteBoxVictim, seed: int) -> Sample:
        """The sample with the text to say as its target and the first picture in its chat."""
        target = self.target or " ".join(sample.target.split()[: self.words])
        chat = sample.chat.with_image(_noise(victim, seed, sample.id)) if self.init == "uniform" else sample.chat
        return dataclasses.replace(sample, chat=chat, target=target)

    def _check(self, victim: WhiteBoxVictim, part: Sequence[Sample], clean: Sequence[Image]) -> Check:
        """Does the greedy reply to the 8-bit picture hold the target? Case and outer space are folded."""
        from proofglass.engine import Check, Look, replies_cost

        judge = build("judges", "target-string", mode="contains")
        lengths = [sum(spans[0]) for spans in victim.prepare(target_pairs(part, clean)).spans]

        def score(pictures: list[Image], rows: list[int]) -> list[Look]:
            asks = [
                Ask(part[b].chat.with_image(picture), Settings(max_new_tokens=lengths[b] + self.extra_tokens))
                for picture, b in zip(pictures, rows, strict=True)
            ]
            replies = victim.reply(asks)
            attempts = [Attempt(part[b], ask.chat, r) for b, ask, r in zip(rows, asks, replies, strict=True)]
            verdicts = judge.score(attempts)
            return [Look(v.value or 0.0, replies_cost([r])) for v, r in zip(verdicts, replies, strict=True)]

        return Check(self.check_every, score)


def _noise(victim: WhiteBoxVictim, seed: int, sample: str) -> Image:
    """Uniform noise of the victim's own size, drawn from seed and sample alone."""
    import torch

    from proofglass.engine import quantise
    from proofglass.engine.seeds import stream

    width, height = victim.image_size or (224, 224)
    (picture,) = quantise(torch.rand(1, 3, height, width, generator=stream(seed, sample, "noise")))
    return picture


def _with_distance(artefact: Artefact) -> Artefact:
    return dataclasses.replace(artefact, trace={**artefact.trace, "distance": artefact.trace["l2"]})
