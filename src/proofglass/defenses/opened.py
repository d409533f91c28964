"""A model as an attacker sees it who looks through a defense: what makes an attack adaptive.

A defense that opens itself says once what it changes, as a `Lens`, and answers `opened` with one line:

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(chat=self.placed))

Every attack that takes a white-box victim is then crafted through it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from proofglass.defenses.acting import PLAINLY
from proofglass.defenses.lens import CLEAR, Lens
from proofglass.engine.points import IMAGE, named
from proofglass.engine.seeds import draw_of, drawing, seed_of, stream
from proofglass.errors import ClosedVictim, UsageError
from proofglass.interfaces import (
    Change,
    Defended,
    Defense,
    Layer,
    Learner,
    LossAndGrad,
    Rescored,
    Target,
    TowerLearner,
    Weighting,
    WhiteBoxVictim,
    checked,
)
from proofglass.interfaces.white_box import SLOTS, Pixels, in_form_of
from proofglass.types import Ask, Chat, Finding, Image, Reply, Sample, Settings

if TYPE_CHECKING:
    import torch

__all__ = ["Lens", "Opened"]

T = TypeVar("T")
FIRST = Settings().draw  # the draw of a reply that is asked for once


@dataclass(frozen=True)
class Opened(WhiteBoxVictim):
    """`model` seen through `defense`, as `lens` says: it answers as the defended victim does, and its losses,
    gradients, features and layers are of what reaches the model.

    Losses and gradients are means over `lens.draws` random draws, each row's from its own seed and the step
    (`engine.seeds.drawing`); `draws` says how many passes that are. Pictures in a chat beside the one under attack are
    fixed, and drawn as they are for a reply. Opened members of a stack wrap each other.
    """

    model: WhiteBoxVictim
    defense: Defense
    lens: Lens = CLEAR

    not_in_key: ClassVar[tuple[str, ...]] = ("lens",)  # the defense's key says what it does

    def __post_init__(self) -> None:
        self._stated_by(self.model)
        own, inner = self.lens.draws, self.model.draws
        object.__setattr__(self, "draws", max(own, 1) * max(inner, 1) if own or inner else 0)
        object.__setattr__(self, "gated", self.model.gated or self.lens.gated)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.model.name} through {self.defense.name}"

    @property
    def inside(self) -> WhiteBoxVictim:
        return self.model

    # ---- as a victim ------------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        if self.lens.acting is not None:
            return self.lens.acting.reply(self.model, asks)
        with self._steered():
            return Defended(self.model, self.defense).reply(asks)

    def reply_by(self, asks: Sequence[Ask], rescored: Rescored, beside: Sequence[Chat] = ()) -> list[Reply]:
        if self.lens.acting is not None:
            raise ClosedVictim(f"victim {self.name!r}: its tokens are chosen by another defense already, or gated")
        seen = [replace(ask, chat=self.lens.shown(ask.chat, self.defense.key, ask.settings.draw)) for ask in asks]
        with self._steered():
            return self.model.reply_by(seen, rescored, [self._shown(chat) for chat in beside])

    @property
    def context_window(self) -> int | None:  # type: ignore[override]
        return self.model.context_window

    def look_ahead(self, image: Image) -> None:
        self.model.look_ahead(image)

    def fidelity(self, samples: Sequence[Sample]) -> Iterable[Finding]:
        return self.model.fidelity(samples)

    def card(self) -> dict[str, Any]:
        return self.model.card()

    def in_run(self, folder: Path, run: str) -> Opened:
        model = self.model.in_run(folder, run)
        assert isinstance(model, WhiteBoxVictim)
        return replace(self, model=model)

    # ---- text and layers --------------------------------------------------------------------------------------------

    def pixels(self, image: Image) -> torch.Tensor:
        return self.model.pixels(image)

    def prepare(
        self,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        *,
        append_eos: bool = False,
        slots: Sequence[str] = SLOTS,
        mark: str | Sequence[str] = "",
    ) -> Any:
        shown = [[(self._shown(chat), target) for chat, target in row] for row in pairs]
        return (self.lens.acting or PLAINLY).prepare(self.model, shown, append_eos, slots, mark)

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        shown = [self._shown(chat) for chat in chats]
        if self.lens.acting is not None:
            return self.lens.acting.next_token_logits(self.model, shown)
        with self._steered():
            return self.model.next_token_logits(shown)

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        shown = [self._shown(chat) for chat in chats]
        if self.lens.acting is not None:
            return self.lens.acting.hidden_states(self.model, shown, layers)
        with self._steered():
            return self.model.hidden_states(shown, layers)

    def prompt_states(
        self,
        pixels: Any,
        prepared: Any,
        layers: Sequence[int],
        *,
        along: torch.Tensor | None = None,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> tuple[torch.Tensor, Any]:
        at = self.lens.acting or PLAINLY

        def of_model(x: Any) -> tuple[torch.Tensor, Any]:
            return at.prompt_states(self.model, x, prepared, layers, along, text)

        with self._steered():
            if self._hands_on(pixels):
                return of_model(pixels)
            found, grad = self._over_draws(
                pixels, "prompt_states", lambda x: (seen := of_model(x), seen[1]), along is not None
            )
        return _mean([states for states, _ in found]), grad if along is not None else None

    def learner(self, rank: int, alpha: float, seed: int) -> Learner:
        return self.model.learner(rank, alpha, seed)

    def tower_learner(self) -> TowerLearner:
        return self.model.tower_learner()

    def tuned(self, folder: Path) -> Opened:
        """Raises UsageError where the lens was made for the very weights that would be replaced."""
        if self.lens.steering or self.lens.acting is not None:
            raise UsageError(
                f"{self.defense.name}: acts inside the model as it is, and its weights would be replaced behind it; "
                f"put the defense that tunes the model behind it: {self.defense.name} + ..."
            )
        return replace(self, model=self.model.tuned(folder))

    def read_out(self, states: torch.Tensor) -> torch.Tensor:
        return self.model.read_out(states)

    def steering(self, vectors: Mapping[int, torch.Tensor | Change]) -> AbstractContextManager[None]:
        return self.model.steering(vectors)

    @property
    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        return self.model.normalisation

    @property
    def embedding_width(self) -> int:
        return self.model.embedding_width

    def embeddings(self) -> torch.Tensor:
        return self.model.embeddings()

    def reads_back(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        return self.model.reads_back(rows)

    def encode(self, text: str) -> list[int]:
        return self.model.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.model.decode(ids)

    def writable(self) -> torch.Tensor:
        return self.model.writable()

    def gradient_path(self) -> str:
        notes = [f"{self.lens.draws} draws"] if self.lens.draws else []
        notes += ["straight through"] if self.lens.straight_through else []
        said = f" ({', '.join(notes)})" if notes else ""
        return "; ".join(filter(None, [self.model.gradient_path(), f"through {self.defense.name}{said}"]))

    # ---- losses and gradients ---------------------------------------------------------------------------------------

    def loss_and_grad(
        self,
        pixels: Pixels,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad[Pixels]:
        at = self.lens.acting or PLAINLY

        def of_model(x: Pixels) -> LossAndGrad[Pixels]:
            return at.loss_and_grad(self.model, x, prepared, weighting, need_grad, text)

        with self._steered():
            if self._hands_on(pixels):
                return of_model(pixels)
            found, grad = self._over_draws(
                pixels, "loss_and_grad", lambda x: (seen := of_model(x), seen.pixels), need_grad
            )
        return LossAndGrad(_mean([f.nll for f in found]), _mean([f.loss for f in found]), grad, _mean_text(found))

    def target_logits(self, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        at = self.lens.acting or PLAINLY
        with self._steered():
            if self._hands_on(pixels):
                return at.target_logits(self.model, pixels, prepared)
            found, _ = self._over_draws(
                pixels, "target_logits", lambda x: (at.target_logits(self.model, x, prepared), None), False
            )
        return [[_mean(each) for each in zip(*rows, strict=True)] for rows in zip(*found, strict=True)]

    def losses_of(
        self,
        pixels: Any,
        prepared: Any,
        candidates: Sequence[Sequence[Sequence[int]]],
        *,
        weighting: Weighting = "token",
    ) -> torch.Tensor:
        def of_model(x: Any) -> torch.Tensor:
            return self.model.losses_of(x, prepared, candidates, weighting=weighting)

        if self.lens.acting is not None:  # each candidate may meet another gate
            return super().losses_of(pixels, prepared, candidates, weighting=weighting)
        with self._steered():
            if self._hands_on(pixels):
                return of_model(pixels)
            found, _ = self._over_draws(pixels, "losses_of", lambda x: (of_model(x), None), False)
        return _mean(found)  # the candidates of a picture share its draws: they are compared alike

    def mark_gradient(
        self, pixels: Any, prepared: Any, *, weighting: Weighting = "token"
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return super().mark_gradient(pixels, prepared, weighting=weighting)  # by `loss_and_grad`, through the lens

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        if self._hands_on(pixels):
            return self.model.features(pixels, layer)
        x, found = checked(pixels, "features"), []
        for draw in self.draws_of(len(x)):
            with draw.inside():
                found.append(self.model.features(self.lens.see(x, draw.generators(IMAGE)), layer))
        return _mean(found)

    def features_and_grad(
        self, pixels: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], layer: Layer = "pooled"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._hands_on(pixels):
            return self.model.features_and_grad(pixels, loss, layer)
        found, grad = self._over_draws(
            pixels, "features_and_grad", lambda x: self.model.features_and_grad(x, loss, layer)
        )
        return _mean(found), grad

    def margin_and_grad(self, pixels: torch.Tensor, chats: Sequence[Chat]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        shown = [self._shown(chat) for chat in chats]
        found, grad = self._over_draws(pixels, "margin_and_grad", lambda x: self.model.margin_and_grad(x, shown))
        inner = _mean(found)
        if self.lens.acting is not None and self.lens.acting.gated:
            own, its = self.lens.acting.margin_and_grad(self.model, checked(pixels, "margin_and_grad"), shown)
        elif self.lens.margin is not None:
            leaf = pixels.detach().clone().requires_grad_()
            with torch.enable_grad():
                own = self.lens.margin(leaf, chats)
                (its,) = torch.autograd.grad(own.sum(), leaf)
        else:
            return inner, grad
        first = own.detach() >= inner
        return own.detach().where(first, inner), its.where(first[:, None, None, None], grad)

    # ---- the lens ---------------------------------------------------------------------------------------------------

    def _shown(self, chat: Chat) -> Chat:
        return self.lens.shown(chat, self.defense.key, FIRST)

    def _steered(self) -> AbstractContextManager[None]:
        return self.model.steering(self.lens.steering) if self.lens.steering else nullcontext()

    def _hands_on(self, pixels: Any) -> bool:
        """Whether the pictures reach the model as they are, or there are none."""
        return self.lens.pixels is None or pixels is None

    def draws_of(self, rows: int) -> list[Draw]:
        """The draws that one evaluation of so many pictures averages, under the seeds and the step that are set."""
        seeds, step = draw_of(rows)
        return [Draw(self.defense.key, seeds, step, k) for k in range(max(self.lens.draws, 1))]

    def _over_draws(
        self,
        pixels: Pixels,
        port: str,
        work: Callable[[Pixels], tuple[T, Pixels | None]],
        need_grad: bool = True,
    ) -> tuple[list[T], Pixels]:
        """What `work` makes of the pictures of each draw, and the mean, at `pixels`, of the gradients that it gives."""
        import torch

        given: Any = pixels
        point = {slot: checked(x.detach(), port) for slot, x in named(given).items()}
        total = {slot: torch.zeros_like(x) for slot, x in point.items()}
        draws, found = self.draws_of(len(next(iter(point.values())))), []
        for draw in draws:
            leaves = {slot: x.clone().requires_grad_(need_grad) for slot, x in point.items()}
            with torch.set_grad_enabled(need_grad):
                seen = {slot: self.lens.see(x, draw.generators(slot)) for slot, x in leaves.items()}
            with draw.inside():
                result, grad = work(in_form_of(pixels, {slot: x.detach() for slot, x in seen.items()}))
            found.append(result)
            if need_grad and grad is not None:
                for slot, its in named(grad).items():
                    (through,) = torch.autograd.grad(seen[slot], leaves[slot], its.to(seen[slot]))
                    total[slot] += through / len(draws)
        return found, in_form_of(pixels, total)


@dataclass(frozen=True)
class Draw:
    """Draw `number` of a defense (`key`) for a batch: seeds of its rows, and the step."""

    key: str
    seeds: tuple[int, ...]
    step: int | str
    number: int

    def generators(self, slot: str) -> list[torch.Generator]:
        """One for each row's picture in `slot`."""
        return [stream(self.key, slot, seed, self.step, self.number) for seed in self.seeds]

    def inside(self) -> AbstractContextManager[None]:
        """While it is open, what stands behind this defense draws its own."""
        return drawing([seed_of(seed, self.number) for seed in self.seeds], self.step)


def _mean(found: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    return torch.stack(list(found)).mean(0)


def _mean_text(found: Sequence[LossAndGrad[Any]]) -> tuple[tuple[torch.Tensor, ...], ...] | None:
    """The mean gradient to the text perturbations, shaped as each draw gives it."""
    given = [each.text for each in found if each.text is not None]
    if not given:
        return None
    return tuple(tuple(_mean(each) for each in zip(*rows, strict=True)) for rows in zip(*given, strict=True))
