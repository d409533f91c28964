"""A model as an attacker sees it who looks through a defense: what makes an attack adaptive.

A defense that opens itself says once what it changes, as a `Lens`, and answers `opened` with one line:

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(chat=self.placed))

Every attack that takes a white-box victim is then crafted through it unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from proofglass.engine.points import IMAGE, named
from proofglass.engine.seeds import draw_of, drawing, seed_of, stream
from proofglass.interfaces import Defended, Defense, Layer, LossAndGrad, Target, Weighting, WhiteBoxVictim, checked
from proofglass.interfaces.white_box import SLOTS, Pixels, in_form_of
from proofglass.types import Ask, Chat, Finding, Image, Message, Reply, Sample, Settings

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
FIRST = Settings().draw  # the draw of a reply that is asked for once


@dataclass(frozen=True)
class Lens:
    """What a defense does to that which a model sees, for its replies and for the gradients of an attacker alike.

    chat: the dialogue that reaches the model.
    pixels: (picture float [1, 3, H, W] in [0, 1], generator) -> the picture that reaches the model, differentiable.
    What it draws at random it draws from the generator, which is the CPU's. A result of another size is brought back
    to H x W (bilinear), since a model takes pictures of the size that it stated; what leaves [0, 1] is cut off.
    draws: how many random draws an attacker averages, an expectation over transformation (Athalye et al. 2018); 0
    where `pixels` draws nothing.
    straight_through: `pixels` has no useful gradient, and its output's stands for it (BPDA; Athalye et al. 2018).
    steering: {decoder layer: vector [d]} added to what that layer makes of every token.
    margin: (pictures float [B, 3, H, W], their chats) -> float [B], differentiable: by how much this defense's gate
    would intervene (positive: it intervenes).
    """

    chat: Callable[[Chat], Chat] | None = None
    pixels: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None
    draws: int = 0
    straight_through: bool = False
    steering: Mapping[int, torch.Tensor] | None = None
    margin: Callable[[torch.Tensor, Sequence[Chat]], torch.Tensor] | None = None

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise ValueError(f"draws: expected 0 (nothing is drawn) or more, found {self.draws}")
        if self.pixels is None and (self.draws or self.straight_through):
            raise ValueError("draws, straight_through: say something of `pixels`, and there is no such map")

    def see(self, x: torch.Tensor, generators: Iterable[torch.Generator]) -> torch.Tensor:
        """`x` [B, 3, H, W] as it reaches the model, row b drawn from the b-th generator, on the graph of `x`.

        Raises ValueError where `pixels` breaks that graph and does not say `straight_through`.
        """
        import torch

        if self.pixels is None:
            return x
        seen = torch.cat([self._fitted(x[b : b + 1], draws) for b, draws in enumerate(generators)])
        if x.requires_grad and not seen.requires_grad:
            raise ValueError("pixels: gives no gradient to the picture; say straight_through=True if it has none")
        return seen

    def _fitted(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        import torch

        assert self.pixels is not None
        found = self.pixels(x.detach() if self.straight_through else x, generator)
        if found.shape[-2:] != x.shape[-2:]:
            found = torch.nn.functional.interpolate(found, size=x.shape[-2:], mode="bilinear", antialias=True)
        found = found.clamp(0, 1)
        return x + (found - x).detach() if self.straight_through else found

    def shown(self, chat: Chat, *seed: object) -> Chat:
        """`chat` as it reaches the model, its pictures in 8 bit. What is drawn is drawn from `seed` and the picture: a
        defense gives its key and the draw of the ask, so that the same ask is shown the same way again."""
        if self.pixels is not None:
            chat = Chat(tuple(self._message(message, seed) for message in chat.messages))
        return chat if self.chat is None else self.chat(chat)

    def _message(self, message: Message, seed: Sequence[object]) -> Message:
        parts = (self._picture(part, seed) if isinstance(part, Image) else part for part in message.parts)
        return dataclasses.replace(message, parts=tuple(parts))

    def _picture(self, image: Image, seed: Sequence[object]) -> Image:
        import numpy as np
        import torch

        x = torch.from_numpy(image.array().transpose(2, 0, 1)[None].astype(np.float32) / 255)
        with torch.no_grad():
            seen = self.see(x, [stream("shown", *seed, image.sha256)])
        return Image.from_array((seen[0] * 255).round().byte().permute(1, 2, 0).numpy())


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
    lens: Lens = Lens()

    not_in_key: ClassVar[tuple[str, ...]] = ("lens",)  # the defense's key says what it does

    def __post_init__(self) -> None:
        self._stated_by(self.model)
        own, inner = self.lens.draws, self.model.draws
        object.__setattr__(self, "draws", max(own, 1) * max(inner, 1) if own or inner else 0)

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.model.name} through {self.defense.name}"

    @property
    def inside(self) -> WhiteBoxVictim:
        return self.model

    # ---- as a victim ------------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        with self._steered():
            return Defended(self.model, self.defense).reply(asks)

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
        return dataclasses.replace(self, model=model)

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
        return self.model.prepare(shown, append_eos=append_eos, slots=slots, mark=mark)

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        with self._steered():
            return self.model.next_token_logits([self._shown(chat) for chat in chats])

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        with self._steered():
            return self.model.hidden_states([self._shown(chat) for chat in chats], layers)

    def steering(self, vectors: Mapping[int, torch.Tensor]) -> AbstractContextManager[None]:
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
        def of_model(x: Pixels) -> LossAndGrad[Pixels]:
            return self.model.loss_and_grad(x, prepared, weighting=weighting, need_grad=need_grad, text=text)

        with self._steered():
            if self._hands_on(pixels):
                return of_model(pixels)
            found, grad = self._over_draws(
                pixels, "loss_and_grad", lambda x: (seen := of_model(x), seen.pixels), need_grad
            )
        return LossAndGrad(_mean([f.nll for f in found]), _mean([f.loss for f in found]), grad, _mean_text(found))

    def target_logits(self, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        with self._steered():
            if self._hands_on(pixels):
                return self.model.target_logits(pixels, prepared)
            found, _ = self._over_draws(
                pixels, "target_logits", lambda x: (self.model.target_logits(x, prepared), None), False
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
        for draw in self._draws(len(x)):
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
        if self.lens.margin is None:
            return inner, grad
        leaf = pixels.detach().clone().requires_grad_()
        with torch.enable_grad():
            own = self.lens.margin(leaf, chats)
            (its,) = torch.autograd.grad(own.sum(), leaf)
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

    def _draws(self, rows: int) -> list[_Draw]:
        seeds, step = draw_of(rows)
        return [_Draw(self.defense.key, seeds, step, k) for k in range(max(self.lens.draws, 1))]

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
        draws, found = self._draws(len(next(iter(point.values())))), []
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
class _Draw:
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
