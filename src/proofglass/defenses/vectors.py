"""What `fit` finds inside a model, kept in a folder: tensors, and a card that says of which model they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.defenses.learned import write_json
from proofglass.errors import UsageError
from proofglass.interfaces import Victim, WhiteBoxVictim, innermost, key_of
from proofglass.types import Chat, Sample

if TYPE_CHECKING:
    import torch

TENSORS, CARD = "vectors.safetensors", "card.json"


def save(
    folder: Path, defense: str, model: Victim, tensors: Mapping[str, torch.Tensor], told: Mapping[str, Any]
) -> None:
    """Write what `defense` was fitted to on `model`. told: what else the card says, JSON-able.

    Raises ValueError for a number that is none: a gate of NaN would never open.
    """
    from safetensors.torch import save_file

    if odd := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
        raise ValueError(f"{defense}: fit: {', '.join(odd)}: found numbers that are not finite; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    card = {"defense": defense, "model": {"name": innermost(model).name, "key": key_inside(model)}, **told}
    write_json(folder / CARD, card)


def load(
    folder: Path, defense: str, model: Victim, shapes: Mapping[str, int]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What was saved for `defense` and this very model, and its card. shapes: name -> number of axes that it must have.

    Raises UsageError where something is missing or broken, of another defense, or fitted on another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    again = f"fit it anew: {defense} has fit(model, ..., folder=...)"
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        of, key = card["defense"], card["model"]["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder / CARD}: cannot be read as a card ({type(error).__name__}: {error}); {again}"
        ) from error
    if of != defense:
        raise UsageError(f"{folder / CARD}: defense: expected {defense!r}, found {of!r}; {again}")
    if key != key_inside(model):
        raise UsageError(
            f"{folder / CARD}: model: fitted on {card['model'].get('name')!r} (key {key}), and this is "
            f"{innermost(model).name!r} (key {key_inside(model)}); what was found inside one model says nothing of "
            f"another; {again}"
        )
    try:
        found = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{folder / TENSORS}: cannot be read ({type(error).__name__}: {error}); {again}") from error
    for name, axes in shapes.items():
        if name not in found or found[name].dim() != axes or not bool(found[name].isfinite().all()):
            shape = list(found[name].shape) if name in found else "no such tensor"
            raise UsageError(
                f"{folder / TENSORS}: {name}: expected finite numbers with {axes} axes, found {shape}; {again}"
            )
    return found, card


def key_inside(model: Victim) -> str:
    """Of what is inside the model: its weights, an adapter included, wherever it runs; the model's key where it states
    no weights."""
    inner = innermost(model)
    weights = getattr(inner, "weights_hash", None)
    return key_of(["weights", weights]) if isinstance(weights, str) else inner.key


def chats_of(given: Iterable[Chat | Sample], what: str) -> list[Chat]:
    """The dialogues of chats or samples. Raises ValueError where there is none, or something else."""
    chats = [each.chat if isinstance(each, Sample) else each for each in given]
    if odd := next((type(each).__name__ for each in chats if not isinstance(each, Chat)), ""):
        raise ValueError(f"{what}: expected chats or samples, found a {odd}")
    if not chats:
        raise ValueError(f"{what}: expected at least one chat or sample, found none")
    return chats


def check_share(share: float | None, field: str = "false_alarms") -> None:
    """Raise ValueError unless `share` is one of 0 to 1, or None."""
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"{field}: expected a share from 0 to 1, found {share}")


def states_of(model: WhiteBoxVictim, chats: Sequence[Chat]) -> torch.Tensor:
    """float32 [n, L, d] on the CPU: every layer's state at each prompt's last token. A model without pictures is shown
    the words alone."""
    shown = chats if model.sees_images else [_words(chat) for chat in chats]
    return model.hidden_states(shown).float().cpu()


def middle(layers: int) -> tuple[int, ...]:
    """The layers between 3/8 and 3/4 of the depth: 12 to 24 of 32."""
    return tuple(range(-(-3 * layers // 8), 3 * layers // 4 + 1))[: max(1, layers)] or (layers - 1,)


def _words(chat: Chat) -> Chat:
    def bare(message: Any) -> Any:
        return replace(message, parts=tuple(part for part in message.parts if isinstance(part, str)))

    return Chat(tuple(bare(message) for message in chat.messages))
