"""FARE (Schlarmann et al. 2024): a vision tower learns that pictures near each other mean what the first one meant.

Loss of a picture: max over ||d||_inf <= eps of ||f(x + d) - f_0(x)||^2, f the tower that learns, f_0 the same one
before it learned; summed over dimensions, embeddings not normalised; the mean over pictures. Defaults of the authors'
code (chs20/RobustVLM): PGD of 10 steps of 1/255 with momentum .9 from a random start, AdamW at 1e-5, decay 1e-4, 20,000
steps of 128 pictures, 1,400 of them warm-up, cosine. Departures: the tower stays in evaluation mode; the gradient of a
step is cut to length 1; the embedding is the tower's own output, theirs CLIP's projection of it; pictures are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proofglass.defenses.learned import check_either
from proofglass.defenses.towers import Ball, Hardening, Loss, first_picture
from proofglass.defenses.tuning import (
    LEARNED,
    Lesson,
    content_of,
    put_in,
    ready,
    seen_through,
    trained_tower,
)
from proofglass.interfaces import (
    Count,
    Dataset,
    Defense,
    Layer,
    NonNegative,
    Paper,
    Positive,
    Steps,
    TowerLearner,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Image

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FARE(Defense):
    """The vision tower is trained to see adversarial pictures as it saw the clean ones; nothing is labelled.

    Rows are the crafting rows of the data set (all rows of one that has none); of each the first picture of its
    dialogue, and nothing else. All weights but the tower's stay as they are.

    pictures: the data set. layer: what is held to its place: the tower's "pooled" output, as in the paper, or the
    "patches" that the rest of the model reads, for a tower whose pooled output says little. epsilon: radius of the
    pictures around a clean one, 2/255 or 4/255 in the paper; 0: the clean ones alone. attack_steps: steps of the
    ascent. step_size: of each. steps: of training. batch: pictures a step. rate: of learning, at its height. warm_up:
    steps before that. decay: of weights. seed: of order and random starts. every: steps between two checkpoints. tuned:
    folder of a finished training; beside it the other fields say nothing. None: the tower is trained in the run.
    """

    name = "fare"
    paper = Paper(
        "Schlarmann et al. 2024",
        "Robust CLIP: Unsupervised Adversarial Fine-Tuning of Vision Embeddings for Robust Large Vision-Language "
        "Models",
        "arXiv:2402.12336",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 through the hardened tower"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("pictures",), (LEARNED,)

    pictures: Dataset | None = None
    layer: Layer = "pooled"
    epsilon: NonNegative = 2 / 255
    attack_steps: Count = 10
    step_size: Positive = 1 / 255
    steps: Count = 20_000
    batch: Count = 128
    rate: Positive = 1e-5
    warm_up: Steps = 1_400
    decay: NonNegative = 1e-4
    seed: int = 0
    every: Count = 25
    tuned: Path | None = None

    def __post_init__(self) -> None:
        check_either("tuned", self.tuned, pictures=self.pictures)
        self._ball  # noqa: B018 (it checks its numbers)

    def fitted(self, model: Victim, folder: Path) -> FARE:
        return trained_tower(self, model, folder, self._lesson)

    def __call__(self, victim: Victim) -> Victim:
        return put_in(self, victim)

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return seen_through(self, model)

    # ---- what is taught ---------------------------------------------------------------------------------------------

    @property
    def _ball(self) -> Ball:
        return Ball(self.epsilon, self.attack_steps, self.step_size)

    def _lesson(self, learner: TowerLearner) -> Lesson:
        assert self.pictures is not None
        rows = ready(self.pictures, lambda sample: first_picture(learner, sample), "pictures", self.name)

        def loss(images: Sequence[Image], x: Tensor) -> Loss:
            wanted = learner.original(x, self.layer)
            return lambda seen, which: distance(seen, wanted[list(which)])

        how = Hardening(
            self._ball, self.layer, self.batch, self.steps, self.warm_up, self.seed, lambda image: image, loss
        )
        content = content_of((sample, ()) for sample in rows.samples)
        return how.lesson(learner, rows, content, {"pictures": rows.told(self.pictures)})


def distance(seen: Tensor, wanted: Tensor) -> Tensor:
    """||f(x + d) - f_0(x)||^2 of each picture, summed over all dimensions (Schlarmann et al. 2024)."""
    return (seen - wanted).square().flatten(1).sum(1)
