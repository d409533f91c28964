"""A victim that opens itself: gradients, logits, features and layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from proofglass.errors import ClosedVictim
from proofglass.interfaces.victims import Victim
from proofglass.types import Chat, Image

if TYPE_CHECKING:
    import torch

Weighting = Literal["token", "pair", "sum", "given"]
Layer = Literal["pooled", "patches"]
# A target is a text, or its parts in order: each part is tokenised by itself, so that its tokens are a span.
Target = str | tuple[str, ...]


@dataclass(frozen=True)
class LossAndGrad:
    """nll: float [B, P], mean negative log-likelihood per token of each pair; loss: float [B], what was
    differentiated; pixels: gradient of `loss.sum()`, float32 [B, 3, H, W]; text: its gradient with respect to the
    text perturbations, shaped as they were given, None where none were."""

    nll: torch.Tensor
    loss: torch.Tensor
    pixels: torch.Tensor
    text: tuple[tuple[torch.Tensor, ...], ...] | None = None


class Prepared(Protocol):
    """B pictures x P tokenised pairs: what a victim needs to score targets again and again.

    spans[b][p]: number of tokens of each part of the target (one part for a plain text; the end token, where asked
    for, belongs to the last part). text_tokens[b][p]: number of prompt tokens that are text (the template included,
    place holders of pictures and the target not).
    """

    @property
    def spans(self) -> tuple[tuple[tuple[int, ...], ...], ...]: ...

    @property
    def text_tokens(self) -> tuple[tuple[int, ...], ...]: ...

    def rows(self, picks: Sequence[int]) -> Self:
        """These pictures, in this order; repeats are allowed."""

    def select(self, picks: Sequence[Sequence[int]]) -> Self:
        """picks[b]: which pairs of picture b, without tokenising anew."""

    def weighted(self, weights: Sequence[Sequence[Sequence[float]]]) -> Self:
        """weights[b][p]: one weight per target token, for `weighting="given"`: loss = sum of weight x NLL.
        Trailing zeros cost nothing: those tokens are not run."""

    def taught(self, teachers: Sequence[Sequence[torch.Tensor]]) -> Self:
        """teachers[b][p]: logits float32 [T, V] of a teacher at the target positions. The NLL of a token becomes the
        cross-entropy against softmax(teacher) (soft labels)."""


def checked(pixels: torch.Tensor, port: str, device: Any = None) -> torch.Tensor:
    """`pixels` on `device`, as every port of a victim or model that takes some begins. port: its name, for the error.

    Raises ValueError unless they are floats [B, 3, H, W] in [0, 1], none of them NaN: pixels normalised twice would
    give numbers that look right.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(f"{port}: pixels: expected [B, 3, H, W], found {list(pixels.shape)}")
    if not pixels.is_floating_point():
        raise ValueError(f"{port}: pixels: expected floats in [0, 1], found {pixels.dtype}; divide levels by 255")
    low, high = (end.item() for end in pixels.detach().aminmax())  # one look at them; NaN stays NaN
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{port}: pixels: expected values in [0, 1], found [{low:.4g}, {high:.4g}]; normalised?")
    return pixels if device is None else pixels.to(device)


class WhiteBoxVictim(Victim):
    """A victim that also gives gradients with respect to pixels, float32 in [0, 1], [B, 3, H, W].

    draws: how many random draws one evaluation of a picture averages, each of them a pass of its own (a defense that
    draws at random stands before the model, `engine.seeds.drawing` says which draws); 0: it draws nothing.
    """

    draws: int = 0

    @abstractmethod
    def pixels(self, image: Image) -> torch.Tensor:
        """`image` as this model takes it: float32 [1, 3, H, W] in [0, 1], at the tower's own size."""

    @abstractmethod
    def prepare(self, pairs: Sequence[Sequence[tuple[Chat, Target]]], *, append_eos: bool = False) -> Any:
        """B pictures x P pairs of (chat, target), tokenised once (a `Prepared`). The chat's picture is a place
        holder. append_eos: the end token belongs to the target (papers differ)."""

    @abstractmethod
    def loss_and_grad(
        self,
        pixels: torch.Tensor,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad:
        """Teacher-forced cross-entropy of the targets, and its gradient.

        pixels: float32 [B, 3, H, W] in [0, 1]; raises ValueError outside (catches double normalisation).
        weighting: "token" = mean over all target tokens of a row (Hugging Face's labels loss), "pair" = mean
        over pairs of per-pair means, "sum" = sum over tokens, "given" = `prepared`'s own weights. Rows are
        independent: each row's gradient equals the one of its own run.
        text[b][p]: float32 [text_tokens[b][p], width], added to the embeddings of the prompt's text tokens.
        """

    def target_logits(self, pixels: torch.Tensor, prepared: Any) -> list[list[torch.Tensor]]:
        """Per picture and pair: logits float32 [T, V] at the target positions, without gradient. Raises ClosedVictim
        (the default) if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `target_logits`, or take another victim")

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        """What the vision tower makes of `pixels`, differentiable: "pooled" [B, d] or "patches" [B, n, d], the
        patch tokens that the rest of the model reads (paper by paper: the penultimate layer in LLaVA). Raises
        ClosedVictim (the default) if the tower is closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its vision tower; override `features`, or name an encoder"
        )

    def features_and_grad(
        self, pixels: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], layer: Layer = "pooled"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(float [B], float32 [B, 3, H, W]): `loss` of the features of each picture, and its gradient to `pixels`.

        loss: features of B pictures -> float [B], rows independent. For objectives on the tower alone.
        """
        import torch

        leaf = checked(pixels.detach(), "features_and_grad").requires_grad_()
        with torch.enable_grad():
            values = loss(self.features(leaf, layer))
            if values.shape != pixels.shape[:1]:
                raise ValueError(f"loss: expected one value per picture, [{len(pixels)}], found {list(values.shape)}")
            (grad,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), grad

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        """float32 [n, V]: logits of the first token of each reply, without gradient. Raises ClosedVictim (the default)
        if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `next_token_logits`, or take another one")

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> torch.Tensor:
        """float32 [n, L, d]: what decoder layers (None: all, from 0) make of each prompt's last token, without
        gradient. Raises ClosedVictim (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `hidden_states`, or take another")

    def steering(self, vectors: Mapping[int, torch.Tensor]) -> AbstractContextManager[None]:
        """While the context is open, vectors[layer] (float [d]) is added to what that decoder layer makes of every
        token, in replies, losses and gradients. Raises ClosedVictim (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `steering`, or take another one")

    def margin_and_grad(self, pixels: torch.Tensor, chats: Sequence[Chat]) -> tuple[torch.Tensor, torch.Tensor]:
        """(float [B], float32 [B, 3, H, W]): by how much the gates of the defenses before this model would intervene on
        each picture in its chat, as `types.Decision` counts it (positive: it intervenes; of several gates, the
        largest), and its gradient to `pixels`. An attacker adds it to a loss to pass the gates too.

        chats[b]: the dialogue of picture b, which is a place holder in it. Default: no gate stands there, so the
        margin is minus infinity and its gradient zero.
        """
        x = checked(pixels.detach(), "margin_and_grad")
        return x.new_full((len(x),), float("-inf")), x.new_zeros(x.shape)

    @property
    def normalisation(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean and standard deviation by which the tower's input is normalised, float32 [1, 3, 1, 1] each; None (the
        default) where the victim states none."""
        return None

    @property
    def embedding_width(self) -> int:
        """Width of the language model's token embeddings. Raises ClosedVictim (the default) if they are closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its embeddings; override `embedding_width`, or take another victim"
        )

    def gradient_path(self) -> str:
        """How `loss_and_grad` computes on this model and why: noted in traces and reports. Empty: nothing to say."""
        return ""
