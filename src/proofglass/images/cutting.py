"""A phrase cut into pieces, and its picture cut at the same places: what FigStep-Pro shows."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Literal

from proofglass.images import typefaces
from proofglass.images.drawn import remember
from proofglass.images.typography import Rendered, font_for, render
from proofglass.images.wrapping import letters
from proofglass.types import Image, Layout

TAIL = 20  # px of background behind the last letter


def pieces(phrase: str, parts: int | Literal["halves", "words"], most: int | None = None) -> list[str]:
    """`phrase` in pieces, in order; at least two.

    parts: "halves" cuts every word of two letters or more in its middle, the shorter half first, so that every word
    stands on two pictures (n words make n + 1 pieces); a number cuts into so many, whose lengths differ by one letter
    at most, the longer ones first; "words" cuts between words. most: neighbours are joined until there are no more.
    Joined, "halves" and numbers give the phrase back, "words" with a blank between them. Raises ValueError for a
    phrase that cannot be cut so.
    """
    units = letters(unicodedata.normalize("NFC", " ".join(phrase.split())))
    if parts == "words":
        found = "".join(units).split(" ")
    elif parts == "halves":
        found = _joined(units, [0, *_middles(units), len(units)])
    else:
        if len(units) < parts:
            raise ValueError(f"parts: {''.join(units)!r} has {len(units)} letters, fewer than {parts} parts")
        found = _joined(units, [0, *accumulate(_even(len(units), parts))])
    if most is not None and len(found) > most:
        glue = " " if parts == "words" else ""
        found = [glue.join(group) for group in _grouped(found, most)]
    if blank := [k for k, piece in enumerate(found, start=1) if not piece.strip()]:
        raise ValueError(f"parts: piece {blank[0]} of {''.join(units)!r} would be blank; take fewer parts")
    if len(found) < 2:
        raise ValueError(f"parts: {''.join(units)!r} cannot be cut into two pieces by the rule {parts!r}")
    return found


def cut(parts: Sequence[str], layout: Layout) -> list[Rendered]:
    """The picture of all `parts` on one line, cut between them: side by side the pictures are the uncut one.

    Each is as wide as its letters' advance, the last one with `TAIL` px behind it; height, font, size, x, y and colours
    are those of `layout`. Raises ValueError for text whose letters are no row of separate signs (it needs shaping).
    """
    phrase = "".join(parts)
    if why := typefaces.needs_shaping(phrase):
        raise ValueError(
            f"text: {why!r} joins or turns with its neighbours, and such a line is not cut; draw each part"
        )
    face = typefaces.typeface(font_for(layout), layout.size)
    ends = [layout.x + math.ceil(face.getlength(done)) for done in accumulate(parts)]
    typefaces.check_size(max(1, ends[-1] + TAIL), layout.height)
    whole = render(
        phrase, replace(layout, width=max(1, ends[-1] + TAIL), wrap=max(1, len(phrase)), steps=0, grid=0, spacing=0)
    )
    pixels = whole.image.array()
    found = []
    for (left, right), part in zip(pairwise([0, *ends[:-1], whole.image.width]), parts, strict=True):
        if not 0 <= left < right:
            raise ValueError(f"x: the piece {part!r} would begin outside the picture; raise x, found {layout.x}")
        image = Image.from_array(pixels[:, left:right])
        remember(image, part)
        found.append(replace(whole, image=image))
    return found


def _middles(units: Sequence[str]) -> list[int]:
    """Where words are cut: after half their letters, rounded down."""
    starts = [k for k, unit in enumerate(units) if unit != " " and (k == 0 or units[k - 1] == " ")]
    ends = [k + 1 for k, unit in enumerate(units) if unit != " " and (k + 1 == len(units) or units[k + 1] == " ")]
    return [start + (end - start) // 2 for start, end in zip(starts, ends, strict=True) if end - start > 1]


def _even(count: int, parts: int) -> list[int]:
    """`parts` sizes that sum to `count` and differ by one at most, the larger ones first."""
    return [count // parts + (k < count % parts) for k in range(parts)]


def _joined(units: Sequence[str], places: Sequence[int]) -> list[str]:
    return ["".join(units[low:high]) for low, high in pairwise(places)]


def _grouped(found: Sequence[str], most: int) -> list[Sequence[str]]:
    return [found[low:high] for low, high in pairwise([0, *accumulate(_even(len(found), most))])]
