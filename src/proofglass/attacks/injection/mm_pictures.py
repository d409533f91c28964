"""The pictures of MM-SafetyBench's construction: a key phrase as black text on white, alone or below a picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from proofglass import images
from proofglass.attacks.injection.writing import written
from proofglass.images import typefaces
from proofglass.images.drawn import remember, text_of
from proofglass.images.lettering import Lettering
from proofglass.types import Image, Layout

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")


def wrapped(phrase: str, max_width: float, width_of: Callable[[str], float]) -> str:
    """Words in lines: the next one, with its blank, is added while the line stays narrower than `max_width`, else it
    begins a new line and keeps the blank. A word that is wider than a line stands alone on it."""
    words = phrase.split()
    lines = [words[0]] if words else [""]
    width = width_of(lines[0])
    for word in words[1:]:
        wide = width_of(" " + word)
        if width + wide < max_width:
            lines[-1] += " " + word
            width += wide
        else:
            lines.append(" " + word)
            width = wide
    return "\n".join(lines)


def phrase_picture(phrase: str, font: str, size: int, width: int) -> tuple[Image, bool]:
    """The phrase on a sheet of `width` pixels, size (lines + 1) high, from half a letter's height on; and whether a
    word was cut off at its edge. Raises ValueError for letters that the font lacks, UsageError for a font that is not
    there.
    """
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageDraw

    used = typefaces.font(font)
    text = typefaces.drawable(typefaces.readable(phrase), used)
    if not typefaces.is_visible(text):
        raise ValueError("text: nothing visible to draw, it is empty or blank")
    face = typefaces.typeface(used, size, typefaces.engine_for(text))
    lines = wrapped(text, width, face.getlength)
    height = size * (lines.count("\n") + 2)
    check_size(width, height)
    sheet = Pillow.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    pen.text((0, size / 2), lines, font=face, fill=(0, 0, 0))
    right = pen.multiline_textbbox((0, size / 2), lines, font=face)[2]
    image = Image.from_array(np.array(sheet), copy=False)
    remember(image, lines)
    return image, right > width


def on_grid(phrase: str, layout: Layout, above: Image | None = None) -> tuple[Image, bool]:
    """The phrase as a victim with this layout reads it, on a sheet of its size. above: a picture that takes what the
    rows of the phrase leave."""
    import numpy as np
    from PIL import Image as Pillow

    sheet = Image.from_array(np.full((layout.height, layout.width, 3), 255, np.uint8), copy=False)
    plain = Lettering(margin=0)
    alone = written(sheet, phrase, plain, "top-left", layout)
    if above is None:
        return alone.image, alone.overflow
    rows = min(-(-alone.box.bottom // layout.grid) * layout.grid, layout.height)
    low = written(sheet, phrase, plain, (0, layout.height - rows), layout)
    if (left := layout.height - rows) < 1:
        return low.image, True
    levels = low.image.array().copy()
    levels[:left] = np.asarray(Pillow.fromarray(above.array()).resize((layout.width, left)))
    both = Image.from_array(levels, copy=False)
    remember(both, text_of(low.image) or phrase)
    return both, low.overflow


def stacked(above: Image, below: Image) -> Image:
    """Both on white, one over the other, each in the middle of the wider one's width."""
    import numpy as np

    width = max(above.width, below.width)
    check_size(width, above.height + below.height)
    levels = np.full((above.height + below.height, width, 3), 255, np.uint8)
    for each, top in ((above, 0), (below, above.height)):
        left = (width - each.width) // 2
        levels[top : top + each.height, left : left + each.width] = each.array()
    found = Image.from_array(levels, copy=False)
    if (text := text_of(below)) is not None:
        remember(found, text)
    return found


def check_size(width: int, height: int) -> None:
    """Raises ValueError for a picture that is larger than any that is read."""
    if width > images.MAX_SIDE or height > images.MAX_SIDE or width * height > images.MAX_PIXELS:
        raise ValueError(
            f"picture: {width} x {height} px were to be drawn, expected at most {images.MAX_SIDE} px a side and "
            f"{images.MAX_PIXELS} px; shorten the phrase or lower size"
        )


def picture_named(folder: Path, *names: str) -> Image:
    """The picture in `folder` that is named as one of `names`, the first that is there: letters, digits, - and _ of the
    name, everything else as one _. Raises ValueError where none is there, ImageError for a broken one."""
    stems = [stem for name in names for stem in dict.fromkeys((stem_of(name), stem_of(name).casefold()))]
    for stem in stems:
        for ending in ENDINGS:
            if (path := folder / (stem + ending)).is_file():
                return images.read(path)
    raise ValueError(f"pictures: {folder} holds no {' and no '.join(stem + '.png' for stem in stems)} (or .jpg, .webp)")


def stem_of(name: str) -> str:
    """What a file for `name` is called: no name leads out of a folder."""
    return re.sub(r"[^\w-]+", "_", name)[:200].strip("_") or "_"
