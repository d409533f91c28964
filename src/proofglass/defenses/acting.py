"""What answers in a model's place where a defense acts inside it, in another way for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.interfaces import Defense, LossAndGrad, Target, Weighting, WhiteBoxVictim, checked, innermost
from proofglass.types import Ask, Chat, Reply

if TYPE_CHECKING:
    import torch

TextPerturbations = Sequence[Sequence["torch.Tensor"]] | None


class Acting:
    """How a defense acts on a model: its ports, each as `WhiteBoxVictim` describes it. Default: the model's own."""

    @property
    def gated(self) -> bool:
        """Whether it has a gate, whose margin `margin_and_grad` gives."""
        return False

    def reply(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> list[Reply]:
        return model.reply(asks)

    def prepare(
        self,
        model: WhiteBoxVictim,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        append_eos: bool,
        slots: Sequence[str],
        mark: str | Sequence[str],
    ) -> Any:
        return model.prepare(pairs, append_eos=append_eos, slots=slots, mark=mark)

    def next_token_logits(self, model: WhiteBoxVictim, chats: Sequence[Chat]) -> torch.Tensor:
        return model.next_token_logits(chats)

    def hidden_states(self, model: WhiteBoxVictim, chats: Sequence[Chat], layers: Sequence[int] | None) -> torch.Tensor:
        return model.hidden_states(chats, layers)

    def prompt_states(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        layers: Sequence[int],
        along: torch.Tensor | None,
        text: TextPerturbations,
    ) -> tuple[torch.Tensor, Any]:
        return model.prompt_states(pixels, prepared, layers, along=along, text=text)

    def loss_and_grad(
        self,
        model: WhiteBoxVictim,
        pixels: Any,
        prepared: Any,
        weighting: Weighting,
        need_grad: bool,
        text: TextPerturbations,
    ) -> LossAndGrad[Any]:
        return model.loss_and_grad(pixels, prepared, weighting=weighting, need_grad=need_grad, text=text)

    def target_logits(self, model: WhiteBoxVictim, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        return model.target_logits(pixels, prepared)

    def margin_and_grad(
        self, model: WhiteBoxVictim, pixels: torch.Tensor, chats: Sequence[Chat]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        x = checked(pixels.detach(), "margin_and_grad")
        return x.new_full((len(x),), float("-inf")), x.new_zeros(x.shape)


PLAINLY = Acting()


@dataclass(frozen=True)
class Answering(Acting):
    """Another way to reply, and the model's own of everything else.

    answer: (model, asks) -> replies.
    """

    answer: Callable[[WhiteBoxVictim, Sequence[Ask]], list[Reply]]

    def reply(self, model: WhiteBoxVictim, asks: Sequence[Ask]) -> list[Reply]:
        return self.answer(model, asks)


def opens_layers(defense: Defense | type[Defense], model: object, *ports: str) -> WhiteBoxVictim:
    """`model`, where it opens what `defense` acts on. ports: the methods that it must have.

    Raises UsageError for a victim behind an API and for one whose layers are closed.
    """
    named = getattr(model, "name", type(model).__name__)
    if not isinstance(model, WhiteBoxVictim):
        raise UsageError(
            f"{defense.name}: acts inside the model (needs its {defense.needs_model}), and {named!r} gives replies "
            "only; name a victim with weights, such as hf or the testbed's"
        )
    inner = type(innermost(model))
    closed = [port for port in ports if getattr(inner, port, None) is getattr(WhiteBoxVictim, port)]
    if closed:
        raise UsageError(
            f"{defense.name}: needs the model's {defense.needs_model}, and {named!r} does not open them: it overrides "
            f"no {', '.join(closed)}"
        )
    return model
