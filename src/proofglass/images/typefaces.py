"""Fonts in use: opened once, asked which characters they lack, and by which engine a text is set.

Pillow's basic layout engine sets whatever it can set rightly, so that the shaping library of one machine cannot move a
glyph; Raqm sets what needs shaping (text from right to left, joined letters, marks on letters), where Pillow has it.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.images.fonts import face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Engine = Literal["basic", "raqm"]
MAX_SIZE = 4096  # px of a letter
# Scripts whose letters join, move or change with their neighbours: Indic to Myanmar, Khmer and Mongolian, ...
_SHAPED = ((0x0900, 0x109F), (0x1700, 0x18AF), (0x1900, 0x1CFF), (0xA800, 0xABFF), (0x11000, 0x11FFF))
_RIGHT_TO_LEFT = ("R", "AL")
_UNKNOWN = "\U0010fffd"  # private use: every font shows its sign for a missing glyph
_TOLD = 20  # characters that an error names


@dataclass(frozen=True)
class Font:
    """A font file in use. name: its file name without ending; sha256: of the file; index: which face of it."""

    path: Path
    name: str
    sha256: str
    index: int = 0


def font(name: str) -> Font:
    """The font `name` (`fonts.face`). Raises UsageError where there is none."""
    found = face(name)
    label = found.path.stem + (f"#{found.index}" if found.index else "")
    return Font(found.path, label, digest_of(found.path), found.index)


def typeface(font: Font, size: int, engine: Engine = "basic") -> FreeTypeFont:
    """`font` at `size` px, opened once in a process. Raises UsageError for a file that is no font or cannot be drawn at
    this size, ValueError for a size out of range."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size: expected 1 to {MAX_SIZE} px, found {size}")
    return _opened(font.path, font.sha256, font.index, size, engine)


@lru_cache(maxsize=256)
def _opened(path: Path, sha256: str, index: int, size: int, engine: Engine) -> FreeTypeFont:
    """By content too: a font that was replaced is opened anew."""
    from PIL import ImageFont

    layout = ImageFont.Layout.RAQM if engine == "raqm" else ImageFont.Layout.BASIC
    try:
        return ImageFont.truetype(str(path), size, index=index, layout_engine=layout)
    except OSError as error:
        which = f" (face {index})" if index else ""
        raise UsageError(
            f"font {path}{which}: cannot be used at {size} px: {error}. Expected a .ttf or .otf"
        ) from error


def engine_for(text: str) -> Engine:
    """Which engine sets `text` rightly. Raises ValueError where that is Raqm and this Pillow has none."""
    if not (why := needs_shaping(text)):
        return "basic"
    if not has_raqm():
        raise ValueError(
            f"text: {why!r} (U+{ord(why):04X}) needs shaping, and this Pillow comes without Raqm "
            "(PIL.features.check('raqm')); install a Pillow wheel from PyPI, or libraqm and libfribidi"
        )
    return "raqm"


@cache
def has_raqm() -> bool:
    """Whether this Pillow can shape: its Raqm also needs FriBiDi to be there."""
    from PIL import features

    return bool(features.check("raqm")) and bool(features.check("fribidi"))


def needs_shaping(text: str) -> str:
    """The first character of `text` that the basic engine would set wrongly; "" for none: Latin, Greek, Cyrillic and
    CJK letters stand one beside the other."""
    return "" if text.isascii() else next((c for c in text if _is_shaped(c)), "")


def _is_shaped(c: str) -> bool:
    code = ord(c)
    return (
        unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf")
        or unicodedata.bidirectional(c) in (*_RIGHT_TO_LEFT, "AN")
        or any(low <= code <= high for low, high in _SHAPED)
    )


def runs_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction says so (rules P2 and P3 of the Unicode bidirectional algorithm)."""
    strong = (d for d in map(unicodedata.bidirectional, text) if d in ("L", *_RIGHT_TO_LEFT))
    return next(strong, "L") != "L"


def readable(text: str) -> str:
    """`text` in the form that is drawn: a letter and its accent as one (NFC), one kind of line end, tabs as blanks.

    Raises ValueError for what no font draws: a control character, NUL, half of a surrogate pair.
    """
    folded = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4))
    if folded.isascii() and folded.isprintable():
        return folded
    for at, c in enumerate(folded):
        if c != "\n" and unicodedata.category(c) in ("Cc", "Cs"):
            what = "half of a surrogate pair" if unicodedata.category(c) == "Cs" else "a control character"
            raise ValueError(f"text: U+{ord(c):04X} at character {at} is {what} and cannot be drawn; take it out")
    return folded


def check_glyphs(text: str, font: Font, typeface: FreeTypeFont) -> None:
    """Raises ValueError, which names them, where `font` lacks characters of `text`: no box is ever drawn for one."""
    odd = sorted({c for c in text if not " " <= c < "\x7f" and not c.isspace() and unicodedata.category(c) != "Cf"})
    lacking = [c for c in odd if not _has_glyph(font, c)]
    if lacking:
        named = "".join(lacking[:_TOLD])
        more = f" and {len(lacking) - _TOLD} more" if len(lacking) > _TOLD else ""
        codes = " ".join(f"U+{ord(c):04X}" for c in lacking[:_TOLD])
        raise ValueError(
            f"text: the font {font.name} cannot draw {named!r}{more} ({codes}); pass the path of a fuller .ttf file"
        )


@lru_cache(maxsize=65536)
def _has_glyph(font: Font, c: str) -> bool:
    """Whether `c` is drawn otherwise than the font's sign for a missing glyph: where that sign is blank, otherwise than
    with nothing."""
    drawn = _shape(font, c)
    return drawn != _shape(font, _UNKNOWN)


@lru_cache(maxsize=4096)
def _shape(font: Font, c: str) -> tuple[tuple[int, int], bytes]:
    mask = typeface(font, 32).getmask(c)
    return mask.size, bytes(mask)
