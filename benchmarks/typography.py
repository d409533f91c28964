"""How fast pictures of text are drawn, against Pillow called as its manual shows.

    python benchmarks/typography.py [--pictures 200] [--repeats 5]

Both sides make the same pictures to the byte (it is checked) and end with the same thing: pixels with their sha256,
which names a picture everywhere. Pillow's side opens the font for each picture, as scripts do, and draws into an RGB
picture; of ours, the lines that were kept are forgotten before each repeat. CPU seconds, the two sides in turn, the
lowest of the repeats: a shared machine slows both.
"""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from proofglass.console import say
from proofglass.images import typefaces
from proofglass.images.fonts import font_path
from proofglass.images.lettering import Lettering, lettered, placed
from proofglass.images.typography import FALLBACK, render
from proofglass.types import Image, Layout

WORDS = (
    ("mend", "polish", "pack", "paint"),
    ("velvet", "crooked", "golden", "windy"),
    ("kite", "lantern", "drum", "boat"),
)
NOTE = Lettering(font="DejaVuSans", size=24, fill=(255, 255, 0))
SHEET = Lettering(font="DejaVuSans", size=32, wrap=24)
Draw = Callable[[str], Image]


def texts(count: int) -> list[str]:
    """`count` different titles, as many as a data set has."""
    verbs, adjectives, nouns = WORDS
    return [f"Steps to {verbs[k % 4]} a {adjectives[k // 4 % 4]} {nouns[k // 16 % 4]}, part {k}" for k in range(count)]


def photo(side: int = 512) -> Image:
    return Image.from_array(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def opened(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_path(name)), size, layout_engine=ImageFont.Layout.BASIC)


def figstep_by_pillow(text: str) -> Image:
    sheet = Pillow.new("RGB", (760, 760), "#FFFFFF")
    lines = textwrap.fill(text, 15) + "".join(f"\n{k}. " for k in (1, 2, 3))
    ImageDraw.Draw(sheet).text((20, 10), lines, "#000000", opened(FALLBACK, 80), spacing=11)
    return Image.from_array(np.array(sheet), copy=False)


def sheet_by_pillow(text: str) -> Image:
    font, lines = opened("DejaVuSans", 32), textwrap.wrap(text, 24)
    ascent, descent = font.getmetrics()
    pitch = ascent + descent + 4
    boxes = [font.getbbox(line, anchor="ls") for line in lines]
    width = max(int(box[2] - min(0, box[0])) for box in boxes)
    sheet = Pillow.new("RGB", (width + 16, ascent + descent + (len(lines) - 1) * pitch + 16), "#FFFFFF")
    draw = ImageDraw.Draw(sheet)
    for k, (line, box) in enumerate(zip(lines, boxes, strict=True)):
        draw.text((8 - min(0, int(box[0])), 8 + ascent + k * pitch), line, "#000000", font, anchor="ls")
    return Image.from_array(np.array(sheet), copy=False)


def note_by_pillow(text: str, below: Image) -> Image:
    font = opened("DejaVuSans", 24)
    sheet = Pillow.fromarray(below.array())
    ImageDraw.Draw(sheet).text((10 - min(0, int(font.getbbox(text, anchor="ls")[0])), 10 + font.getmetrics()[0]), text,
                               (255, 255, 0), font, anchor="ls")  # fmt: skip
    return Image.from_array(np.array(sheet), copy=False)


def sides() -> Iterator[tuple[str, Draw, Draw]]:
    """Each kind of picture: its name, ours, Pillow's."""
    below, layout = photo(), Layout(font=FALLBACK)
    yield "figstep, 760 x 760", lambda text: render(text, layout).image, figstep_by_pillow
    yield "text on a sheet", lambda text: lettered(text, SHEET).image, sheet_by_pillow
    yield (
        "note on a photo, 512 x 512",
        lambda text: placed(below, text, NOTE, (10, 10)).image,
        partial(note_by_pillow, below=below),
    )


def seconds(draw: Draw, titles: list[str]) -> float:
    typefaces.forget()
    start = time.process_time()
    for title in titles:
        draw(title)
    return time.process_time() - start


def measured(ours: Draw, pillows: Draw, titles: list[str], repeats: int) -> tuple[float, float]:
    """Pictures per CPU second of both. Raises AssertionError where they draw different pictures."""
    for title in titles:
        assert ours(title) == pillows(title), f"different pictures of {title!r}"
    times = [(seconds(ours, titles), seconds(pillows, titles)) for _ in range(repeats)]
    return len(titles) / min(a for a, _ in times), len(titles) / min(b for _, b in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    titles = texts(told.pictures)
    say(f"{told.pictures} different texts, lowest of {told.repeats}, CPU seconds, pictures equal to the byte")
    for name, ours, pillows in sides():
        a, b = measured(ours, pillows, titles, told.repeats)
        say(f"{name:<28} {a:>7,.0f} /s  Pillow {b:>7,.0f} /s  {a / b:.1f} x")


if __name__ == "__main__":
    main()
