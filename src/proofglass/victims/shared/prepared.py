"""Tokenised (chat, target) pairs: what a model needs to score targets again and again, whatever the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import Places
from proofglass.types import Image, slot_number

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Slot:
    """A picture in a prompt: its tokens are [first, last), none where its features come beside the tokens.

    image: None where only its tokens are known. name: of a picture whose pixels come later, "" for one that is shown as
    it is. size: (height, width) of the pixels that its tokens have room for, None if any.
    """

    first: int
    last: int
    image: Image | None = None
    name: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Prompt:
    """A chat as token ids, up to where the reply starts, every picture expanded to its own tokens."""

    ids: tuple[int, ...]
    slots: tuple[Slot, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(slot.image for slot in self.slots if slot.image is not None)

    def named(self, names: Sequence[str]) -> Prompt:
        """The pixels of its pictures with these names (`slot_number`) come later, the other pictures are fixed."""
        numbers = {slot_number(name): name for name in names}
        return replace(self, slots=tuple(replace(s, name=numbers.get(k, "")) for k, s in enumerate(self.slots, 1)))


@dataclass(frozen=True, eq=False)
class Pair:
    """Ids of prompt and target, with the place holders of all pictures.

    start: where the target begins. spans: tokens of each part of the target. slots: the pictures of the chat, in order.
    weights: one per target token, for weighting "given". teacher: logits float32 [T, V] at the target positions, None
    for hard labels. direction: [T, V] with which the logits are multiplied in place of an NLL, None for an NLL. mark:
    [first, last) of the marked tokens, None for none; again: of the places behind it where the same tokens stand.
    """

    ids: tuple[int, ...]
    start: int
    spans: tuple[int, ...]
    slots: tuple[Slot, ...] = ()
    weights: tuple[float, ...] | None = None
    teacher: Tensor | None = None
    mark: tuple[int, int] | None = None
    direction: Tensor | None = None
    again: tuple[tuple[int, int], ...] = ()

    @property
    def tokens(self) -> int:
        """Number of target tokens."""
        return len(self.ids) - self.start

    @property
    def free(self) -> tuple[Slot, ...]:
        """The pictures whose pixels come later."""
        return tuple(slot for slot in self.slots if slot.name)

    @property
    def fixed(self) -> tuple[Image, ...]:
        """The pictures that are shown as they are."""
        return tuple(slot.image for slot in self.slots if not slot.name and slot.image is not None)

    @property
    def shown(self) -> tuple[str | Image, ...]:
        """What its pictures are, in order: the name of a slot, or a fixed picture."""
        return tuple(each for slot in self.slots if (each := slot.name or slot.image))

    @property
    def places(self) -> Places:
        pictures = tuple((slot.first, slot.last) for slot in self.slots)
        return Places(self.ids, (self.start, len(self.ids)), pictures, self.mark, self.again)

    @property
    def text_places(self) -> tuple[int, ...]:
        """Where the prompt's text tokens stand: the template included, place holders and target not."""
        taken = {k for slot in self.slots for k in range(slot.first, slot.last)}
        return tuple(k for k in range(self.start) if k not in taken)

    def filled(self, ids: Sequence[int]) -> Pair:
        """This pair with `ids` in place of its mark, wherever it stands. Raises ValueError where nothing is marked."""
        if self.mark is None:
            raise ValueError("mark: found none; prepare(..., mark=...) says which text of the chat is marked")
        marks = (self.mark, *self.again)
        longer = [len(ids) - (last - first) for first, last in marks]

        def moved(slot: Slot) -> Slot:
            by = sum(more for more, (_, last) in zip(longer, marks, strict=True) if slot.first >= last)
            return replace(slot, first=slot.first + by, last=slot.last + by)

        whole: list[int] = []
        filled: list[tuple[int, int]] = []
        done = 0
        for first, last in marks:
            whole += self.ids[done:first]
            filled.append((len(whole), len(whole) + len(ids)))
            whole += ids
            done = last
        return replace(
            self,
            ids=(*whole, *self.ids[done:]),
            start=self.start + sum(longer),
            slots=tuple(map(moved, self.slots)),
            mark=filled[0],
            again=tuple(filled[1:]),
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """B pictures x P pairs (see `proofglass.interfaces.Prepared`). Every method returns a new value and shares ids."""

    pairs: tuple[tuple[Pair, ...], ...]
    slots: tuple[str, ...] = ("image",)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def places(self) -> tuple[tuple[Places, ...], ...]:
        return tuple(tuple(pair.places for pair in row) for row in self.pairs)

    @property
    def spans(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        return tuple(tuple(pair.spans for pair in row) for row in self.pairs)

    @property
    def text_tokens(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(len(pair.text_places) for pair in row) for row in self.pairs)

    def rows(self, picks: Sequence[int]) -> Prepared:
        return replace(self, pairs=tuple(self.pairs[b] for b in picks))

    def select(self, picks: Sequence[Sequence[int]]) -> Prepared:
        chosen = tuple(tuple(row[k] for k in some) for row, some in zip(self.pairs, picks, strict=True))
        return replace(self, pairs=chosen)

    def weighted(self, weights: Sequence[Sequence[Sequence[float]]]) -> Prepared:
        """Raises ValueError unless every target token has one finite weight."""
        return self._each(weights, "weights", _with_weights)

    def taught(self, teachers: Sequence[Sequence[Tensor]]) -> Prepared:
        """Raises ValueError unless every teacher has one row of finite logits per target token."""
        return self._each(teachers, "teachers", _with_teacher)

    def along(self, directions: Sequence[Sequence[Tensor]]) -> Prepared:
        """Raises ValueError unless every pair has one row of finite numbers per target token."""
        return self._each(directions, "directions", _with_direction)

    def filled(self, ids: Sequence[Sequence[int]]) -> Prepared:
        if len(ids) != len(self.pairs):
            raise ValueError(f"ids: expected those of {len(self.pairs)} pictures, found {len(ids)}")
        rows = zip(self.pairs, ids, strict=True)
        return replace(self, pairs=tuple(tuple(pair.filled(own) for pair in row) for row, own in rows))

    def _each(self, given: Sequence[Sequence[Any]], what: str, change: Callable[[Pair, Any], Pair]) -> Prepared:
        found, expected = [len(row) for row in given], [len(row) for row in self.pairs]
        if found != expected:
            raise ValueError(f"{what}: expected one per pair, {expected} for each picture, found {found}")
        rows = zip(self.pairs, given, strict=True)
        return replace(self, pairs=tuple(tuple(map(change, row, new)) for row, new in rows))


def prepared_of(pairs: Sequence[Sequence[Pair]], slots: Sequence[str]) -> Prepared:
    """Raises ValueError for a slot that no pair shows; a chat without any picture is no mistake where one is asked
    for (`WhiteBoxVictim.prepare`'s default)."""
    if len(set(slots)) != len(slots):
        raise ValueError(f"slots: expected each name once, found {list(slots)}")
    most = max((len(pair.slots) for row in pairs for pair in row), default=0)
    for slot in slots:
        if slot_number(slot) > max(1, most):
            raise ValueError(f"slots: no chat has a picture for {slot!r}, found {most} pictures at most")
    return Prepared(tuple(map(tuple, pairs)), tuple(slots))


def _with_weights(pair: Pair, weights: Sequence[float]) -> Pair:
    found = tuple(float(w) for w in weights)
    if len(found) != pair.tokens or not all(abs(w) < float("inf") for w in found):
        raise ValueError(f"weights: expected {pair.tokens} finite numbers, one per target token, found {len(found)}")
    return replace(pair, weights=found)


def _with_teacher(pair: Pair, teacher: Tensor) -> Pair:
    if teacher.dim() != 2 or len(teacher) != pair.tokens or not bool(teacher.isfinite().all()):
        raise ValueError(f"teachers: expected finite logits [{pair.tokens}, V], found {list(teacher.shape)}")
    return replace(pair, teacher=teacher.detach().float())


def _with_direction(pair: Pair, direction: Tensor) -> Pair:
    if direction.dim() != 2 or len(direction) != pair.tokens or not bool(direction.isfinite().all()):
        raise ValueError(f"directions: expected finite numbers [{pair.tokens}, V], found {list(direction.shape)}")
    return replace(pair, direction=direction.detach().float())


def pair_of(
    prompt: Prompt, parts: Sequence[Sequence[int]], end: int | None = None, marks: Sequence[tuple[int, int]] = ()
) -> Pair:
    """A pair from token ids. parts: the target's, each tokenised by itself. end: id of an end token to append. marks:
    every place of the marked tokens.

    Raises ValueError for an empty prompt or target.
    """
    if not prompt.ids:
        raise ValueError("prompt: expected at least one token, found none")
    if not any(parts):
        raise ValueError("target: expected text to teach, found none")
    spans = [len(part) for part in parts]
    answer = [token for part in parts for token in part]
    if end is not None:
        answer.append(end)
        spans[-1] += 1
    ids, mark, again = (*prompt.ids, *answer), next(iter(marks), None), tuple(marks[1:])
    return Pair(ids, len(prompt.ids), tuple(spans), prompt.slots, mark=mark, again=again)


def one_run(prompt: Sequence[int], token: int) -> tuple[Slot, ...]:
    """The picture "image" where the only run of `token` stands in `prompt`, none if nowhere. Raises ValueError for
    several runs."""
    places = [k for k, each in enumerate(prompt) if each == token]
    if places and places[-1] - places[0] + 1 != len(places):
        raise ValueError(f"prompt: expected the place holders of one picture in a row, found gaps in {len(places)}")
    return (Slot(places[0], places[-1] + 1, name="image"),) if places else ()
