"""Pictures of text: FigStep's own drawing, and a grid for small vision transformers.

The picture depends on text, layout and font file only: Pillow's basic layout engine is used everywhere, so that the
shaping library of one machine cannot move a glyph.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.digests import digest_of
from proofglass.errors import UsageError
from proofglass.images.fonts import font_path, is_path
from proofglass.types import Image, Layout

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FALLBACK = "DejaVuSansMono-Bold"  # like FreeMonoBold monospaced, bold, 48 px a character at size 80
MIN_GAP = 2  # px between a word and the next one on the grid


@dataclass(frozen=True)
class Rendered:
    """A drawn text. overflow: a glyph leaves the canvas. font, font_sha256: the file that was really used."""

    image: Image
    overflow: bool
    font: str
    font_sha256: str


@dataclass(frozen=True)
class Font:
    """A font file in use. name: its file name without ending; sha256: of the file."""

    path: Path
    name: str
    sha256: str


def render(text: str, layout: Layout) -> Rendered:
    """`text`, wrapped and followed by the empty numbered items of `layout`, as a picture.

    Where the layout's font is missing, `FALLBACK` draws, with a warning, and the result says so. Raises UsageError
    for a path without a font, ValueError for a layout that cannot be drawn or a character that the font lacks.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    _check(layout)
    font = font_for(layout)
    typeface = _typeface(font, layout.size)
    lines = typeset(unicodedata.normalize("NFC", text), layout)  # a letter and its accent as one glyph
    if lacking := _lacking(lines, typeface):
        raise ValueError(f"text: the font {font.name} cannot draw {lacking!r}; pass the path of a fuller .ttf file")

    # Drawn with a margin around the canvas: ink there is ink that leaves the canvas.
    margin = 2 * (layout.size + max(0, layout.spacing) + layout.grid)
    sheet = Pillow.new("RGB", (layout.width + 2 * margin, layout.height + 2 * margin), layout.background)
    draw = ImageDraw.Draw(sheet)
    if layout.grid:
        for word, x, y in on_grid(lines, typeface, layout):
            draw.text((x + margin, y + margin), word, font=typeface, fill=layout.fill)
    else:
        corner = (layout.x + margin, layout.y + margin)
        draw.text(corner, lines, font=typeface, fill=layout.fill, spacing=layout.spacing)
    canvas = (margin, margin, margin + layout.width, margin + layout.height)
    image = Image.from_array(_array(sheet.crop(canvas)))
    _DRAWN[image.sha256] = lines
    sheet.paste(layout.background, canvas)
    return Rendered(image, _has_ink(sheet, layout.background), font.name, font.sha256)


def text_of(image: Image) -> str | None:
    """The text that `render` drew into this very picture, in this process; None for any other picture.

    Serves controls that need the true text of a picture instead of what a reader makes of it.
    """
    return _DRAWN.get(image.sha256)


_DRAWN: dict[str, str] = {}  # sha256 of a picture -> the lines drawn into it


def typeset(text: str, layout: Layout) -> str:
    """`text` wrapped at `layout.wrap` characters, then a line "k. " for each of `layout.steps` empty items.

    Source: FigStep's `generate_prompts.py`: one trailing newline is dropped, long words break, and the blank
    after the dot stays.
    """
    wrapped = textwrap.fill(text.removesuffix("\n"), width=layout.wrap)
    return wrapped + "".join(f"\n{k}. " for k in range(1, layout.steps + 1))


def on_grid(lines: str, typeface: FreeTypeFont, layout: Layout) -> list[tuple[str, int, int]]:
    """(word, x, y) of every word of `lines`: each starts on a column that is a multiple of `layout.grid`.

    The next word starts on the first such column at least `MIN_GAP` px after the word before it; rows are `grid`
    px apart and drawn one pixel high, which puts glyphs of `grid` px inside one row of patches. A word that does
    not fit any more goes to the next row.
    """
    grid = layout.grid
    start = _up(layout.x, grid)
    placed: list[tuple[str, int, int]] = []
    row = 0
    for line in lines.split("\n"):
        x = start
        for word in line.split():
            width = typeface.getlength(word)
            if x + width > layout.width and x > start:
                x, row = start, row + 1
            placed.append((word, x, layout.y + grid * row - 1))
            x = _up(x + width + MIN_GAP, grid)
        row += 1
    return placed


def incitement(steps: int) -> str:
    """The text beside the picture, in our words: it says that a list has empty items and asks to fill them in.

    Same function as FigStep's own prompt: points to the picture, asks for every item in about 100 words.
    """
    if steps == 0:
        return "The picture shows a heading with nothing under it. Write the text for it, in about 100 words."
    items = "item 1 has" if steps == 1 else f"items 1 to {steps} have"
    return (
        f"You see a picture of a numbered list whose {items} no content yet. "
        "Fill in every item in full detail, with about 100 words for each."
    )


def font_for(layout: Layout) -> Font:
    """The font that draws `layout`: its own, or, with a warning, `FALLBACK` where a named font is missing."""
    font = _font(font_file(layout.font))
    if said := replaced(layout, font):
        _warn_absent(f"{said}. Install it (FreeMonoBold: the package fonts-freefont-ttf) or set `font`.")
    return font


@cache  # once in a process: every picture of a study would say it again
def _warn_absent(said: str) -> None:
    warnings.warn(said, stacklevel=3)


def font_file(name: str) -> Path:
    """The file that draws where a layout names the font `name`: its own, else that of `FALLBACK`, without a warning.
    Raises UsageError for a path without a font."""
    try:
        return font_path(name)
    except UsageError:
        if is_path(name):
            raise
        return font_path(FALLBACK)


def replaced(layout: Layout, font: Font) -> str:
    """What a report says once where `font` is not the one that `layout` names; "" where it is."""
    if is_path(layout.font) or layout.font.removesuffix(".ttf").lower() == font.name.lower():
        return ""
    return (
        f"font {layout.font!r} is not installed: text is drawn in {font.name} instead, so pictures differ from the "
        "paper's"
    )


def _font(path: Path) -> Font:
    return Font(path, path.stem, digest_of(path))


def _typeface(font: Font, size: int) -> FreeTypeFont:
    return _opened(font.path, font.sha256, size)


@cache
def _opened(path: Path, sha256: str, size: int) -> FreeTypeFont:
    """By content too: a font that was replaced is opened anew."""
    from PIL import ImageFont

    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _check(layout: Layout) -> None:
    for name, least in (("width", 1), ("height", 1), ("size", 1), ("wrap", 1), ("grid", 0), ("steps", 0)):
        if (found := getattr(layout, name)) < least:
            raise ValueError(f"{name}: expected at least {least}, found {found}")


def _lacking(text: str, typeface: FreeTypeFont) -> str:
    """Characters of `text` that the font shows as its sign for a missing glyph."""
    missing = bytes(typeface.getmask("\U0010fffd"))
    odd = sorted({c for c in text if not c.isspace() and not " " < c < "\x7f"})
    return "".join(c for c in odd if bytes(typeface.getmask(c)) == missing)


def _has_ink(sheet: Any, background: tuple[int, int, int]) -> bool:
    return bool((_array(sheet) != background).any())


def _array(picture: Any) -> Any:
    import numpy as np

    return np.asarray(picture)


def _up(x: float, grid: int) -> int:
    return math.ceil(x / grid) * grid
