"""Where a marked text stands among the tokens of a prompt, whatever tokenizer made them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise


def marks_in(ids: Sequence[int], text: str, decode: Callable[[Sequence[int]], str]) -> tuple[tuple[int, int], ...]:
    """[first, last) of the tokens that stand for `text`, spaces around it aside, at each place where it stands: a
    defense may say a question twice. decode: token ids -> their text.

    Raises ValueError for a text that does not stand there, that overlaps itself, that shares a token with what is
    beside it (replacing such a token would change the text beside it, too), or that is other tokens at another place.
    """
    wanted, whole = text.strip(), decode(ids)
    if not wanted:
        raise ValueError("mark: expected text, found none but spaces")
    places = [k for k in range(len(whole)) if whole.startswith(wanted, k)]
    if not places:
        raise ValueError(f"mark: expected in each chat, but {_short(wanted)} is not in it")
    if any(other - one < len(wanted) for one, other in pairwise(places)):
        raise ValueError(f"mark: {_short(wanted)} overlaps itself in the chat; expected one that has ends")
    found = [_place(ids, wanted, k, decode) for k in range(1, len(places) + 1)]
    if len({tuple(ids[first:last]) for first, last in found}) > 1:
        raise ValueError(
            f"mark: {_short(wanted)} stands there {len(found)} times, as other tokens each; expected the same ones, so "
            "that one text can be put into all (a space before each, or none)"
        )
    return tuple(found)


def _place(ids: Sequence[int], wanted: str, which: int, decode: Callable[[Sequence[int]], str]) -> tuple[int, int]:
    """Where `wanted` stands for the `which`-th time, from 1."""
    # More tokens never unsay a text, so both ends are the last and the first at which it is all there.
    last = bisect_left(range(len(ids) + 1), True, key=lambda k: decode(ids[:k]).count(wanted) >= which)
    first = bisect_left(range(last), True, key=lambda k: wanted not in decode(ids[k:last])) - 1
    if (found := decode(ids[first:last]).strip()) != wanted:
        raise ValueError(
            f"mark: {_short(wanted)} shares tokens with the text beside it ({_short(found)}); put a space or a line "
            "break between them"
        )
    return first, last


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:20]}...{text[-17:]}")
