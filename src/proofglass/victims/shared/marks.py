"""Where a marked text stands among the tokens of a prompt, whatever tokenizer made them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence


def mark_in(ids: Sequence[int], text: str, decode: Callable[[Sequence[int]], str]) -> tuple[int, int]:
    """[first, last) of the tokens that stand for `text`, spaces around it aside. decode: token ids -> their text.

    Raises ValueError for a text that does not stand there just once, or that shares a token with what is beside it:
    replacing such a token would change the text beside it, too.
    """
    wanted, whole = text.strip(), decode(ids)
    if not wanted:
        raise ValueError("mark: expected text, found none but spaces")
    place = whole.find(wanted)
    if place < 0 or whole.find(wanted, place + 1) >= 0:
        how = "is not in it" if place < 0 else "is in it more than once"
        raise ValueError(f"mark: expected once in each chat, but {_short(wanted)} {how}")
    # More tokens never unsay a text, so both ends are the last and the first at which it is all there.
    last = bisect_left(range(len(ids) + 1), True, key=lambda k: wanted in decode(ids[:k]))
    first = bisect_left(range(last), True, key=lambda k: wanted not in decode(ids[k:last])) - 1
    if (found := decode(ids[first:last]).strip()) != wanted:
        raise ValueError(
            f"mark: {_short(wanted)} shares tokens with the text beside it ({_short(found)}); put a space or a line "
            "break between them"
        )
    return first, last


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:20]}...{text[-17:]}")
