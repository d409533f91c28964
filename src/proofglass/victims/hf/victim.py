"""A victim that loads its model on first use, so that naming or listing it never loads torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.interfaces import (
    SLOTS,
    Change,
    Count,
    Layer,
    Learner,
    LossAndGrad,
    Pixels,
    Rescored,
    Target,
    TowerLearner,
    Weighting,
    WhiteBoxVictim,
)
from proofglass.interfaces.devices import Devices
from proofglass.types import Ask, Chat, Finding, Image, Reply, Sample
from proofglass.weights import ADAPTER, check_folder, weights_hash

if TYPE_CHECKING:
    import torch

    from proofglass.victims.hf.model import HFModel
    from proofglass.victims.shared.prepared import Prepared


class HFVictim(WhiteBoxVictim):
    """On top of `HFModel`. Subclasses are frozen dataclasses with `folder`, `device` and `batch`.

    batch: rows per forward pass of `reply`. micro: pairs (chat, target) per row of a gradient step. images_per_pass:
    pictures that a gradient step holds in memory. device: "auto", "cpu", "cuda:1", ... dtype: of the weights. adapter:
    folder of a LoRA adapter (PEFT). quantised: "int8" or "nf4" by bitsandbytes.

    The first three trade memory for speed. In float32 they change no reply; in bfloat16 other
    batches round otherwise, and some chats are answered otherwise (docs/families.md has the figure). They are no part
    of a victim's key, so that a resume with less memory asks nothing again; the run's manifest and the card record
    them. adapter and quantised belong to a victim's key.
    """

    device: Devices = "auto"
    batch: Count = 128
    dtype: str = "float32"
    micro: Count = 8
    images_per_pass: Count = 32
    adapter: Path | None = None
    quantised: Literal["", "int8", "nf4"] = ""

    not_in_key: ClassVar[tuple[str, ...]] = ("batch", "micro", "images_per_pass")

    @property
    def folder(self) -> Path:
        raise AttributeError(f"{type(self).__name__}: a subclass says which folder to load")

    @cached_property
    def model(self) -> HFModel:
        from proofglass.victims.hf.model import HFModel

        return HFModel(
            self.folder,
            self.device,
            self.dtype,
            self.micro,
            self.images_per_pass,
            self.adapter,
            self.quantised,
        )

    @cached_property
    def weights_hash(self) -> str:
        check_folder(self.folder)
        own = weights_hash(self.folder)
        return own if self.adapter is None else f"{own}+{weights_hash(self.adapter, ADAPTER)}"

    @cached_property
    def context_window(self) -> int | None:  # type: ignore[override]
        from proofglass.victims.hf.loading import positions_in

        return positions_in(self.folder) or None

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return self.model.reply(asks, self.batch)

    def look_ahead(self, image: Image) -> None:
        if "model" in vars(self) and self.model.twin is not None:  # never loads a model: another thread may be at it
            self.model.pictures.levels(image)

    def pixels(self, image: Image) -> torch.Tensor:
        return self.model.pixels(image)

    def prepare(
        self,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        *,
        append_eos: bool = False,
        slots: Sequence[str] = SLOTS,
        mark: str | Sequence[str] = "",
    ) -> Prepared:
        return self.model.prepare(pairs, append_eos, slots, mark)

    def loss_and_grad(
        self,
        pixels: Pixels,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad[Pixels]:
        return self.model.loss_and_grad(pixels, prepared, weighting, need_grad, text)

    def target_logits(self, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        return self.model.target_logits(pixels, prepared)

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        return self.model.features(pixels, layer)

    def fidelity(self, samples: Sequence[Sample]) -> Iterator[Finding]:
        from proofglass.victims.hf.fidelity import findings

        return findings(self.model, samples, self.batch)

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        from proofglass.victims.hf.inside import next_token_logits

        return next_token_logits(self.model, chats, self.batch)

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        from proofglass.victims.hf.inside import hidden_states

        every = range(len(self.model.family.layers))
        return hidden_states(self.model, chats, list(every if layers is None else layers), self.batch)

    def prompt_states(
        self,
        pixels: Any,
        prepared: Any,
        layers: Sequence[int],
        *,
        along: torch.Tensor | None = None,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> tuple[torch.Tensor, Any]:
        from proofglass.victims.hf.inside import prompt_states

        return prompt_states(self.model, pixels, prepared, layers, along, text)

    def read_out(self, states: torch.Tensor) -> torch.Tensor:
        from proofglass.victims.hf.inside import read_out

        return read_out(self.model, states)

    def reply_by(self, asks: Sequence[Ask], rescored: Rescored, beside: Sequence[Chat] = ()) -> list[Reply]:
        from proofglass.victims.hf.aside import reply_by

        return reply_by(self.model, asks, rescored, beside, self.batch)

    def steering(self, vectors: Mapping[int, torch.Tensor | Change]) -> AbstractContextManager[None]:
        from proofglass.victims.hf.inside import steering

        return steering(self.model, vectors)

    def learner(self, rank: int, alpha: float, seed: int) -> Learner:
        from proofglass.victims.hf.learner import HFLearner

        self._check_plain()
        return HFLearner(self.folder, self.device, self.dtype, self.micro, rank, alpha, seed)

    def tower_learner(self) -> TowerLearner:
        from proofglass.victims.hf.tower import HFTower

        self._check_plain()
        return HFTower(self.model, self.images_per_pass)

    def _check_plain(self) -> None:
        for field, value in (("adapter", self.adapter), ("quantised", self.quantised)):
            if value:
                raise UsageError(
                    f"victim {self.name!r}: {field}: {value}: what is trained here is trained on whole, plain weights; "
                    f"leave out {field}{', or merge it into the weights first' if field == 'adapter' else ''}"
                )

    def tuned(self, folder: Path) -> HFVictim:
        """The last one is kept, so that its weights are loaded once as long as no other is asked for."""
        told = (folder, digest_of(folder))
        if told not in self._tuned:
            self._tuned.clear()
            self._tuned[told] = self._with(folder)
        return self._tuned[told]

    @cached_property
    def _tuned(self) -> dict[tuple[Path, str], HFVictim]:
        return {}

    def _with(self, folder: Path) -> HFVictim:
        """This victim with the adapter, or all the weights, in `folder`."""
        raise AttributeError(f"{type(self).__name__}: a subclass says how it takes other weights")

    def encode(self, text: str) -> list[int]:
        return self.model.chats.tokens(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.model.chats.text(ids)

    def reads_back(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        return self.model.chats.read_back(rows)

    def embeddings(self) -> torch.Tensor:
        return self.model.embeddings()

    def writable(self) -> torch.Tensor:
        return self.model.writable()

    def losses_of(
        self,
        pixels: Any,
        prepared: Any,
        candidates: Sequence[Sequence[Sequence[int]]],
        *,
        weighting: Weighting = "token",
    ) -> torch.Tensor:
        return self.model.losses_of(pixels, prepared, candidates, weighting)

    @property
    def embedding_width(self) -> int:
        return self.model.embedding_width

    @property
    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the tower's input, float32 [1, 3, 1, 1] each."""
        return self.model.normalisation

    def gradient_path(self) -> str:
        if "model" not in vars(self):  # never loads a model to say nothing
            return ""
        quantised, candidates = self.model.options.quantised, self.model.candidates.said
        notes = [f"through {quantised} weights"] if quantised else []
        notes += [f"candidates by {candidates}"] if candidates else []
        return "; ".join([*filter(None, [self.model.step.choice.said]), *notes, *self.model.remarks])
