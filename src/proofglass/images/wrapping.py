"""Lines of at most so many characters or pixels: words stay whole where they fit, letters keep their marks always."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence


def wrapped(text: str, limit: float, width_of: Callable[[str], float], *, strict: bool = True) -> list[str]:
    """`text` in lines for which `width_of` is at most `limit`; its own line ends stay, blanks between words are one.

    A word that fits on no line is broken between letters. Raises ValueError where one letter alone is wider than
    `limit`; not strict: such a letter stands alone on its line.
    """
    return [line for paragraph in text.split("\n") for line in _filled(paragraph, limit, width_of, strict)]


def letters(text: str) -> list[str]:
    """`text` in pieces that a reader takes for one letter: a character with the marks and joiners that follow it."""
    if text.isascii():
        return list(text)
    found: list[str] = []
    for c in text:
        joins = unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf")
        if found and (joins or found[-1].endswith("\u200d")):
            found[-1] += c
        else:
            found.append(c)
    return found


def _filled(paragraph: str, limit: float, width_of: Callable[[str], float], strict: bool) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in paragraph.split(" "):
        if not word:
            continue
        if line and width_of(f"{line} {word}") <= limit:
            line = f"{line} {word}"
            continue
        if line:
            lines.append(line)
        *whole, line = [word] if width_of(word) <= limit else _broken(letters(word), limit, width_of, strict)
        lines += whole
    return [*lines, line]


def _broken(word: Sequence[str], limit: float, width_of: Callable[[str], float], strict: bool) -> list[str]:
    pieces: list[str] = []
    while word:
        fits = _fitting(word, limit, width_of)
        if not fits and strict:
            raise ValueError(f"the letter {word[0]!r} alone is {width_of(word[0]):g} wide, and a line {limit:g}")
        pieces.append("".join(word[: max(1, fits)]))
        word = word[max(1, fits) :]
    return pieces


def _fitting(word: Sequence[str], limit: float, width_of: Callable[[str], float]) -> int:
    """How many letters fit: found by doubling and halving, so that a word of 10,000 letters costs what its lines do."""

    def fits(count: int) -> bool:
        return width_of("".join(word[:count])) <= limit

    high = 1
    while high < len(word) and fits(high):
        high *= 2
    low, high = high // 2 if high > 1 else 0, min(high, len(word)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
