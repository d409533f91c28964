"""ASTRA (Wang et al. 2025): every step of a reply is moved away from the direction in which adversarial pictures push.

The formula of the authors' code. Departures: their direction comes from picture tokens that a Lasso over random
ablations blames; `fit` takes the mean difference of the last token's states with and without the adversarial pictures,
and a tensor of the authors' kind can be put in its place. alpha and the layer depend on the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from proofglass.defenses.acting import opens_layers
from proofglass.defenses.learned import check_either, once, rows_of, unlearned
from proofglass.defenses.opened import Lens, Opened
from proofglass.defenses.vectors import TENSORS, chats_of, load, save, states_of
from proofglass.errors import UsageError
from proofglass.interfaces import (
    Attack,
    Change,
    Dataset,
    Defense,
    NonNegative,
    Paper,
    Victim,
    WhiteBoxVictim,
    innermost,
    rebased,
)
from proofglass.types import Chat, Sample

if TYPE_CHECKING:
    import torch

PORTS = ("hidden_states", "steering")
SHAPES = {"vector": 2, "reference": 2}


@dataclass(frozen=True)
class Astra(Defense):
    """At one layer the prompt's last token and every token of the reply lose what leads towards adversarial pictures.

    h becomes h - alpha |h| max(0, cos(h - h_ref, v)) v / |v|: the identity at or behind the reference h_ref.

    vectors: folder that `fit` wrote; one of another model is refused. None: they are learned in the run.
    clean: a data set with pictures, whose crafting rows are learned from then. attack: what makes these pictures
    adversarial, crafted on the bare model. alpha: strength (the authors: 10 for LLaVA-1.5,
    5 to 7 for MiniGPT-4, 7 for Qwen2-VL); 0 is the identity. layer: which one; None: halfway (the authors: 20 of 40,
    14 of 28).
    """

    name = "astra"
    paper = Paper(
        "Wang et al. 2025",
        "Steering Away from Harm: An Adaptive Approach to Defending Vision Language Model Against Jailbreaks",
        "arXiv:2411.16721",
    )
    needs_model = "layers"
    adaptive = "PGD, qi2023 through the lens"

    vectors: Path | None = None
    clean: Dataset | None = None
    attack: Attack | None = None
    alpha: NonNegative = 10.0
    layer: int | None = None

    not_in_key = ("vectors",)
    learned_in, learns_from, learned_files = "vectors", ("clean",), (TENSORS,)
    not_learned = ("alpha", "layer")

    def __post_init__(self) -> None:
        check_either("vectors", self.vectors, clean=self.clean)
        if self.vectors is None and self.attack is None:
            raise ValueError("attack: expected one that makes the pictures of `clean` adversarial, such as pgd")

    def fitted(self, model: Victim, folder: Path) -> Astra:
        inner = opens_layers(self, innermost(model), *PORTS)
        samples = rows_of(self.clean, "clean")
        once(
            folder,
            lambda: load(folder, self.name, inner, SHAPES),
            lambda: self.fit(inner, self._attacked(inner, samples), samples, folder=folder),
            {"rows": len(samples)},
        )
        return replace(self, vectors=folder)

    def _attacked(self, model: WhiteBoxVictim, samples: Sequence[Sample]) -> list[Chat]:
        assert self.attack is not None
        made = list(self.attack.craft(model, samples, seed=0))
        return [self.attack.apply(made[k if len(made) > 1 else 0], sample) for k, sample in enumerate(samples)]

    def __call__(self, victim: Victim) -> Victim:
        return rebased(victim, lambda model: self.opened(opens_layers(self, model, *PORTS)))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        steering = self.steering(opens_layers(self, model, *PORTS))
        return Opened(model, self, Lens(steering=steering))

    def steering(self, model: WhiteBoxVictim) -> Mapping[int, Change]:
        """What becomes of the tokens that speak. Raises UsageError for vectors that are not of `model`."""
        if self.vectors is None:
            raise unlearned(self.name, "vectors")
        found, _ = load(self.vectors, self.name, model, SHAPES)
        depth = len(found["vector"])
        layer = depth // 2 if self.layer is None else self.layer
        if not 0 <= layer < depth:
            raise UsageError(f"{self.name}: layer: expected 0 to {depth - 1}, found {layer}")
        if self.alpha == 0:
            return {}
        v, reference = found["vector"][layer], found["reference"][layer]
        return {layer: lambda states: turned(states, v.to(states), reference.to(states), self.alpha)}

    @classmethod
    def fit(
        cls,
        model: WhiteBoxVictim,
        adversarial: Iterable[Chat | Sample],
        clean: Iterable[Chat | Sample],
        *,
        folder: Path,
    ) -> Self:
        """Find the direction from dialogues with clean pictures to those with adversarial ones, and the reference (the
        mean state with clean pictures), in every layer; write both into `folder`, and give the defense that uses them.
        Raises ValueError where the two look alike."""
        bad, good = chats_of(adversarial, "adversarial"), chats_of(clean, "clean")
        high, low = (states_of(opens_layers(cls, model, *PORTS), chats).mean(0) for chats in (bad, good))
        vector = high - low
        if bool((vector.norm(dim=1) == 0).any()):
            raise ValueError("adversarial, clean: both look alike inside the model; expected different pictures")
        save(
            Path(folder), cls.name, model, {"vector": vector, "reference": low},
            {"adversarial": len(bad), "clean": len(good)},
        )  # fmt: skip
        return cls(Path(folder))


def turned(states: torch.Tensor, v: torch.Tensor, reference: torch.Tensor, alpha: float) -> torch.Tensor:
    """`states` [n, d], those before the reference moved against `v`."""
    import torch

    near = torch.nn.functional.cosine_similarity(states - reference, v[None], dim=-1).clamp(0, 1)
    far: torch.Tensor = alpha * states.norm(dim=-1, keepdim=True) * near[:, None] * v / v.norm()
    return states - far
