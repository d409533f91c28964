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

from proofglass.attacks.crafting.access import with_gradients
from proofglass.attacks.crafting.fields import Epsilon, StepSize
from proofglass.attacks.crafting.pixels import by_id, craft_one, first_picture
from proofglass.engine import Box, LInf, Schedule, SignStep, TargetNLL
from proofglass.interfaces import Attack, Count, Paper, Steps, Text, Victim
from proofglass.types import Artefact, Budget, Chat, Image, Sample


@dataclass(frozen=True)
class Qi2023(Attack):
    """One universal picture against a corpus of targets (white box, projected sign descent).

    epsilon: l-infinity radius in pixel units of [0, 1]; None = unbounded, which starts from noise and knows no clean
    picture. steps: updates, the paper's 5000. step_size: of a sign step, in pixel units, the paper's 1/255.
    targets_per_step: how many targets a step sees, drawn without replacement; the paper's 8. context: "empty" teaches
    each target under an EMPTY user text (the paper); "sample" teaches each crafting sample's target under its own
    prompt (behaviour matching in the manner of Bailey et al. 2023). targets: the corpus for "empty" (empty: the targets
    of the crafting samples). weighting: of the targets' tokens: "token" = Hugging Face's loss over the batch (theirs),
    "pair" = the mean over targets, "sum". start: clean picture (None: that of the first crafting sample by id that has
    one, else mid-grey).

    Targets are drawn by the ids of the samples (of `targets`: by their order): the samples' order changes
    nothing, another set does.
    """

    epsilon: Epsilon | None = 16 / 255
    steps: Steps = 5000
    step_size: StepSize = 1 / 255
    targets_per_step: Count = 8
    context: Literal["empty", "sample"] = "empty"
    targets: tuple[Text, ...] = ()
    weighting: Literal["token", "pair", "sum"] = "token"
    start: Image | None = None

    name = "qi2023"
    version = 3  # draws go by the ids of samples; 8-bit pictures keep to radii between two grey levels
    paper = Paper(
        "Qi et al. 2023",
        "Visual Adversarial Examples Jailbreak Aligned Large Language Models",
        "arXiv:2306.13213",
    )
    opens = "gradients"
    threat = "user"
    changes = ("image",)
    scope = "universal"
    reports = (
        "RealToxicityPrompts, any of six attributes above 0.5, MiniGPT-4: 34.8 % clean, 67.2 % at 64/255 "
        "(figures from memory, unverified)"
    )

    def __post_init__(self) -> None:
        if self.context == "sample" and self.targets:
            raise ValueError("targets: with context 'sample' each crafting sample brings its own target")

    def craft(
        self, victim: Victim, samples: Sequence[Sample], *, seed: int, budget: Budget | None = None
    ) -> Iterator[Artefact]:
        victim, samples = with_gradients(self, victim), by_id(samples)
        clean, x0 = first_picture(victim, samples, self.start)
        yield craft_one(
            victim,
            TargetNLL(victim, [self._pairs(samples, clean)], self.targets_per_step, seed, self.weighting),
            None if self.epsilon is None else clean,
            x0,
            constraint=Box() if self.epsilon is None else LInf(self.epsilon),
            step=SignStep(self.step_size),
            schedule=Schedule(self.steps),
            seed=seed,
            budget=budget,
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
