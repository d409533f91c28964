"""InferAligner (Wang et al. 2024): layers are steered towards refusal where a prompt looks harmful from inside.

Formulas follow the authors' description (their repository holds no code) and the paper. Not published, so parameters:
alpha, the layers, the bias of the gate, whether vectors are normalised. Departures: the gates of all layers are read
off one pass over the prompt as it is, before anything is steered, which costs one prefill; the bias lies halfway
between the mean projections of both sides, or where a share of harmless prompts that `fit` is given passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from proofglass.defenses.acting import opens_layers
from proofglass.defenses.gated import Gated, Pattern
from proofglass.defenses.learned import check_either, once, rows_of, unlearned
from proofglass.defenses.opened import Lens, Opened
from proofglass.defenses.vectors import TENSORS, chats_of, check_share, load, middle, save, states_of
from proofglass.errors import UsageError
from proofglass.interfaces import (
    Dataset,
    Defense,
    NonNegative,
    Paper,
    Share,
    Victim,
    WhiteBoxVictim,
    innermost,
    rebased,
)
from proofglass.types import Chat, Sample

if TYPE_CHECKING:
    import torch

PORTS = ("hidden_states", "prompt_states", "steering")
SHAPES = {"srv": 2, "ssv": 2, "bias": 1, "accuracy": 1}


@dataclass(frozen=True)
class InferAligner(Defense):
    """Adds alpha x (safety vector) to chosen layers, at all tokens, for prompts whose last token opens the gate.

    Gate of a layer: h . s + b > threshold, h the state of the prompt's last token, s the unit vector from harmless to
    harmful prompts in this model (SRV). It is frozen for the reply. What is added is the same construction of an
    aligned model of the same shape (SSV), or the model's own. In a stack it acts inside the model, wherever it stands.

    vectors: folder that `fit` wrote; one of another model is refused. None: they are learned in the run.
    harmful: a data set of prompts that are to be refused, whose crafting rows are learned from then. harmless: one of
    prompts that are not. false_alarms: as for `fit`, in such a run. alpha: strength; 0 is the identity. layers: those
    that are steered; none: from 3/8 to 3/4 of the depth (12 to 24 of 32). gate: each layer by its own gate ("layer"),
    or all by that of the layer which tells harmful from harmless best ("best_layer"). threshold: above which a gate
    opens. normalize: the added vectors have length 1, as the gate's do; false: they are as long as they were found.
    """

    name = "inferaligner"
    version = 2  # what its gate adds to an attacker's loss is bounded
    paper = Paper(
        "Wang et al. 2024",
        "InferAligner: Inference-Time Alignment for Harmlessness through Cross-Model Guidance",
        "arXiv:2401.11206",
    )
    needs_model = "layers"
    adaptive = "PGD, qi2023 through the lens, with the hinge of its gates"

    vectors: Path | None = None
    harmful: Dataset | None = None
    harmless: Dataset | None = None
    false_alarms: Share | None = None
    alpha: NonNegative = 4.0
    layers: tuple[int, ...] = ()
    gate: Literal["layer", "best_layer"] = "layer"
    threshold: float = 0.0
    normalize: bool = True

    not_in_key = ("vectors",)
    learned_in, learns_from, learned_files = "vectors", ("harmful", "harmless"), (TENSORS,)
    not_learned = ("alpha", "layers", "gate", "threshold", "normalize")

    def __post_init__(self) -> None:
        check_either("vectors", self.vectors, harmful=self.harmful, harmless=self.harmless)

    def fitted(self, model: Victim, folder: Path) -> InferAligner:
        inner = opens_layers(self, innermost(model), *PORTS)
        kinds = rows_of(self.harmful, "harmful"), rows_of(self.harmless, "harmless")
        once(
            folder,
            lambda: load(folder, self.name, inner, SHAPES),
            lambda: self.fit(inner, *kinds, folder=folder, false_alarms=self.false_alarms),
            {"rows": sum(map(len, kinds))},
        )
        return replace(self, vectors=folder)

    def __call__(self, victim: Victim) -> Victim:
        return rebased(victim, lambda model: self.opened(opens_layers(self, model, *PORTS)))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(acting=self.gates(opens_layers(self, model, *PORTS))))

    def gates(self, model: WhiteBoxVictim) -> Gated:
        """The gates in `model`, and what they add. Raises UsageError for vectors that are not of it."""
        if self.vectors is None:
            raise unlearned(self.name, "vectors")
        found, _ = load(self.vectors, self.name, model, SHAPES)
        depth = len(found["srv"])
        steered = tuple(dict.fromkeys(self.layers)) or middle(depth)
        if odd := [layer for layer in steered if not 0 <= layer < depth]:
            raise UsageError(f"{self.name}: layers: expected 0 to {depth - 1}, found {odd}")
        read = steered
        if self.gate == "best_layer":
            read = (int(found["accuracy"].argmax()),)
        added = found["ssv"]
        if self.normalize:
            added = added / added.norm(dim=1, keepdim=True).clamp(min=1e-12)
        ways = self.alpha * added

        def margins(_: WhiteBoxVictim, states: torch.Tensor) -> torch.Tensor:
            srv, bias = (found[name][list(read)].to(states) for name in ("srv", "bias"))
            return (states * srv).sum(-1) + bias - self.threshold

        def vectors(pattern: Pattern) -> Mapping[int, torch.Tensor]:
            if self.alpha == 0 or not any(pattern):
                return {}
            chosen = steered if self.gate == "best_layer" else [k for k, on in zip(steered, pattern, strict=True) if on]
            return {layer: ways[layer] for layer in chosen}

        named = tuple(f"layer {layer}" for layer in read)
        return Gated(self.name, read, margins, vectors, threshold=self.threshold, named=named)

    @classmethod
    def fit(
        cls,
        model: WhiteBoxVictim,
        harmful: Iterable[Chat | Sample],
        harmless: Iterable[Chat | Sample],
        *,
        folder: Path,
        aligned: WhiteBoxVictim | None = None,
        false_alarms: Share | None = None,
    ) -> Self:
        """Find the vectors on dialogues of both kinds, write them into `folder`, and give the defense that uses them.

        For a model that sees pictures both kinds should show some: without, the gate would measure the picture.
        aligned: a safety-aligned model with as many layers of the same width, whose vectors are added; None: the
        model's own. false_alarms: the share of the harmless whose gate may open, layer by layer; None: the bias lies
        halfway between both kinds. Raises ValueError where both kinds look alike, UsageError for models that do not
        fit each other.
        """
        check_share(false_alarms)
        bad, good = chats_of(harmful, "harmful"), chats_of(harmless, "harmless")
        high, low = (states_of(opens_layers(cls, model, *PORTS), chats) for chats in (bad, good))
        srv, bias, accuracy = gate_of(high, low, false_alarms)
        ssv = difference(high, low)
        if aligned is not None:
            ssv = difference(*(states_of(opens_layers(cls, aligned, "hidden_states"), chats) for chats in (bad, good)))
            if ssv.shape != srv.shape:
                raise UsageError(
                    f"inferaligner: aligned: expected {list(srv.shape)} (layers, width) as {model.name!r} has, found "
                    f"{list(ssv.shape)} in {aligned.name!r}"
                )
        told = {
            "aligned": None if aligned is None else {"name": aligned.name, "key": aligned.key},
            "harmful": len(bad),
            "harmless": len(good),
            "with pictures": sum(bool(chat.images) for chat in (*bad, *good)),
            "false_alarms": false_alarms,
            "accuracy": [round(each, 4) for each in accuracy.tolist()],
        }
        save(Path(folder), cls.name, model, {"srv": srv, "ssv": ssv, "bias": bias, "accuracy": accuracy}, told)
        return cls(Path(folder))


def difference(harmful: torch.Tensor, harmless: torch.Tensor) -> torch.Tensor:
    """[L, d]: from the mean state of the harmless [n, L, d] to that of the harmful, layer by layer."""
    return harmful.mean(0) - harmless.mean(0)


def gate_of(
    harmful: torch.Tensor, harmless: torch.Tensor, false_alarms: float | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit vectors [L, d], biases [L], and the mean share of each kind that the gates tell right [L]."""
    import torch

    way = difference(harmful, harmless)
    length = way.norm(dim=1, keepdim=True)
    if bool((length == 0).any()):
        raise ValueError("harmful, harmless: both kinds look alike inside the model; expected different dialogues")
    srv = way / length
    high, low = ((states * srv).sum(-1) for states in (harmful, harmless))  # [n, L]
    bias = -(high.mean(0) + low.mean(0)) / 2
    if false_alarms is not None:
        bias = -torch.quantile(low, 1 - false_alarms, dim=0)
    right = (high + bias > 0).float().mean(0), (low + bias <= 0).float().mean(0)
    return srv, bias, (right[0] + right[1]) / 2
