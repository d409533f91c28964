"""A victim that opens itself: gradients, logits, features, layers, and its text side (tokens, embeddings).

Shapes are annotations of jaxtyping: letters of one call name one size each, in its arguments and in what it gives. B:
pictures, P: pairs of a picture, T: target tokens of a pair, V: tokens of the vocabulary, C: candidates, n: chats, L:
layers, d: width of the model, _: any size. Nothing checks them at run time but our tests (`tests/shapes.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from proofglass.errors import ClosedVictim
from proofglass.interfaces.learners import Learner, TowerLearner
from proofglass.interfaces.pairs import Places
from proofglass.interfaces.victims import Victim
from proofglass.types import Ask, Chat, Image, Reply

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32
    from torch import Tensor

Weighting = Literal["token", "pair", "sum", "given"]
Layer = Literal["pooled", "patches"]
# A target is a text, or its parts in order: each part is tokenised by itself, so that its tokens are a span.
Target = str | tuple[str, ...]


# What is optimised of a chat's pictures: one tensor (one slot), one for each slot (of any size each), None (no slot).
AnyPixels: TypeAlias = 'Float32[Tensor, "B 3 H W"] | Mapping[str, Float32[Tensor, "B 3 _ _"]] | None'
Pixels = TypeVar("Pixels", bound=AnyPixels)
SLOTS = ("image",)
# What a layer makes of n tokens -> what becomes of that.
Change: TypeAlias = Callable[['Float[Tensor, "n d"]'], 'Float[Tensor, "n d"]']
# ((which ask, token ids of its reply so far) of n replies, their next logits, those of the dialogues beside them) ->
# the logits by which the next tokens are chosen.
Rescored: TypeAlias = Callable[
    [Sequence[tuple[int, Sequence[int]]], 'Float[Tensor, "n V"]', 'Float[Tensor, "n V"] | None'],
    'Float[Tensor, "n V"]',
]


@dataclass(frozen=True)
class LossAndGrad(Generic[Pixels]):
    """nll: mean negative log-likelihood per token of each pair, NaN where a picture has fewer; loss: what was
    differentiated; pixels: gradient of `loss.sum()`, in the form in which pixels were given (for each slot, or None);
    text: its gradient with respect to the text perturbations, shaped as they were given, None where none were."""

    nll: Float[Tensor, "B P"]
    loss: Float[Tensor, " B"]
    pixels: Pixels
    text: tuple[tuple[Float32[Tensor, "_ d"], ...], ...] | None = None


def checked(pixels: Float[Tensor, "B 3 H W"], port: str, device: Any = None) -> Float[Tensor, "B 3 H W"]:
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


def by_slot(pixels: Any, slots: Sequence[str], port: str) -> dict[str, Tensor]:
    """`pixels`, in whatever form a port takes them, as one tensor for each slot. port: its name, for the error.

    Raises ValueError unless each slot has its pictures and nothing else has, in batches of one length.
    """
    if pixels is None:
        found: dict[str, Tensor] = {}
    elif isinstance(pixels, Mapping):
        found = dict(pixels)
    elif len(slots) == 1:
        return {slots[0]: pixels}
    else:
        raise ValueError(f"{port}: pixels: expected a mapping of slots to tensors, {list(slots)}, found one tensor")
    if set(found) != set(slots):
        raise ValueError(f"{port}: pixels: prepared for the slots {list(slots)}, found {sorted(found)}")
    if len({len(each) for each in found.values()}) > 1:
        counts = {slot: len(each) for slot, each in found.items()}
        raise ValueError(f"{port}: pixels: expected as many pictures in each slot, found {counts}")
    return {slot: found[slot] for slot in slots}


def in_form_of(pixels: Pixels, found: Mapping[str, Tensor]) -> Pixels:
    """What was `found` for each slot, in the form of `pixels`."""
    form: Any = pixels
    if form is None:
        return pixels
    return dict(found) if isinstance(form, Mapping) else next(iter(found.values()))  # type: ignore[return-value]


class WhiteBoxVictim(Victim):
    """A victim that also gives gradients with respect to pixels, float32 in [0, 1], [B, 3, H, W].

    draws: how many random draws one evaluation of a picture averages, each of them a pass of its own (a defense that
    draws at random stands before the model, `engine.seeds.drawing` says which draws); 0: it draws nothing. gated:
    whether a defense before the model has a gate, whose margin `margin_and_grad` gives.
    """

    draws: int = 0
    gated: bool = False

    @property
    def passes(self) -> int:
        """Passes through the model that one look at a picture takes: one, or one for each of its draws."""
        return max(self.draws, 1)

    @abstractmethod
    def pixels(self, image: Image) -> Float32[Tensor, "1 3 H W"]:
        """`image` as this model takes it, in [0, 1], at the tower's own size."""

    @abstractmethod
    def prepare(
        self,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        *,
        append_eos: bool = False,
        slots: Sequence[str] = SLOTS,
        mark: str | Sequence[str] = "",
    ) -> Any:
        """B pictures x P pairs of (chat, target), tokenised once (a `Prepared`).

        slots: which of a chat's pictures stand for pixels that come later, over all its turns: "image" the first,
        "image2" the second, ...; the others are shown as they are. Where none is named, `pixels` is None later.
        append_eos: the end token belongs to the target (papers differ). mark: a text that stands in each chat,
        whose tokens an attack will change (an adversarial suffix): one for all, or one for each picture b; "" for none.
        Where it stands more than once (a defense repeats the question), all its places are changed alike. Raises
        ValueError for a slot that no chat has, a mark that a chat has not, that is other tokens at another place or
        whose tokens also stand for text beside it, and for a chat of more pictures than this victim takes.
        """

    @abstractmethod
    def loss_and_grad(
        self,
        pixels: Pixels,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[Float32[Tensor, "_ d"]]] | None = None,
    ) -> LossAndGrad[Pixels]:
        """Teacher-forced cross-entropy of the targets, and its gradient.

        pixels: in [0, 1]; raises ValueError outside (catches double normalisation). For several slots one such tensor
        each, by name; None for pairs that were prepared without slots.
        weighting: "token" = mean over all target tokens of a row (Hugging Face's labels loss), "pair" = mean
        over pairs of per-pair means, "sum" = sum over tokens, "given" = `prepared`'s own weights. Rows are
        independent: each row's gradient equals the one of its own run.
        text[b][p]: [text_tokens[b][p], d], added to the embeddings of the prompt's text tokens.
        """

    def target_logits(self, pixels: AnyPixels, prepared: Any) -> list[list[Float32[Tensor, "_ V"]]]:
        """Per picture and pair: logits [T, V] at the target positions, without gradient. Raises ClosedVictim
        (the default) if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `target_logits`, or take another victim")

    def features(
        self, pixels: Float32[Tensor, "B 3 H W"], layer: Layer = "pooled"
    ) -> Float[Tensor, "B d"] | Float[Tensor, "B patches d"]:
        """What the vision tower makes of `pixels`, differentiable: "pooled" [B, d] or "patches" [B, patches, d], the
        patch tokens that the rest of the model reads (paper by paper: the penultimate layer in LLaVA). Raises
        ClosedVictim (the default) if the tower is closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its vision tower; override `features`, or name an encoder"
        )

    def features_and_grad(
        self,
        pixels: Float32[Tensor, "B 3 H W"],
        loss: Callable[[Float[Tensor, "B *patches d"]], Float[Tensor, " B"]],
        layer: Layer = "pooled",
    ) -> tuple[Float[Tensor, " B"], Float32[Tensor, "B 3 H W"]]:
        """`loss` of the features of each picture, and its gradient to `pixels`.

        loss: of the features of B pictures, rows independent. For objectives on the tower alone.
        """
        import torch

        leaf = checked(pixels.detach(), "features_and_grad").requires_grad_()
        with torch.enable_grad():
            values = loss(self.features(leaf, layer))
            if values.shape != pixels.shape[:1]:
                raise ValueError(f"loss: expected one value per picture, [{len(pixels)}], found {list(values.shape)}")
            (grad,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), grad

    def next_token_logits(self, chats: Sequence[Chat]) -> Float32[Tensor, "n V"]:
        """Logits of the first token of each reply, without gradient. Raises ClosedVictim (the default)
        if the victim gives none."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits; override `next_token_logits`, or take another one")

    def hidden_states(self, chats: Sequence[Chat], layers: Sequence[int] | None = None) -> Float32[Tensor, "n L d"]:
        """What decoder layers (None: all, from 0) make of each prompt's last token, without
        gradient. Raises ClosedVictim (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `hidden_states`, or take another")

    def prompt_states(
        self,
        pixels: AnyPixels,
        prepared: Any,
        layers: Sequence[int],
        *,
        along: Float[Tensor, "n L d"] | None = None,
        text: Sequence[Sequence[Float32[Tensor, "_ d"]]] | None = None,
    ) -> tuple[Float32[Tensor, "n L d"], AnyPixels]:
        """What decoder layers make of the last prompt token of all n pairs, picture by picture, and the gradient to
        `pixels` of the sum of states x `along` (None without). text: as `loss_and_grad` takes it. Raises ClosedVictim
        (the default) if the layers are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `prompt_states`, or take another")

    def read_out(self, states: Float[Tensor, "*_ d"]) -> Float32[Tensor, "*_ V"]:
        """The logits that the model's last normalisation and its head make of `states` of any layer, differentiable.
        Raises ClosedVictim (the default) if they are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its head; override `read_out`, or take another one")

    def steering(self, vectors: Mapping[int, Float[Tensor, " d"] | Change]) -> AbstractContextManager[None]:
        """While the context is open, vectors[layer] is added to what that decoder layer makes of every
        token, in replies, losses and gradients. A function instead is what becomes of the tokens that speak: the last
        one of a prompt, and those of the reply (or target) behind it. Raises ClosedVictim (the default) if the layers
        are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its layers; override `steering`, or take another one")

    def reply_by(self, asks: Sequence[Ask], rescored: Rescored, beside: Sequence[Chat] = ()) -> list[Reply]:
        """`reply`, the tokens of which are chosen by what `rescored` makes of their logits. beside: one dialogue for
        each ask; the same tokens are read behind it, and its logits are given too. Raises ClosedVictim (the default) if
        the victim decodes by no one's logits but its own."""
        raise ClosedVictim(f"victim {self.name!r}: gives no logits while it speaks; override `reply_by`")

    def margin_and_grad(
        self, pixels: Float32[Tensor, "B 3 H W"], chats: Sequence[Chat]
    ) -> tuple[Float[Tensor, " B"], Float32[Tensor, "B 3 H W"]]:
        """By how much the gates of the defenses before this model would intervene on each picture in its chat, as
        `types.Decision` counts it (positive: it intervenes; of several gates, the largest), and its gradient to
        `pixels`. An attacker adds it to a loss to pass the gates too.

        chats[b]: the dialogue of picture b, which is a place holder in it. Default: no gate stands there, so the
        margin is minus infinity and its gradient zero.
        """
        x = checked(pixels.detach(), "margin_and_grad")
        return x.new_full((len(x),), float("-inf")), x.new_zeros(x.shape)

    @property
    def normalisation(self) -> tuple[Float32[Tensor, "1 3 1 1"], Float32[Tensor, "1 3 1 1"]] | None:
        """Mean and standard deviation by which the tower's input is normalised; None (the default) where the victim
        states none."""
        return None

    # ---- its weights ---------------------------------------------------------------------------------------------

    def learner(self, rank: int, alpha: float, seed: int) -> Learner:
        """The weights of this model, ready to learn: a low-rank adapter of `rank` and strength `alpha` beside those of
        its language model's layers, drawn from `seed`, or, rank 0, all weights but the vision tower's. Raises
        ClosedVictim (the default) if they are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its weights; name a victim with weights, such as hf")

    def tower_learner(self) -> TowerLearner:
        """The vision tower of this model, ready to learn. Raises ClosedVictim (the default) if it is closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its weights; name a victim with weights, such as hf")

    def tuned(self, folder: Path) -> WhiteBoxVictim:
        """This model with what a `learner` of it has saved in `folder`. Raises ClosedVictim (the default) if its
        weights are closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its weights; name a victim with weights, such as hf")

    # ---- its text side --------------------------------------------------------------------------------------------

    @property
    def embedding_width(self) -> int:
        """Width of the language model's token embeddings. Raises ClosedVictim (the default) if they are closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its embeddings; override `embedding_width`, or take another victim"
        )

    def embeddings(self) -> Float[Tensor, "V d"]:
        """The embedding, `embedding_width` wide, of every token, scaled as the model looks it up, so that a
        perturbation `embeddings()[new] - embeddings()[old]` of one token is that token replaced. Raises ClosedVictim
        (the default) if they are closed."""
        raise ClosedVictim(
            f"victim {self.name!r}: does not open its embeddings; override `embeddings`, or take another"
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` by itself, no special tokens; a control token in it is plain text, as in a chat. Beside
        other text it may be tokenised otherwise: `Prepared.places` has the tokens of a chat. Raises ClosedVictim (the
        default) if the tokenizer is closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its tokenizer; override `encode`, or take another one")

    def decode(self, ids: Sequence[int]) -> str:
        """The text that token ids stand for. `encode(decode(ids))` may be other ids: then a model that is asked with
        this text does not see them. Raises ClosedVictim (the default) if the tokenizer is closed."""
        raise ClosedVictim(f"victim {self.name!r}: does not open its tokenizer; override `decode`, or take another one")

    def reads_back(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        """For each row of token ids, whether its text, tokenised by itself, is those ids again. Raises ClosedVictim
        (the default) if the tokenizer is closed."""
        return [self.encode(self.decode(ids)) == list(ids) for ids in rows]

    def writable(self) -> Bool[Tensor, " V"]:
        """V as in `embeddings`: the tokens that an attacker can write, printable text and no control tokens.
        Raises ClosedVictim where the tokenizer or the embeddings are closed."""
        import torch

        texts = [self.decode([token]) for token in range(len(self.embeddings()))]
        return torch.tensor([is_printable(text) for text in texts], dtype=torch.bool)

    def losses_of(
        self,
        pixels: AnyPixels,
        prepared: Any,
        candidates: Sequence[Sequence[Sequence[int]]],
        *,
        weighting: Weighting = "token",
    ) -> Float[Tensor, "B C"]:
        """The loss of picture b's pairs with candidates[b][c] in place of the mark, without gradient;
        NaN where a picture has fewer candidates. What `loss_and_grad` gives for `prepared.filled(...)`, with the work
        that the candidates share done once where the victim can: most where they differ little from the marks of
        `prepared`. Default: they share nothing."""
        import torch

        owner = [b for b, row in enumerate(candidates) for _ in row]
        filled = prepared.rows(owner).filled([ids for row in candidates for ids in row])
        if isinstance(pixels, Mapping):
            given: Any = {slot: x[owner] for slot, x in pixels.items()}
        else:
            given = None if pixels is None else pixels[owner]
        losses = self.loss_and_grad(given, filled, weighting=weighting, need_grad=False).loss
        return torch.nn.utils.rnn.pad_sequence(
            list(losses.split([len(row) for row in candidates])), batch_first=True, padding_value=float("nan")
        )

    def mark_gradient(
        self, pixels: AnyPixels, prepared: Any, *, weighting: Weighting = "token"
    ) -> tuple[Float[Tensor, " B"], list[Float32[Tensor, "_ d"]]]:
        """The loss of each picture's pairs, and its gradient with respect to the embeddings of the marked tokens,
        summed over the pairs, in which they must be as many, and over the places of each mark. `gradient @
        embeddings().T` is the gradient of one-hot tokens (GCG); the loss of another token there rises by about
        (embedding - embedding of this one) . gradient (HotFlip). Raises ClosedVictim where the embeddings are closed,
        ValueError where nothing is marked."""
        import torch

        width = self.embedding_width
        nothing = [[torch.zeros(tokens, width) for tokens in row] for row in prepared.text_tokens]
        found = self.loss_and_grad(pixels, prepared, weighting=weighting, text=nothing)
        assert found.text is not None
        each = [
            [_of_mark(grad, places) for grad, places in zip(grads, row, strict=True)]
            for grads, row in zip(found.text, prepared.places, strict=True)
        ]
        for row in each:
            if len(counts := {len(grad) for grad in row}) > 1:
                raise ValueError(f"mark: expected as many tokens in all pairs of a picture, found {sorted(counts)}")
        return found.loss, [torch.stack(row).sum(0) for row in each]

    def gradient_path(self) -> str:
        """How `loss_and_grad` computes on this model and why: noted in traces and reports. Empty: nothing to say."""
        return ""


def is_printable(text: str) -> bool:
    """Whether `text` is something that a person could type and see: no control characters, no broken bytes."""
    return text.isprintable() and bool(text.strip()) and "\ufffd" not in text


def _of_mark(grad: Float32[Tensor, "_ d"], places: Places) -> Float32[Tensor, "_ d"]:
    """Of a gradient to all text tokens of a prompt, the rows of the marked ones, summed over the mark's places."""
    import torch

    if places.mark is None:
        raise ValueError("mark: found none; prepare(..., mark=...) says which text of the chat is marked")
    rows = []
    for first, last in places.marks:
        before = sum(min(end, first) - begin for begin, end in places.pictures if begin < first)
        rows.append(grad[first - before : last - before])
    return torch.stack(rows).sum(0)
