"""Tokenised pairs of (chat, target), as a white-box victim prepares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from jaxtyping import Float32
    from torch import Tensor


@dataclass(frozen=True)
class Places:
    """The tokens of a pair. ids: of prompt and target, with a place holder for each token of a picture. Of the rest
    each is [first, last): target, pictures (all that the chat shows, in order), mark (None where nothing is marked),
    again (where the marked tokens stand once more, as where a defense repeats a question)."""

    ids: tuple[int, ...]
    target: tuple[int, int]
    pictures: tuple[tuple[int, int], ...] = ()
    mark: tuple[int, int] | None = None
    again: tuple[tuple[int, int], ...] = ()

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """Every place of the mark, none where nothing is marked."""
        return () if self.mark is None else (self.mark, *self.again)


class Prepared(Protocol):
    """B pictures x P tokenised pairs: what a victim needs to score targets again and again.

    slots: names of the pictures that are not fixed, as they were asked for. places[b][p]: which tokens a pair has.
    spans[b][p]: number of tokens of each part of the target (one part for a plain text; the end token, where asked
    for, belongs to the last part). text_tokens[b][p]: number of prompt tokens that are text (the template included,
    place holders of pictures and the target not).
    """

    @property
    def slots(self) -> tuple[str, ...]: ...

    @property
    def places(self) -> tuple[tuple[Places, ...], ...]: ...

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

    def taught(self, teachers: Sequence[Sequence[Float32[Tensor, "_ V"]]]) -> Self:
        """teachers[b][p]: logits [T, V] of a teacher at the target positions. The NLL of a token becomes the
        cross-entropy against softmax(teacher) (soft labels)."""

    def along(self, directions: Sequence[Sequence[Float32[Tensor, "_ V"]]]) -> Self:
        """directions[b][p]: [T, V]. The NLL of a token becomes the product of its logits with its direction: the
        gradient of whatever was made of the logits, given its own gradient to them."""

    def filled(self, ids: Sequence[Sequence[int]]) -> Self:
        """ids[b]: token ids that stand in every place of the mark in every pair of picture b, as they are: no text is
        tokenised anew. Raises ValueError for a pair without a mark."""
