"""What a defense does to that which a model sees: a `Lens`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.defenses.acting import Acting
from proofglass.engine.pictures import floats
from proofglass.engine.seeds import stream
from proofglass.interfaces import Change
from proofglass.types import Chat, Image, Message

if TYPE_CHECKING:
    import torch


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
    steering: {decoder layer: vector [d]} added to what that layer makes of every token, or a function of the tokens
    that speak (`WhiteBoxVictim.steering`).
    margin: (pictures float [B, 3, H, W], their chats) -> float [B], differentiable: by how much this defense's gate
    would intervene (positive: it intervenes).
    acting: what answers in the model's place, where no change of a dialogue, a picture or all tokens would say it: a
    gate for each prompt, logits of two dialogues.
    """

    chat: Callable[[Chat], Chat] | None = None
    pixels: Callable[[torch.Tensor, torch.Generator], torch.Tensor] | None = None
    draws: int = 0
    straight_through: bool = False
    steering: Mapping[int, torch.Tensor | Change] | None = None
    margin: Callable[[torch.Tensor, Sequence[Chat]], torch.Tensor] | None = None
    acting: Acting | None = None

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise ValueError(f"draws: expected 0 (nothing is drawn) or more, found {self.draws}")
        if self.pixels is None and (self.draws or self.straight_through):
            raise ValueError("draws, straight_through: say something of `pixels`, and there is no such map")
        if self.acting is not None and (self.chat or self.pixels or self.steering or self.margin):
            raise ValueError("acting: answers by itself, so no chat, pixels, steering or margin stands beside it")

    @property
    def gated(self) -> bool:
        """Whether it has a gate, which an attacker must pass."""
        return self.margin is not None or (self.acting is not None and self.acting.gated)

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
        import torch

        x = floats(image)
        with torch.no_grad():
            seen = self.see(x, [stream("shown", *seed, image.sha256)])
        return Image.from_array((seen[0] * 255).round().byte().permute(1, 2, 0).numpy())


CLEAR = Lens()
