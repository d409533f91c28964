"""Surrogates: the models that a transfer attack is crafted on, which must not be the victim under another name."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from proofglass.engine.pictures import grey
from proofglass.engine.seeds import stream
from proofglass.errors import ClosedVictim, UsageError
from proofglass.interfaces import Encoder, Model, Victim, WhiteBoxVictim, innermost
from proofglass.registry import Kind, entries, entry
from proofglass.types import Image

if TYPE_CHECKING:
    import torch


@runtime_checkable
class Layered(Protocol):
    """An encoder that shows its patches [B, n, d] after every layer."""

    def layers(self, pixels: torch.Tensor) -> list[torch.Tensor]: ...


def surrogate(named: str | Model | Victim) -> Any:
    """The plug, or the one registered under this name as a model, else as a victim. `name:VALUE` sets its first
    parameter (`hf-encoder:FOLDER`, `llava:FOLDER`). Raises UnknownName, or UsageError if a parameter is missing."""
    if not isinstance(named, str):
        return named
    plain = named.partition(":")[0]
    victims = entries("victims")
    return _built("victims" if plain in victims and plain not in entries("models") else "models", named)


def encoder_named(name: str) -> Encoder:
    """The encoder registered under `name`, as for `surrogate`. Raises UnknownName, or UsageError for a model of another
    kind."""
    model = _built("models", name)
    if not isinstance(model, Encoder):
        raise UsageError(f"encoder: {name!r} is no image encoder; `proofglass list models` shows which are")
    return model


def _built(kind: Kind, named: str) -> Any:
    plain, _, value = named.partition(":")
    found = entry(kind, plain)
    if not value:
        try:
            return found.build()
        except TypeError as error:  # a parameter without a default
            raise UsageError(f"{plain}: {error}; write {plain}:VALUE") from error
    return found.build(**{dataclasses.fields(found.load())[0].name: value})


def size_of(victim: WhiteBoxVictim, image: Image) -> tuple[int, int]:
    """Height and width in pixels at which `victim` takes `image`."""
    height, width = victim.pixels(image).shape[-2:]
    return height, width


def check_trained_apart(model: Model | Victim, victim: Victim) -> None:
    """Raises UsageError if `model` is the victim, has its weights, or is the vision tower that it reads: an attack on
    these is no transfer. The tower is compared by what it makes of a noise picture, the rest by name and hash."""
    inner = innermost(victim)
    same = model.name == inner.name or model.key == inner.key
    own, its = getattr(model, "weights_hash", None), getattr(inner, "weights_hash", None)
    if same or (own is not None and own == its) or _same_tower(model, inner):
        raise UsageError(
            f"surrogates: {model.name!r} shares weights with the victim {inner.name!r}: that is a white-box attack, "
            "not a transfer. Name surrogates that were trained apart."
        )


def _same_tower(model: Model | Victim, victim: Victim) -> bool:
    import torch

    if not (isinstance(model, (Encoder, WhiteBoxVictim)) and isinstance(victim, WhiteBoxVictim)):
        return False
    size = size_of(victim, grey(victim))
    if isinstance(model, WhiteBoxVictim) and size_of(model, grey(victim)) != size:
        return False
    noise = torch.rand(1, 3, *size, generator=stream("tower"))
    try:
        with torch.no_grad():
            other = victim.features(noise, "patches").float().cpu()
            # A victim may read any layer of the tower (LLaVA: the last but one).
            own = model.layers(noise) if isinstance(model, Layered) else [model.features(noise, "patches")]
    except ClosedVictim:  # a closed tower: nothing to compare
        return False
    return any(_alike(one.float().cpu(), other) for one in own)


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two towers [1, n, d] agree on their patches; one may keep a class token in front of them."""
    import torch

    n = min(one.shape[1], other.shape[1])
    one, other = one[:, -n:], other[:, -n:]
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4)
