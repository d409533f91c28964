"""Text in pictures: on a sheet of its own, or on a photo, of which nothing outside the text changes.

`Lettering` says how, `lettered` and `placed` draw. Which font file and which engine drew, and whether ink was lost, are
part of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from annotated_types import Interval

from proofglass.images.boxes import NOWHERE, Box
from proofglass.images.drawn import plain, remember
from proofglass.images.typefaces import (
    MAX_SIZE,
    Engine,
    Font,
    Ink,
    check_size,
    drawable,
    engine_for,
    font,
    ink,
    is_visible,
    readable,
    runs_right_to_left,
    typeface,
    width_of,
)
from proofglass.images.wrapping import letters, wrapped
from proofglass.interfaces.fields import Count, Share, Steps, take_fields
from proofglass.types import Image

if TYPE_CHECKING:
    import numpy as np
    from PIL.ImageFont import FreeTypeFont

__all__ = ["NOWHERE", "WHITE", "Anchor", "Box", "Colour", "Drawn", "Lettering", "lettered", "placed"]

Byte = Annotated[int, Interval(ge=0, le=255)]
Colour = tuple[Byte, Byte, Byte]
Anchor = Literal[
    "top", "bottom", "left", "right", "center", "top-left", "top-right", "bottom-left", "bottom-right"
]  # fmt: skip
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Lettering:
    """How a text is drawn.

    font: a bundled font, a font file's name, a family or full name that fontconfig knows, or a path
    (`fonts.face`). size: of the letters, in pixels. fill: RGB of the letters. background: RGB of the sheet, or, on a
    photo with `box`, of the box; None: white. opacity: 1 draws `fill`, 0 nothing; 0.03 is hardly seen. wrap:
    characters a line, None: no limit. wrap_px: pixels a line, None: no limit. margin: pixels around the text, on a
    sheet, in a box and to the edge of a photo. spacing: pixels between two lines. align: of the lines; "start" is the
    side where the text begins. items: empty numbered items under the text. rotation: degrees against the clock. box:
    on a photo, the text stands on a plain rectangle.
    """

    font: str = "DejaVuSans"
    size: Annotated[int, Interval(ge=1, le=MAX_SIZE)] = 32
    fill: Colour = (0, 0, 0)
    background: Colour | None = WHITE
    opacity: Share = 1.0
    wrap: Count | None = None
    wrap_px: Count | None = None
    margin: Steps = 8
    spacing: Annotated[int, Interval(ge=-MAX_SIZE, le=MAX_SIZE)] = 4
    align: Literal["start", "left", "center", "right"] = "start"
    items: Annotated[int, Interval(ge=0, le=1000)] = 0
    rotation: Annotated[float, Interval(ge=-360, le=360)] = 0.0
    box: bool = False

    def __post_init__(self) -> None:
        take_fields(self)
        if self.wrap is not None and self.wrap_px is not None:
            raise ValueError("wrap_px: give either wrap (characters) or wrap_px (pixels), not both")


@dataclass(frozen=True)
class Drawn:
    """A text in a picture.

    image: the picture. box: what the text (with its rectangle, if it has one) may have changed; nothing outside did.
    overflow: ink was lost at an edge. font, font_sha256: the file that was really used. engine: "basic" or "raqm".
    lines: as they were broken.
    """

    image: Image
    box: Box
    overflow: bool
    font: str
    font_sha256: str
    engine: Engine
    lines: tuple[str, ...]


def lettered(text: str, lettering: Lettering, size: tuple[int, int] | None = None) -> Drawn:
    """`text` on a sheet of its own: as large as it needs, or of `size` (width, height), where it may overflow.

    Raises ValueError, "text: ...", for a text that cannot be drawn (nothing visible, a control character, letters that
    the font lacks, too large), UsageError for a font that is not there.
    """
    block = _block(text, lettering, lettering.wrap_px, strict=True)
    margin = lettering.margin
    width, height = size or (block.mask.width + 2 * margin, block.mask.height + 2 * margin)
    check_size(width, height)
    room = width - 2 * margin - block.mask.width
    left = margin + {"left": 0, "center": room // 2, "right": room}[block.side]
    sheet = plain(width, height, lettering.background or WHITE)
    return _onto(sheet, block, (left, margin), lettering, Box(0, 0, width, height))


def placed(photo: Image, text: str, lettering: Lettering, at: Anchor | tuple[int, int] | Box = "bottom") -> Drawn:
    """`text` on `photo`: at an edge, corner or the center, with its upper left corner at (x, y), or inside a `Box`.

    At an anchor and in a box, lines without a limit are wrapped at what is there. Overflow: ink left the photo, or the
    box. Pixels outside the result's box are those of the photo. Raises as `lettered` does.
    """
    whole = Box(0, 0, photo.width, photo.height)
    region, margin, point = _region(at, whole), lettering.margin, _point(at)
    limit = lettering.wrap_px
    if point is None and limit is None and lettering.wrap is None:
        limit = max(1, region.right - region.left - 2 * margin)
    block = _block(text, lettering, limit, strict=lettering.wrap_px is not None)
    corner = point or _corner(at, region, block.mask.size, margin)
    return _onto(photo.array().copy(), block, corner, lettering, region, boxed=lettering.box)


# ---- where ----


def _point(at: Any) -> tuple[int, int] | None:
    return (int(at[0]), int(at[1])) if isinstance(at, tuple) and len(at) == 2 else None


def _region(at: Any, whole: Box) -> Box:
    if isinstance(at, tuple) and len(at) == 4:
        box = Box(*at)
        if not (0 <= box.left < box.right <= whole.right and 0 <= box.top < box.bottom <= whole.bottom):
            raise ValueError(f"at: expected a box inside the photo of {whole.right} x {whole.bottom} px, found {at}")
        return box
    if _point(at) is None and at not in get_args(Anchor):
        raise ValueError(f"at: expected (x, y), a Box or one of {', '.join(get_args(Anchor))}; found {at!r}")
    return whole


def _corner(at: Any, region: Box, size: tuple[int, int], margin: int) -> tuple[int, int]:
    """Upper left corner of a text of `size`: the words of an anchor say which edges it keeps to; a box is filled from
    its middle."""
    words = at.split("-") if isinstance(at, str) else []
    x = _along(region.left, region.right, size[0], margin, "left" in words, "right" in words)
    y = _along(region.top, region.bottom, size[1], margin, "top" in words, "bottom" in words)
    return x, y


def _along(low: int, high: int, length: int, margin: int, begins: bool, ends: bool) -> int:
    if begins:
        return low + margin
    return high - margin - length if ends else low + (high - low - length) // 2


# ---- ink ----


@dataclass(frozen=True)
class _Block:
    """Set lines. mask: coverage, Pillow's "L". side: where lines are aligned."""

    mask: Any
    lines: tuple[str, ...]
    font: Font
    engine: Engine
    side: str


def _block(text: str, lettering: Lettering, limit: int | None, strict: bool) -> _Block:
    used = font(lettering.font)
    text = readable(text)
    if not is_visible(text) and not lettering.items:
        raise ValueError("text: nothing visible to draw, it is empty or blank")
    engine = engine_for(text)
    text = drawable(text, used)
    from_right = runs_right_to_left(text)
    direction = ("rtl" if from_right else "ltr") if engine == "raqm" else ""  # of all lines, one that begins "123" too

    measure = partial(width_of, font=used, size=lettering.size, engine=engine, direction=direction)
    lines = _lines(text, lettering, limit, measure, strict)
    lines += [f"{k}." for k in range(1, lettering.items + 1)]
    inks = [ink(line, used, lettering.size, engine, "ls", direction) for line in lines]
    side = lettering.align if lettering.align != "start" else "right" if from_right else "left"
    mask = _mask(inks, typeface(used, lettering.size, engine), lettering.spacing, side)
    if lettering.rotation % 360:
        mask = _rotated(mask, lettering.rotation)
    return _Block(mask, tuple(lines), used, engine, side)


def _lines(
    text: str, lettering: Lettering, limit: int | None, measure: Callable[[str], float], strict: bool
) -> list[str]:
    if lettering.wrap is not None:
        return wrapped(text, lettering.wrap, lambda line: len(letters(line)))
    if limit is None:
        return text.split("\n")
    try:
        return wrapped(text, limit, measure, strict=strict)
    except ValueError as error:
        raise ValueError(f"wrap_px: {error} px; raise it or lower size") from error


def _mask(inks: Sequence[Ink], face: FreeTypeFont, spacing: int, side: str) -> Any:
    """The coverage of all lines: letters that hang over the edge of their line are inside it."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    ascent, descent = face.getmetrics()
    pitch = max(1, ascent + descent + spacing)
    overhangs = [min(0, ink.x) for ink in inks]  # a line begins where its ink does: none is wider than it measures
    widths = [max(0, ink.right) - overhang for ink, overhang in zip(inks, overhangs, strict=True)]
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[side]
    corners = [
        (int(share * (max(widths) - width)) + ink.x - overhang, ascent + k * pitch + ink.y)
        for k, (ink, overhang, width) in enumerate(zip(inks, overhangs, widths, strict=True))
    ]
    top = min(0, *(y for _, y in corners))
    right = max(max(widths), *(x + ink.mask.width for (x, _), ink in zip(corners, inks, strict=True)))
    bottom = max(y + ink.mask.height for (_, y), ink in zip(corners, inks, strict=True))
    bottom = max(bottom, ascent + descent + (len(inks) - 1) * pitch)
    check_size(right, bottom - top)
    mask = Pillow.new("L", (right, bottom - top))
    draw = ImageDraw.Draw(mask)
    for one, (x, y) in zip(inks, corners, strict=True):
        draw.bitmap((x, y - top), one.mask, 255)
    return mask


def _rotated(mask: Any, degrees: float) -> Any:
    from PIL import Image as Pillow

    reach = math.ceil(math.hypot(*mask.size))
    check_size(reach, reach)
    return mask.rotate(degrees, Pillow.Resampling.BICUBIC, expand=True)


def _onto(
    pixels: np.ndarray,
    block: _Block,
    corner: tuple[int, int],
    lettering: Lettering,
    region: Box,
    *,
    boxed: bool = False,
) -> Drawn:
    """`block` on `pixels`, which are written into, with its upper left corner at `corner`. boxed: a plain rectangle
    stands behind it."""
    x, y = corner
    ink = block.mask.getbbox()
    there = Box(*ink).moved(x, y) if ink else NOWHERE
    inside = changed = there.cut(region)
    if boxed:
        changed = Box(0, 0, *block.mask.size).moved(x, y).grown(lettering.margin).cut(region)
        pixels[changed.slices] = lettering.background or WHITE
    if inside != NOWHERE:
        part = block.mask.crop(inside.moved(-x, -y))
        pixels[inside.slices] = _painted(pixels[inside.slices], part, lettering)
    image = Image.from_array(pixels, copy=False)
    remember(image, "\n".join(block.lines))
    return Drawn(image, changed, inside != there, block.font.name, block.font.sha256, block.engine, block.lines)


def _painted(ground: np.ndarray, mask: Any, lettering: Lettering) -> np.ndarray:
    import numpy as np
    from PIL import Image as Pillow

    if lettering.opacity < 1:
        mask = mask.point([round(level * lettering.opacity) for level in range(256)])
    under = Pillow.fromarray(np.ascontiguousarray(ground))
    under.paste(lettering.fill, (0, 0), mask)
    return np.asarray(under)
