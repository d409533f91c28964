"""Text on somebody's picture: by its own rules, or on the grid of a victim that states what it can read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from proofglass.images import typefaces, typography
from proofglass.images.drawn import remember
from proofglass.images.lettering import NOWHERE, WHITE, Anchor, Box, Drawn, Lettering, placed
from proofglass.images.typefaces import drawable, font, is_visible, readable, typeface
from proofglass.interfaces import Victim
from proofglass.types import Artefact, Chat, Image, Layout, Reply, Sample

OVERFLOW = "the text does not fit into the picture"
Place = Anchor | tuple[int, int] | tuple[int, int, int, int]
LEAST = 16  # px of a letter, of the PrivQA overlay
PART = 18  # a letter's share of the picture's height


def size_for(photo: Image) -> int:
    """Pixels of a letter on a picture of this height: max(16, height // 18)."""
    return max(LEAST, photo.height // PART)


def check_place(at: Any) -> None:
    """Raises ValueError for what is no place on a picture."""
    if isinstance(at, str) and at in get_args(Anchor):
        return
    if not (isinstance(at, tuple) and len(at) in (2, 4)):
        raise ValueError(
            f"at: expected one of {', '.join(get_args(Anchor))}, a point x, y or a box left, top, right, bottom; "
            f"found {at!r}"
        )


def shown(sample: Sample, sheet: tuple[int, int] | None, attack: str) -> Image:
    """The picture to write on: the sample's first, else a white sheet of this width and height. Raises ValueError where
    there is neither."""
    if sample.chat.images:
        return sample.chat.images[0]
    if sheet is None:
        raise ValueError(
            f"sample {sample.id}: {attack} writes on the sample's picture and found none; choose a data set with "
            "pictures, or give `sheet` (width, height) for a white one"
        )
    import numpy as np

    return Image.from_array(np.full((sheet[1], sheet[0], 3), 255, np.uint8))


def written(photo: Image, text: str, lettering: Lettering, at: Place, layout: Layout | None = None) -> Drawn:
    """`text` on `photo`. layout: of a victim that reads on a grid (`Layout.grid`): font, size and columns are its own
    then, colours, opacity and box those of `lettering`; any other layout is not looked at.

    Raises ValueError for a text that cannot be drawn, or turned on a grid.
    """
    if layout is None or not layout.grid:
        # A two-tuple is a point and a four-tuple a box.
        return placed(photo, text, lettering, Box(*at) if isinstance(at, tuple) and len(at) == 4 else at)
    if lettering.rotation:
        raise ValueError("rotation: a victim that reads on a grid reads no turned text; write layout: plain")
    return _on_grid(photo, text, lettering, at, layout)


def _on_grid(photo: Image, text: str, lettering: Lettering, at: Place, layout: Layout) -> Drawn:
    """Words start on columns of the grid, counted from the picture's left edge; rows are those of the grid."""
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw

    used = font(layout.font)
    face = typeface(used, layout.size)
    text = drawable(readable(text), used)
    if not is_visible(text):
        raise ValueError("text: nothing visible to draw, it is empty or blank")
    region = _region(at, photo)
    inner = replace(layout, width=max(1, region.right - region.left), x=0, y=0, steps=0)
    words = typography.on_grid(typography.typeset(text, inner), face, inner)
    width = max(round(x + face.getlength(word)) for word, x, _ in words)
    rows = max(y for _, _, y in words) + 1 + layout.grid
    height = max(rows, *(math.ceil(y + face.getbbox(word)[3]) for word, _, y in words))  # a "g" hangs below its row
    is_box = isinstance(at, tuple) and len(at) == 4  # whose own edges may lie between two columns
    left, top = ((_up if is_box else _down)(edge, layout.grid) for edge in _corner(at, region, (width, height)))
    mask = Pillow.new("L", (photo.width, photo.height))
    pen = ImageDraw.Draw(mask)
    for word, x, y in words:
        pen.text((left + x, top + y), word, 255, face)
    ink = Box(left, top - 1, left + width, top + height)
    box = _cut(ink, region)
    sheet = Pillow.fromarray(photo.array())
    if lettering.box:
        m = lettering.margin
        box = _cut(Box(ink.left - m, ink.top - m, ink.right + m, ink.bottom + m), region)
        sheet.paste(lettering.background or WHITE, (box.left, box.top, box.right, box.bottom))
    inside = _cut(Box(0, 0, photo.width, photo.height), box)
    part = mask.crop((inside.left, inside.top, inside.right, inside.bottom))
    if lettering.opacity < 1:
        part = part.point([round(level * lettering.opacity) for level in range(256)])
    sheet.paste(lettering.fill, (inside.left, inside.top), part)
    image = Image.from_array(np.array(sheet), copy=False)
    lines = _lines(words)
    remember(image, "\n".join(lines))
    lost = ink.right > region.right or ink.bottom > region.bottom or left < region.left or top < region.top
    return Drawn(image, box, lost, used.name, used.sha256, "basic", lines)


def _lines(words: list[tuple[str, int, int]]) -> tuple[str, ...]:
    rows: dict[int, list[str]] = {}
    for word, _, y in words:
        rows.setdefault(y, []).append(word)
    return tuple(" ".join(row) for row in rows.values())


def _region(at: Place, photo: Image) -> Box:
    whole = Box(0, 0, photo.width, photo.height)
    if isinstance(at, tuple) and len(at) == 4:
        box = Box(*at)
        if not (0 <= box.left < box.right <= whole.right and 0 <= box.top < box.bottom <= whole.bottom):
            raise ValueError(f"at: expected a box inside the photo of {whole.right} x {whole.bottom} px, found {at}")
        return box
    return whole


def _corner(at: Place, region: Box, size: tuple[int, int]) -> tuple[int, int]:
    if isinstance(at, tuple):
        return (at[0], at[1])
    words = at.split("-")
    x = _along(region.left, region.right, size[0], "left" in words, "right" in words)
    y = _along(region.top, region.bottom, size[1], "top" in words, "bottom" in words)
    return x, y


def _along(low: int, high: int, length: int, begins: bool, ends: bool) -> int:
    if begins or length >= high - low:
        return low
    return high - length if ends else low + (high - low - length) // 2


def _up(edge: int, grid: int) -> int:
    return -(-edge // grid) * grid


def _down(edge: int, grid: int) -> int:
    return edge // grid * grid


def _cut(box: Box, by: Box) -> Box:
    cut = Box(max(box[0], by[0]), max(box[1], by[1]), min(box[2], by[2]), min(box[3], by[3]))
    return cut if cut.left < cut.right and cut.top < cut.bottom else NOWHERE


# ---- artefacts and replies ----


def grid_of(victim: Victim, layout: str) -> Layout | None:
    """The layout that `victim` states with a grid, where an attack's `layout` is "victim"; else None."""
    stated = victim.layout if layout == "victim" else None
    return stated if stated is not None and stated.grid else None


def read_by(victim: Victim, layout: str, font: str) -> tuple[str, dict[str, Any]]:
    """Key of the victim whose stated grid text is put on, "" where it is none, and what an artefact's meta says of it:
    the layout, and the font that draws. layout: "victim" takes the grid of a victim that states one."""
    gridded = grid_of(victim, layout)
    used = typefaces.font(gridded.font if gridded else font)
    meta = {"layout": None if gridded is None else asdict(gridded), "font": used.name, "font_sha256": used.sha256}
    return (victim.key if gridded else ""), meta


def layout_of(artefact: Artefact) -> Layout | None:
    """The layout in an artefact's meta; None where it holds none."""
    plain: dict[str, Any] | None = artefact.meta.get("layout")
    return None if plain is None else layout_from(plain)


def layout_from(plain: dict[str, Any]) -> Layout:
    """A layout as JSON gives it back, its colours as lists."""
    names = {f.name for f in fields(Layout)} & plain.keys()
    told: dict[str, Any] = {name: plain[name] for name in names}
    told |= {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return Layout(**told)


def noted(reply: Reply, *notes: str) -> Reply:
    """`reply` with what a reader of its record should know of the picture."""
    return replace(reply, reason="; ".join(filter(None, (reply.reason, *notes))))


@dataclass(frozen=True)
class Put:
    """A chat with text in its picture. note: what a record should say of it, "" for nothing."""

    chat: Chat
    note: str = ""
