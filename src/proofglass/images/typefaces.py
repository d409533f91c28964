"""Fonts in use: opened once, asked which characters they lack, and by which engine a text is set.

Pillow's basic layout engine sets whatever it can set rightly, so that the shaping library of one machine cannot move a
glyph; Raqm sets what needs shaping (text from right to left, joined letters, marks on letters), where Pillow has it.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.images import MAX_PIXELS, MAX_SIDE
from proofglass.images.boxes import Box
from proofglass.images.fonts import face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Engine = Literal["basic", "raqm"]
MAX_SIZE = 4096  # px of a letter
# Scripts whose letters join, move or change with their neighbours: Indic to Myanmar, Khmer and Mongolian, ...
_SHAPED = ((0x0900, 0x109F), (0x1700, 0x18AF), (0x1900, 0x1CFF), (0xA800, 0xABFF), (0x11000, 0x11FFF))
_RIGHT_TO_LEFT = ("R", "AL")
_UNKNOWN = "\U0010fffd"  # private use: every font shows its sign for a missing glyph
_KEPT_PX = 2**17  # of a line that is kept, about: 512 of them take some 50 MB at most
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
    return _font_of(str(found.path), digest_of(found.path), found.index)


@lru_cache(maxsize=256)  # one object for one font: tables that are looked up by it compare no paths
def _font_of(path: str, sha256: str, index: int) -> Font:
    name = Path(path).stem + (f"#{index}" if index else "")
    return Font(Path(path), name, sha256, index)


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


@dataclass(frozen=True)
class Ink:
    """One line, drawn. mask: its coverage, Pillow's "L"; x, y: where the mask's corner lies, seen from the origin.
    right: the end of ink and advance, seen from there."""

    mask: Any
    x: int
    y: int
    right: int

    def box(self, x: int, y: int) -> Box:
        """Where the mask lies with the origin at (x, y)."""
        return Box(0, 0, self.mask.width, self.mask.height).moved(x + self.x, y + self.y)

    def is_inked_in(self, room: Box, x: int, y: int) -> bool:
        """Whether all ink lies in `room`, with the origin at (x, y)."""
        found = self.mask.getbbox()
        return found is None or (ink := Box(*found).moved(x + self.x, y + self.y)).cut(room) == ink


def ink(line: str, font: Font, size: int, engine: Engine = "basic", anchor: str = "la", direction: str = "") -> Ink:
    """`line` as Pillow draws it. Short lines are kept: the same words come again in picture after picture.

    anchor: of the origin, in Pillow's letters. direction: "ltr" or "rtl" for Raqm, "" for its own finding. Raises
    ValueError for a line that is larger than a picture may be.
    """
    kept = len(line) * size * size <= _KEPT_PX
    return (_kept_ink if kept else _ink)(line, font, size, engine, anchor, direction)


def width_of(line: str, font: Font, size: int, engine: Engine = "basic", direction: str = "") -> int:
    """How wide `line` is in px: its advance, and the ink that hangs over it on either side."""
    box = typeface(font, size, engine).getbbox(line, anchor="ls", direction=direction or None)
    return max(0, math.ceil(box[2])) - min(0, math.floor(box[0]))


def _ink(line: str, font: Font, size: int, engine: Engine, anchor: str, direction: str) -> Ink:
    from PIL import Image, ImageDraw

    face = typeface(font, size, engine)
    told: Any = {"anchor": anchor, "direction": direction or None}
    box = face.getbbox(line, **told)
    left, top, right, bottom = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    check_size(max(1, right - left), max(1, bottom - top))
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(mask).text((-left, -top), line, 255, face, **told)
    return Ink(mask, left, top, right)


_kept_ink = lru_cache(maxsize=512)(_ink)


def forget() -> None:
    """Lines that were drawn are drawn anew, and fonts opened anew."""
    _kept_ink.cache_clear()
    _opened.cache_clear()


def check_size(width: int, height: int) -> None:
    """Raises ValueError where a picture of text would be larger than any picture may be."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ValueError(
            f"text: a picture of {width} x {height} px was to be drawn; expected 1 to {MAX_SIDE} px a side and at most "
            f"{MAX_PIXELS} px; wrap the text, shorten it or lower size"
        )


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
    Raises ValueError for what no font draws (`check_characters`)."""
    if not isinstance(text, str):
        raise ValueError(f"text: expected a text, found {type(text).__name__}")
    ends = text.replace("\r\n", "\n").translate(dict.fromkeys(map(ord, "\r\u2028\u2029"), "\n"))
    folded = unicodedata.normalize("NFC", ends.expandtabs(4))
    check_characters(folded)
    return folded


def check_characters(text: str) -> None:
    """Raises ValueError for what no font draws: a control character, NUL, half of a surrogate pair."""
    if text.isascii() and text.isprintable():
        return
    for at, c in enumerate(text):
        if c != "\n" and (kind := unicodedata.category(c)) in ("Cc", "Cs"):
            what = "half of a surrogate pair" if kind == "Cs" else "a control character"
            raise ValueError(f"text: U+{ord(c):04X} at character {at} is {what} and cannot be drawn; take it out")


def drawable(text: str, font: Font) -> str:
    """`text` with a plain blank for each other kind of blank that `font` lacks.

    Raises ValueError, which names them, where the font lacks any other character: no box is ever drawn for one.
    """
    lacking = {c for c in set(text) if c not in "\n " and not _is_ignorable(c) and not _has_glyph(font, c)}
    blanks = {c for c in lacking if c.isspace()}
    if unknown := sorted(lacking - blanks):
        named, codes = "".join(unknown[:_TOLD]), " ".join(f"U+{ord(c):04X}" for c in unknown[:_TOLD])
        more = f" and {len(unknown) - _TOLD} more" if len(unknown) > _TOLD else ""
        raise ValueError(
            f"text: the font {font.name} cannot draw {named!r}{more} ({codes}); pass the path of a fuller .ttf file"
        )
    return text.translate(dict.fromkeys(map(ord, blanks), " "))


def is_visible(text: str) -> bool:
    """Whether there is anything to see: more than blanks, joiners and marks of direction."""
    return any(not c.isspace() and not _is_ignorable(c) for c in text)


def _is_ignorable(c: str) -> bool:
    """Joiners, marks of direction and variation selectors: a font that lacks them shows nothing, and should not."""
    if c.isascii():
        return False
    return unicodedata.category(c) == "Cf" or "\ufe00" <= c <= "\ufe0f" or "\U000e0100" <= c <= "\U000e01ef"


@lru_cache(maxsize=65536)
def _has_glyph(font: Font, c: str) -> bool:
    """Whether `c` is drawn otherwise than the font's sign for a missing glyph."""
    return _shape(font, c) != _shape(font, _UNKNOWN)


@lru_cache(maxsize=4096)
def _shape(font: Font, c: str) -> tuple[tuple[int, int], bytes]:
    mask = typeface(font, 32).getmask(c)
    return mask.size, bytes(mask)
