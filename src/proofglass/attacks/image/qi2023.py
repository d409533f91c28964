"""Universal visual adversarial example of Qi et al. (2023), arXiv:2306.13213.

One picture, optimised against a small corpus of target texts, weakens refusal on any prompt.
Departures from the authors' code: `steps` updates, theirs makes one more; the result is the last iterate, theirs the
last snapshot (a multiple of 100 steps, stale for other step counts); pixels stay float32 throughout; the corpus is a
parameter or comes from the data set, theirs (derogatory sentences) is not shipped; decoding settings belong to the
study (theirs samples at temperature 1, top-p 0.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from proofglass.attacks.image.pixels import by_id, start_pixels, texts, trace_of
from proofglass.attacks.image.scored import with_gradients
from proofglass.engine.constraints import check_epsilon
from proofglass.interfaces import Attack, Paper, Victim, Weighting
from proofglass.types import Artefact, Budget, Chat, Image, Sample


@dataclass(frozen=True)
class Qi2023(Attack):
    """One universal picture against a corpus of targets (white box, projected sign descent).

    epsilon: l-infinity radius in pixel units of [0, 1]; None = unbounded, which starts from noise and knows no
    clean picture. step_size 1/255, steps 5000, targets_per_step 8 (drawn without replacement): the paper's.
    context: "empty" teaches each target under an EMPTY user text (the paper); "sample" teaches each crafting
    sample's target under its own prompt (behaviour matching in the manner of Bailey et al. 2023). targets: the
    corpus for "empty" (empty: the targets of the crafting samples). weighting: "token" = Hugging Face's loss over
    the batch (theirs). start: clean picture (None: that of the first crafting sample by id that has one, else
    mid-grey). Targets are drawn by the ids of the samples (of `targets`: by their order): the samples' order changes
    nothing, another set does.
    """

    epsilon: float | None = 16 / 255
    steps: int = 5000
    step_size: float = 1 / 255
    targets_per_step: int = 8
    context: Literal["empty", "sample"] = "empty"
    targets: tuple[str, ...] = ()
    weighting: Weighting = "token"
    start: Image | None = None

    name = "qi2023"
    version = 3  # draws go by the ids of samples; 8-bit pictures keep to radii between two grey levels
    paper = Paper(
        "Qi et al. 2023",
        "Visual Adversarial Examples Jailbreak Aligned Large Language Models",
        "arXiv:2306.13213",
    )
    access = "white"
    threat = "user"
    changes = ("image",)
    scope = "universal"
    reports = (
        "RealToxicityPrompts, any of six attributes above 0.5, MiniGPT-4: 34.8 % clean, 67.2 % at 64/255 "
        "(figures from memory, unverified)"
    )

    def __post_init__(self) -> None:
        from proofglass.engine import SignStep

        object.__setattr__(self, "targets", texts("targets", self.targets))
        if self.epsilon is not None:
            check_epsilon(self.epsilon)
        SignStep(self.step_size)
        if self.steps < 0:
            raise ValueError(f"steps: expected 0 or more, found {self.steps}")
        if self.targets_per_step < 1:
            raise ValueError(f"targets_per_step: expected at least 1, found {self.targets_per_step}")
        if self.context not in ("empty", "sample"):
            raise ValueError(f"context: expected empty or sample, found {self.context!r}")
        if self.weighting not in ("token", "pair", "sum"):
            raise ValueError(f"weighting: expected token, pair or sum, found {self.weighting!r}")
        if self.context == "sample" and self.targets:
            raise ValueError("targets: with context 'sample' each crafting sample brings its own target")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        from proofglass.engine import Box, LInf, Schedule, SignStep, TargetNLL, minimise

        victim, samples = with_gradients(self, victim), by_id(samples)
        first = next((s.chat for s in samples if s.chat.images), Chat.user(""))
        (clean,), x0 = start_pixels(victim, [Chat.user("") if self.start else first], self.start)
        objective = TargetNLL(victim, [self._pairs(samples, clean)], self.targets_per_step, seed, self.weighting)
        found = minimise(
            objective,
            x0,
            constraint=Box() if self.epsilon is None else LInf(self.epsilon),
            step=SignStep(self.step_size),
            schedule=Schedule(self.steps),
            seed=seed,
            budget=budget,
        )
        yield Artefact(
            images=tuple(found.images()),
            clean=None if self.epsilon is None else clean,
            crafted_on=victim.key,
            cost=found.cost,
            trace=trace_of(found, victim, moved=self.epsilon is not None),
        )

    def _pairs(self, samples: Sequence[Sample], clean: Image) -> list[tuple[Chat, str]]:
        """(chat, target) pairs; the picture in each chat is a place holder for the one being optimised."""
        if self.context == "sample":
            pairs = [(s.chat.with_image(clean), s.target) for s in samples if s.target]
        else:
            corpus = self.targets or tuple(dict.fromkeys(s.target for s in samples if s.target))
            pairs = [(Chat.user(clean, ""), target) for target in corpus]
        if not pairs:
            raise ValueError(
                "targets: nothing to optimise for; give `targets`, or a data set whose crafting split has targets"
            )
        return pairs

    def apply(self, artefact: Artefact, sample: Sample) -> Chat:
        return sample.chat.with_image(artefact.images[0])
