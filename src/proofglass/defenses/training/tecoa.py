"""TeCoA (Mao et al. 2023): a vision tower learns to name adversarial pictures, by the texts of their classes.

Loss of a picture of class c: max over ||d||_inf <= eps of the cross-entropy of c among 100 x the cosines between the
picture's embedding at x + d and the embedding of each class's text; the mean over pictures. As FARE's authors train it
(chs20/RobustVLM, Schlarmann et al. 2024), whose defaults these are: "This is a photo of a {}", PGD of 10 steps of 1/255
with momentum .9 from a random start, AdamW at 1e-5, decay 1e-4, 20,000 steps of 128 pictures, 1,400 of them warm-up,
cosine. Mao et al. take SGD, and fewer steps for the ascent (not verified). Departures: the tower stays in evaluation
mode; the gradient of a step is cut to length 1; classes are the categories of any data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
from proofglass.errors import UsageError
from proofglass.interfaces import (
    Count,
    Dataset,
    Defense,
    Encoder,
    NonNegative,
    Paper,
    Positive,
    Steps,
    Text,
    TowerLearner,
    Victim,
    WhiteBoxVictim,
)
from proofglass.types import Image, Sample

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 100.0  # CLIP's own, at which its authors clip what it learned
ALIKE = 0.99  # cosine from which two towers are one: their pictures may be resized a little otherwise


class Shown(NamedTuple):
    """A picture and its class."""

    image: Image
    category: str


@dataclass(frozen=True)
class TeCoA(Defense):
    """The vision tower is trained to name adversarial pictures by the texts of their classes.

    Rows are the crafting rows of the data set (all rows of one that has none); of each the first picture of its
    dialogue, and its category as the name of its class. All weights but the tower's stay as they are.

    pictures: the data set, of two categories or more. encoder: contrastive model whose texts are the classes: its
    vision tower must be the very one that the victim has, or training is refused. template: text of a class, "{}"
    stands for its name. epsilon: radius of the pictures around a clean one, 2/255 or 4/255; 0: the clean ones alone.
    attack_steps: steps of the ascent. step_size: of each. steps: of training. batch: pictures a step. rate: of
    learning, at its height. warm_up: steps before that. decay: of weights. seed: of order and random starts. every:
    steps between two checkpoints. tuned: folder of a finished training; beside it the other fields say nothing. None:
    the tower is trained in the run.
    """

    name = "tecoa"
    paper = Paper(
        "Mao et al. 2023",
        "Understanding Zero-Shot Adversarial Robustness for Large-Scale Models",
        "arXiv:2212.07016",
    )
    needs_model = "weights"
    adaptive = "PGD, qi2023 through the hardened tower"
    not_in_key = ("every", "tuned")
    learned_in, learns_from, learned_files = "tuned", ("pictures",), (LEARNED,)

    pictures: Dataset | None = None
    encoder: Encoder | None = None
    template: Text = "This is a photo of a {}"
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
        if self.tuned is None and self.encoder is None:
            raise ValueError("encoder: expected a model with texts, such as testbed-clip or hf-encoder, found none")
        if "{}" not in self.template:
            raise ValueError(f'template: expected a text with "{{}}", found {self.template!r}')
        self._ball  # noqa: B018 (it checks its numbers)

    def fitted(self, model: Victim, folder: Path) -> TeCoA:
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
        encoder = self.encoder
        assert encoder is not None
        rows = ready(self.pictures, lambda sample: self._taken(learner, sample), "pictures", self.name)
        names = sorted({row.category for row in rows.taken})
        if len(names) < 2:
            raise UsageError(
                f"{self.name}.pictures: {self.pictures.name}: expected pictures of two categories or more, found one: "
                f"{names[0]!r}; nothing is told apart"
            )
        _check_shared(self.name, encoder, learner, rows.taken[0].image)
        texts = encoder.text_features([self.template.replace("{}", name) for name in names])

        def loss(shown: Sequence[Shown], x: Tensor) -> Loss:
            import torch

            classes = torch.tensor([names.index(row.category) for row in shown], device=texts.device)
            return lambda seen, which: naming_loss(encoder.projected(seen), texts, classes[list(which)])

        how = Hardening(
            self._ball, encoder.projects, self.batch, self.steps, self.warm_up, self.seed, lambda row: row.image, loss
        )
        content = content_of((sample, (row.category,)) for sample, row in zip(rows.samples, rows.taken, strict=True))
        return how.lesson(learner, rows, content, {"pictures": rows.told(self.pictures), "classes": len(names)})

    def _taken(self, learner: TowerLearner, sample: Sample) -> Shown:
        """Raises ValueError or ImageError for a row that cannot be used, among them one whose class has no text."""
        if not sample.category.strip():
            raise ValueError("category: expected the name of a class, found none")
        assert self.encoder is not None
        self.encoder.text_features([self.template.replace("{}", sample.category)])
        return Shown(first_picture(learner, sample), sample.category)


def naming_loss(seen: Tensor, texts: Tensor, classes: Tensor) -> Tensor:
    """Of each picture: the cross-entropy of its class, from embeddings [B, d] of pictures and [C, d] of the classes'
    texts, of any length (Mao et al. 2023)."""
    from torch.nn.functional import cross_entropy, normalize

    return cross_entropy(SCALE * normalize(seen, dim=-1) @ normalize(texts, dim=-1).T, classes, reduction="none")


def _check_shared(name: str, encoder: Encoder, learner: TowerLearner, image: Image) -> None:
    """Raises UsageError unless the tower that learns begins as the encoder's own."""
    from torch.nn.functional import cosine_similarity

    x = learner.pixels(image)
    seen = learner.original(x, encoder.projects)
    try:
        found = float(cosine_similarity(encoder.projected(seen).float(), encoder.features(x).detach().float())[0])
    except RuntimeError as error:  # torch says so of another width
        found, why = 0.0, f" ({error})"
    else:
        why = ""
    if not found >= ALIKE:
        raise UsageError(
            f"{name}.encoder: {encoder.name}: its vision tower is another one than the victim's: of the same picture "
            f"they make embeddings of cosine {found:.3f}, expected {ALIKE} or more{why}; name the contrastive model "
            "from which the victim has its tower"
        )
