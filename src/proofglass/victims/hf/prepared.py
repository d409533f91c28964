"""Tokenised (chat, target) pairs: what a model needs to score targets again and again, whatever the pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from proofglass.types import Image


@dataclass(frozen=True)
class Slot:
    """A picture in a prompt: its tokens are [first, last)."""

    first: int
    last: int
    image: Image


@dataclass(frozen=True)
class Prompt:
    """A chat as token ids, up to where the reply starts, every picture expanded to its own tokens."""

    ids: tuple[int, ...]
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True, eq=False)
class Pair:
    """Ids of prompt and target with the picture's place holders expanded.

    start: where the target begins. spans: tokens of each part of the target. picture: [first, last + 1) of the tokens
    that stand for the picture under attack, None for a chat without picture. others: further pictures of the chat, in
    order behind it, which stay as they are. size: (height, width) of the pixels that `ids` has room for, None if any.
    weights: one per target token, for weighting "given". teacher: logits float32 [T, V] at the target positions, None
    for hard labels.
    """

    ids: tuple[int, ...]
    start: int
    spans: tuple[int, ...]
    picture: tuple[int, int] | None
    others: tuple[Slot, ...] = ()
    size: tuple[int, int] | None = None
    weights: tuple[float, ...] | None = None
    teacher: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Number of target tokens."""
        return len(self.ids) - self.start

    @property
    def text_places(self) -> tuple[int, ...]:
        """Where the prompt's text tokens stand: the template included, place holders and target not."""
        taken = {k for first, last in self._pictures for k in range(first, last)}
        return tuple(k for k in range(self.start) if k not in taken)

    @property
    def _pictures(self) -> list[tuple[int, int]]:
        return [*([self.picture] if self.picture else []), *((slot.first, slot.last) for slot in self.others)]


@dataclass(frozen=True, eq=False)
class Prepared:
    """B pictures x P pairs (see `proofglass.interfaces.Prepared`). Every method returns a new value and shares ids."""

    pairs: tuple[tuple[Pair, ...], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def spans(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        return tuple(tuple(pair.spans for pair in row) for row in self.pairs)

    @property
    def text_tokens(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(len(pair.text_places) for pair in row) for row in self.pairs)

    def rows(self, picks: Sequence[int]) -> Prepared:
        return Prepared(tuple(self.pairs[b] for b in picks))

    def select(self, picks: Sequence[Sequence[int]]) -> Prepared:
        return Prepared(tuple(tuple(row[k] for k in chosen) for row, chosen in zip(self.pairs, picks, strict=True)))

    def weighted(self, weights: Sequence[Sequence[Sequence[float]]]) -> Prepared:
        """Raises ValueError unless every target token has one finite weight."""
        return self._each(weights, "weights", _with_weights)

    def taught(self, teachers: Sequence[Sequence[Tensor]]) -> Prepared:
        """Raises ValueError unless every teacher has one row of finite logits per target token."""
        return self._each(teachers, "teachers", _with_teacher)

    def _each(self, given: Sequence[Sequence[Any]], what: str, change: Callable[[Pair, Any], Pair]) -> Prepared:
        found, expected = [len(row) for row in given], [len(row) for row in self.pairs]
        if found != expected:
            raise ValueError(f"{what}: expected one per pair, {expected} for each picture, found {found}")
        return Prepared(tuple(tuple(map(change, row, new)) for row, new in zip(self.pairs, given, strict=True)))


def _with_weights(pair: Pair, weights: Sequence[float]) -> Pair:
    found = tuple(float(w) for w in weights)
    if len(found) != pair.tokens or not all(abs(w) < float("inf") for w in found):
        raise ValueError(f"weights: expected {pair.tokens} finite numbers, one per target token, found {len(found)}")
    return dataclasses.replace(pair, weights=found)


def _with_teacher(pair: Pair, teacher: Tensor) -> Pair:
    if teacher.dim() != 2 or len(teacher) != pair.tokens or not bool(torch.isfinite(teacher).all()):
        raise ValueError(f"teachers: expected finite logits [{pair.tokens}, V], found {list(teacher.shape)}")
    return dataclasses.replace(pair, teacher=teacher.detach().float())


def pair_of(
    prompt: Sequence[int],
    parts: Sequence[Sequence[int]],
    picture: tuple[int, int] | None,
    end: int | None = None,
    others: Sequence[Slot] = (),
    size: tuple[int, int] | None = None,
) -> Pair:
    """A pair from token ids. parts: the target's, each tokenised by itself. end: id of an end token to append.

    Raises ValueError for an empty prompt or target.
    """
    if not prompt:
        raise ValueError("prompt: expected at least one token, found none")
    if not any(parts):
        raise ValueError("target: expected text to teach, found none")
    spans = [len(part) for part in parts]
    answer = [token for part in parts for token in part]
    if end is not None:
        answer.append(end)
        spans[-1] += 1
    return Pair((*prompt, *answer), len(prompt), tuple(spans), picture, tuple(others), size)


def one_run(prompt: Sequence[int], token: int) -> tuple[int, int] | None:
    """Where the only run of `token` stands in `prompt`, None if nowhere. Raises ValueError for several runs."""
    places = [k for k, each in enumerate(prompt) if each == token]
    if places and places[-1] - places[0] + 1 != len(places):
        raise ValueError(f"prompt: expected the place holders of one picture in a row, found gaps in {len(places)}")
    return (places[0], places[-1] + 1) if places else None
