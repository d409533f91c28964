"""Logits of two dialogues as one: replies, losses and gradients of what is made of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from proofglass.defenses.acting import Acting, TextPerturbations
from proofglass.defenses.gated import weights_of
from proofglass.errors import ClosedVictim
from proofglass.interfaces import LossAndGrad, Target, Weighting, WhiteBoxVictim
from proofglass.types import Ask, Chat, Reply

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Contrasted(Acting):
    """z = z_s + alpha (z_s - z_0): z_s of the dialogue that `placed` makes, z_0 of the dialogue itself.

    name: of the defense. placed: dialogue -> the other one. alpha: how far beyond it.
    """

    name: str
    placed: Callable[[Chat], Chat]
    alpha: float

    def of(self, placed: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
        """The logits of both."""
        return placed + self.alpha * (placed - plain)

    def reply(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> list[Reply]:
        def rescored(_: Any, logits: torch.Tensor, beside: torch.Tensor | None) -> torch.Tensor:
            assert beside is not None
            return self.of(logits, beside)

        shown = [replace(ask, chat=self.placed(ask.chat)) for ask in asks]
        replies = model.reply_by(shown, rescored, [ask.chat for ask in asks])
        return [
            reply
            if reply.outcome == "error"
            else replace(reply, cost=replace(reply.cost, forward=reply.cost.forward + 1))
            for reply in replies
        ]

    def next_token_logits(self, model: WhiteBoxVictim, chats: Sequence[Chat]) -> torch.Tensor:
        placed = model.next_token_logits([self.placed(chat) for chat in chats])
        return self.of(placed, model.next_token_logits(list(chats)))

    def hidden_states(self, model: WhiteBoxVictim, chats: Sequence[Chat], layers: Sequence[int] | None) -> torch.Tensor:
        return model.hidden_states([self.placed(chat) for chat in chats], layers)

    def prepare(
        self,
        model: WhiteBoxVictim,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        append_eos: bool,
        slots: Sequence[str],
        mark: str | Sequence[str],
    ) -> Both:
        placed = [[(self.placed(chat), target) for chat, target in row] for row in pairs]
        return Both(*(model.prepare(own, append_eos=append_eos, slots=slots, mark=mark) for own in (placed, pairs)))

    def prompt_states(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        layers: Sequence[int],
        along: torch.Tensor | None,
        text: TextPerturbations,
    ) -> tuple[torch.Tensor, Any]:
        return super().prompt_states(model, pixels, prepared.placed, layers, along, text)

    def loss_and_grad(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        weighting: Weighting,
        need_grad: bool,
        text: TextPerturbations,
    ) -> LossAndGrad[Any]:
        import torch

        if text is not None:
            raise ClosedVictim(f"{self.name}: gives no gradient to text: its two dialogues hold different tokens")
        weights = prepared.weights if weighting == "given" else weights_of(prepared, weighting)
        if weights is None:
            raise ValueError('weighting: "given" needs weights; pass prepared.weighted(...)')
        nll: list[list[torch.Tensor]] = []
        ways: list[list[torch.Tensor]] = []
        for row, places, of_row in zip(
            self.target_logits(model, pixels, prepared), prepared.places, weights, strict=True
        ):
            nll.append([])
            ways.append([])
            for logits, place, of_pair in zip(row, places, of_row, strict=True):
                targets = torch.tensor(place.ids[slice(*place.target)], device=logits.device)
                tokens = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
                own = logits.new_tensor(of_pair)
                slope = logits.softmax(-1)
                slope[torch.arange(len(targets)), targets] -= 1
                nll[-1].append(torch.stack([tokens.mean(), (own * tokens).sum()]))
                ways[-1].append(own[:, None] * slope)
        wide = max(map(len, nll))
        loss = torch.stack([torch.stack([each[1] for each in row]).sum() for row in nll])
        nothing = loss.new_tensor(float("nan"))
        table = torch.stack([torch.stack([*(each[0] for each in row), *[nothing] * (wide - len(row))]) for row in nll])
        grad = self._grad(model, pixels, prepared, ways, need_grad)
        return LossAndGrad(table, loss, grad)

    def _grad(
        self, model: WhiteBoxVictim, pixels: Any, prepared: Both, ways: list[list[torch.Tensor]], need_grad: bool
    ) -> Any:
        """The gradient to `pixels`, given that to the logits: each dialogue has its share of it."""
        grads = []
        for own, share in ((prepared.placed, 1 + self.alpha), (prepared.plain, -self.alpha)):
            along = own.along([[share * way for way in row] for row in ways])
            grads.append(model.loss_and_grad(pixels, along, weighting="sum", need_grad=need_grad).pixels)
        if pixels is None:
            return None
        one, other = grads
        return {slot: one[slot] + other[slot] for slot in one} if isinstance(one, dict) else one + other

    def target_logits(self, model: WhiteBoxVictim, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        found = [model.target_logits(pixels, own) for own in (prepared.placed, prepared.plain)]
        return [[self.of(*each) for each in zip(*rows, strict=True)] for rows in zip(*found, strict=True)]


@dataclass(frozen=True, eq=False)
class Both:
    """Pairs of two dialogues each (`interfaces.Prepared`). placed, plain: of either; weights: for weighting "given"."""

    placed: Any
    plain: Any
    weights: Any = None

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(self.placed.slots)

    @property
    def places(self) -> Any:
        return self.placed.places

    @property
    def spans(self) -> Any:
        return self.placed.spans

    @property
    def text_tokens(self) -> Any:
        return self.placed.text_tokens

    def __len__(self) -> int:
        return len(self.placed)

    def rows(self, picks: Sequence[int]) -> Both:
        weights = None if self.weights is None else [self.weights[b] for b in picks]
        return Both(self.placed.rows(picks), self.plain.rows(picks), weights)

    def select(self, picks: Sequence[Sequence[int]]) -> Both:
        weights = self.weights
        if weights is not None:
            weights = [[row[k] for k in some] for row, some in zip(weights, picks, strict=True)]
        return Both(self.placed.select(picks), self.plain.select(picks), weights)

    def weighted(self, weights: Sequence[Sequence[Sequence[float]]]) -> Both:
        self.placed.weighted(weights)  # which refuses weights of another form
        return replace(self, weights=weights)

    def taught(self, teachers: Any) -> Both:
        raise ClosedVictim("soft labels: not of logits that are made of two dialogues")

    def along(self, directions: Any) -> Both:
        raise ClosedVictim("directions: not of logits that are made of two dialogues")

    def filled(self, ids: Sequence[Sequence[int]]) -> Both:
        return replace(self, placed=self.placed.filled(ids), plain=self.plain.filled(ids))
