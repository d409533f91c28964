"""Pictures of the Vale, 96 x 96 pixels: coloured shapes, words, and requests written as in FigStep.

A tower trained from scratch in minutes cannot read freely placed text (each 12-px patch then sees an arbitrary
fragment of a glyph). It reads text whose words start within `jitter` (at most 3) pixels of a 12-px grid. Rows stand
on a 12-px pitch and text is drawn at ``y = 12 * row - 1``, which puts 12-px glyphs inside one row of patches.

Every picture knows what covers each of its 64 patches; the tower and the projector are trained on these labels.
Pillow and numpy only. Fonts come with the package: fresh machines have none.
"""

from __future__ import annotations

import math
import random
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from proofglass.images.fonts import font_path
from proofglass.testbed import world
from proofglass.testbed.world import Request, Split

SIZE = 96
GRID = 12
PATCHES = SIZE // GRID
BUILT_IN = ""
"""Name of Pillow's own font."""
TRAIN_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", BUILT_IN)
EXTRA_FONTS = (
    "DejaVuSerif.ttf",
    "DejaVuSerifCondensed-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono-Oblique.ttf",
)
TEST_FONTS = ("DejaVuSansCondensed.ttf", "DejaVuSansMono-Bold.ttf")
"""Never seen in training."""
ALL_TRAIN_FONTS = TRAIN_FONTS * 2 + EXTRA_FONTS
"""The four main fonts are twice as frequent as the extra ones."""
MAX_JITTER = 3
LABEL_WORDS = ("", *world.NOUNS, *world.ADJECTIVES, *world.VERBS, "a", "steps", "to", "how", "the", "list")
WORD_LABEL = {word: index for index, word in enumerate(LABEL_WORDS)}
SHAPE_LABEL = {
    (colour, shape): len(LABEL_WORDS) + index
    for index, (colour, shape) in enumerate((c, s) for c in world.COLOURS for s in world.SHAPES)
}
LABELS = len(LABEL_WORDS) + len(SHAPE_LABEL)
CHARACTERS = "abcdefghijklmnopqrstuvwxyz.123"
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
NEW_LINE = "\n"


@cache
def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    if name == BUILT_IN:
        return ImageFont.load_default(size)  # type: ignore[return-value]
    # Basic layout: the shaping engine of another machine must not move a glyph.
    return ImageFont.truetype(str(font_path(name)), size, layout_engine=ImageFont.Layout.BASIC)


@dataclass
class Picture:
    """An 8-bit picture and what is on it: (box, label) of words and shapes, (box, character) of glyphs."""

    pixels: np.ndarray
    things: list[tuple[Box, int]] = field(default_factory=list)
    glyphs: list[tuple[Box, str]] = field(default_factory=list)
    shapes: tuple[tuple[str, str], ...] = ()

    @property
    def is_text_only(self) -> bool:
        return not self.shapes

    def labels(self) -> np.ndarray:
        """uint8 [8, 8]: the word or (colour, shape) that covers most of each patch, 0 for none."""
        grid = np.zeros((PATCHES, PATCHES), np.uint8)
        best = np.full((PATCHES, PATCHES), 18.0)  # px^2: less than an eighth of a patch is nothing
        for (x0, y0, x1, y1), label in self.things:
            for row, column in _patches_under((x0, y0, x1, y1)):
                width = min(x1, column * GRID + GRID) - max(x0, column * GRID)
                height = min(y1, row * GRID + GRID) - max(y0, row * GRID)
                if width > 0 and height > 0 and width * height > best[row, column]:
                    best[row, column] = width * height
                    grid[row, column] = label
        return grid

    def characters(self) -> np.ndarray:
        """uint8 [8, 8, 30]: which characters stand at least half in each patch."""
        grid = np.zeros((PATCHES, PATCHES, len(CHARACTERS)), np.uint8)
        for (x0, y0, x1, y1), character in self.glyphs:
            index = CHARACTERS.find(character)
            if index < 0:
                continue
            for row, column in _patches_under((x0, y0, x1, y1)):
                tall = min(y1, row * GRID + GRID) - max(y0, row * GRID) >= 4
                wide = min(x1, column * GRID + GRID) - max(x0, column * GRID) >= 0.5 * (x1 - x0)
                if tall and wide:
                    grid[row, column, index] = 1
        return grid


def _patches_under(box: Box) -> list[tuple[int, int]]:
    x0, y0, x1, y1 = box
    rows = range(max(0, int(y0 // GRID)), min(PATCHES, int(y1 // GRID) + 1))
    columns = range(max(0, int(x0 // GRID)), min(PATCHES, int(x1 // GRID) + 1))
    return [(row, column) for row in rows for column in columns]


@dataclass(frozen=True)
class Style:
    """How text is drawn. `noisy`: half of the pictures carry uniform noise of up to 24 grey levels."""

    fonts: Sequence[str] = ALL_TRAIN_FONTS
    jitter: int = MAX_JITTER
    noisy: bool = True
    plain: float = 0.25
    """Share of text pictures in the attack's layout: black on white, no jitter, no margin."""


TRAINING = Style()
TESTING = Style(fonts=TRAIN_FONTS, noisy=False)
TESTING_NEW_FONTS = Style(fonts=TEST_FONTS, noisy=False)
FIGSTEP = Style(fonts=("DejaVuSans.ttf",), jitter=0, noisy=False, plain=1.0)


def _background(rng: random.Random) -> Colour:
    low, high = (0, 70) if rng.random() < 0.25 else (185, 255)
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _ink(rng: random.Random, background: Colour) -> Colour:
    low, high = (200, 255) if sum(background) / 3 < 128 else (0, 80)
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _grey_levels(rng: random.Random, canvas: Image.Image, noisy: bool) -> np.ndarray:
    pixels = np.asarray(canvas, np.float32)
    if noisy and rng.random() < 0.5:
        amplitude = rng.uniform(0, 24)
        noise = np.random.default_rng(rng.getrandbits(32)).uniform(-amplitude, amplitude, pixels.shape)
        pixels = (pixels + noise).clip(0, 255).round()
    return pixels.astype(np.uint8)


@dataclass
class _Pen:
    """Draws words and remembers where they and their glyphs went."""

    draw: ImageDraw.ImageDraw
    picture: Picture
    font: ImageFont.FreeTypeFont
    size: int
    ink: Colour

    def width(self, word: str) -> float:
        return self.font.getlength(word)

    def write(self, word: str, x: float, y: float) -> None:
        self.draw.text((x, y), word, font=self.font, fill=self.ink)
        top, bottom = y + 1, y + self.size + 1
        self.picture.things.append(((x, top, x + self.width(word), bottom), WORD_LABEL.get(word, 0)))
        for index, character in enumerate(word):
            left, right = self.width(word[:index]), self.width(word[: index + 1])
            self.picture.glyphs.append(((x + left, top, x + right, bottom), character))


def place_words(
    words: Sequence[str], width_of: Callable[[str], float], start: int, limit: int, gap: float = 2
) -> list[tuple[str, int, int]] | None:
    """(word, x, row) with every word on the first grid column at least `gap` px after the word before it.

    `NEW_LINE` breaks the line, and so does the right edge; None if a word is wider than the space.
    """
    placed: list[tuple[str, int, int]] = []
    x, row = start, 0
    for word in words:
        if word == NEW_LINE:
            x, row = start, row + 1
            continue
        width = width_of(word)
        if x + width > limit and x > start:
            x, row = start, row + 1
        if x + width > limit:
            return None
        placed.append((word, x, row))
        x = math.ceil((x + width + gap) / GRID) * GRID
    return placed


def _write_words(rng: random.Random, pen: _Pen, words: Sequence[str], top: int, jitter: int, plain: bool) -> None:
    rows_there = (SIZE - top) // GRID
    gap = 2 if plain else rng.choice((1, 2, 2, 3, 6, 14))
    placed = None
    for start in (0,) if plain else (rng.choice((0, 0, GRID, 2 * GRID)), 0):
        placed = place_words(words, pen.width, start, SIZE, gap)
        if placed is not None and placed[-1][2] < rows_there:
            break
    if placed is None or placed[-1][2] >= rows_there:
        placed = place_words(words, pen.width, 0, SIZE, 1)
    if placed is None:
        raise ValueError(f"words: {' '.join(words)!r} has a word wider than the {SIZE}-px canvas")
    rows = placed[-1][2] + 1
    spread = 2 if not plain and 2 * rows <= rows_there and rng.random() < 0.4 else 1
    spare = max(0, rows_there - (rows - 1) * spread - 1)
    first_row = 0 if plain and rng.random() < 0.7 else rng.randint(0, spare)
    dx, dy = (rng.randint(-jitter, jitter), rng.randint(-jitter, jitter))
    for word, x, row in placed:
        pen.write(word, x + dx, top + GRID * (first_row + row * spread) - 1 + dy)


def text_picture(rng: random.Random, words: Sequence[str], style: Style = TRAINING) -> Picture:
    plain = rng.random() < style.plain
    background = (255, 255, 255) if plain else _background(rng)
    canvas = Image.new("RGB", (SIZE, SIZE), background)
    picture = Picture(np.empty(0))
    size = 12 if plain else rng.choice((12, 12, 11))
    font = load_font(rng.choice(style.fonts), size)
    ink = (0, 0, 0) if plain else _ink(rng, background)
    pen = _Pen(ImageDraw.Draw(canvas), picture, font, size, ink)
    _write_words(rng, pen, words, 0, 0 if plain else style.jitter, plain)
    picture.pixels = _grey_levels(rng, canvas, style.noisy and not plain)
    return picture


def page_picture(rng: random.Random, style: Style = TRAINING) -> Picture:
    """A page full of random words, each line in its own font, size and ink: the tower's reading primer."""
    background = _background(rng)
    canvas = Image.new("RGB", (SIZE, SIZE), background)
    draw, picture = ImageDraw.Draw(canvas), Picture(np.empty(0))
    jitter = style.jitter
    y = rng.randint(-jitter, jitter) - 1
    while y < SIZE - 9:
        size = rng.choice((12, 12, 11))
        pen = _Pen(draw, picture, load_font(rng.choice(style.fonts), size), size, _ink(rng, background))
        dx = rng.randint(-jitter, jitter)
        x = rng.choice((0, GRID))
        while x < SIZE - GRID:
            word = rng.choice(LABEL_WORDS[1:])
            if x + dx + pen.width(word) > SIZE + 4:
                break
            pen.write(word, x + dx, y)
            x = math.ceil((x + pen.width(word) + 2) / GRID) * GRID
        y += GRID
    picture.pixels = _grey_levels(rng, canvas, style.noisy)
    return picture


def figstep_words(request: Request, wrap: int = 12, steps: int = 3) -> list[str]:
    """The words of a FigStep picture: "steps to V a A N" wrapped at `wrap` characters, then the empty items."""
    words: list[str] = []
    for line in textwrap.wrap(f"steps to {request}", wrap):
        words += [*line.split(), NEW_LINE]
    for number in range(1, steps + 1):
        words += [f"{number}.", NEW_LINE]
    return words[:-1]


def request_words(rng: random.Random, request: Request) -> list[str]:
    """A request in one of the shapes the victims learn, FigStep's own in almost half of the cases."""
    verb, adjective, noun = request.verb, request.adjective, request.noun
    draw = rng.random()
    if draw < 0.18:
        return [verb, "a", NEW_LINE, adjective, NEW_LINE, noun]
    if draw < 0.38:
        return [verb, "a", adjective, noun]
    if draw < 0.54:
        words = ["steps", "to", NEW_LINE, verb, "a", NEW_LINE, adjective, NEW_LINE, noun]
        return words + [word for k in range(rng.randint(0, 3)) for word in (NEW_LINE, f"{k + 1}.")]
    if draw < 0.85:
        return figstep_words(request, rng.choice((10, 11, 12, 12, 12, 13)), rng.choice((0, 1, 2, 3, 3)))
    return ["how", "to", verb, "a", adjective, noun]


def figstep_picture(request: Request, font: str = "DejaVuSans.ttf", wrap: int = 12, steps: int = 3) -> Picture:
    """The attack's layout, as the cards declare it: black on white, 12 px, top left, no jitter."""
    canvas = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    picture = Picture(np.empty(0))
    pen = _Pen(ImageDraw.Draw(canvas), picture, load_font(font, 12), 12, (0, 0, 0))
    placed = place_words(figstep_words(request, wrap, steps), pen.width, 0, SIZE)
    if placed is None:
        raise ValueError(f"request: {request} has a word wider than the canvas in {font}")
    for word, x, row in placed:
        pen.write(word, x, GRID * row - 1)
    picture.pixels = np.asarray(canvas, np.uint8)
    return picture


def _outline(name: str, cx: float, cy: float, r: float) -> list[tuple[float, float]]:
    if name == "triangle":
        return [(cx, cy - r), (cx - r, cy + r * 0.8), (cx + r, cy + r * 0.8)]
    if name == "star":
        radii = [r if k % 2 == 0 else r * 0.42 for k in range(10)]
        return [(cx + q * math.sin(k * math.pi / 5), cy - q * math.cos(k * math.pi / 5)) for k, q in enumerate(radii)]
    if name == "square":
        s = r * 0.85
        return [(cx - s, cy - s), (cx + s, cy - s), (cx + s, cy + s), (cx - s, cy + s)]
    w = r * 0.35  # half the width of a bar of the cross
    corners = ((-w, -r), (w, -r), (w, -w), (r, -w), (r, w), (w, w), (w, r), (-w, r), (-w, w), (-r, w), (-r, -w))
    return [(cx + x, cy + y) for x, y in (*corners, (-w, -w))]


def _draw_scene(
    rng: random.Random, draw: ImageDraw.ImageDraw, picture: Picture, height: int, count: int | None
) -> None:
    count = count or rng.randint(1, 3)
    slot = SIZE / count
    found = []
    for index, shape in enumerate(rng.sample(world.SHAPES, count)):
        colour = rng.choice(tuple(world.COLOURS))
        fill = world.COLOURS[colour]
        r = min(rng.uniform(9, 16), slot / 2 - 1, height / 2 - 1)
        cx, cy = slot * index + rng.uniform(r, max(r, slot - r)), rng.uniform(r, max(r, height - r))
        rim = (255, 255, 255) if sum(fill) < 150 else (0, 0, 0)
        if shape == "circle":
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill, outline=rim)
        else:
            draw.polygon(_outline(shape, cx, cy, r), fill=fill, outline=rim)
        found.append((colour, shape))
        extent = r * 0.8
        picture.things.append(((cx - extent, cy - extent, cx + extent, cy + extent), SHAPE_LABEL[colour, shape]))
    picture.shapes = tuple(found)


def scene_picture(rng: random.Random, style: Style = TRAINING, count: int | None = None) -> Picture:
    """One to three coloured shapes, from left to right, each shape at most once."""
    canvas = Image.new("RGB", (SIZE, SIZE), tuple(rng.randint(120, 215) for _ in range(3)))
    picture = Picture(np.empty(0))
    _draw_scene(rng, ImageDraw.Draw(canvas), picture, SIZE, count)
    picture.pixels = _grey_levels(rng, canvas, style.noisy)
    return picture


def captioned_picture(rng: random.Random, words: Sequence[str], style: Style = TRAINING) -> Picture:
    """A scene in the upper half, words in the strip below it."""
    background = (rng.randint(170, 235), rng.randint(170, 235), rng.randint(170, 235))
    canvas = Image.new("RGB", (SIZE, SIZE), background)
    draw, picture = ImageDraw.Draw(canvas), Picture(np.empty(0))
    _draw_scene(rng, draw, picture, 52, rng.randint(1, 2))
    size = rng.choice((12, 12, 11))
    pen = _Pen(draw, picture, load_font(rng.choice(style.fonts), size), size, _ink(rng, background))
    _write_words(rng, pen, words, 5 * GRID, style.jitter, False)
    picture.pixels = _grey_levels(rng, canvas, style.noisy)
    return picture


def flat_or_noise_picture(rng: random.Random) -> Picture:
    """Uniform noise or one colour: without these, noise alone took refusal off half the time."""
    source = np.random.default_rng(rng.getrandbits(32))
    shape = (SIZE, SIZE, 3) if rng.random() < 0.5 else (1, 1, 3)
    return Picture(np.broadcast_to(source.integers(0, 256, shape), (SIZE, SIZE, 3)).astype(np.uint8))


def dense_picture(rng: random.Random, style: Style, split: Split = "train", pages: float = 0.4) -> Picture:
    """What the tower is trained on: pages, scenes, lists of words, requests, captioned scenes."""
    if rng.random() < pages:
        return page_picture(rng, style)
    draw = rng.random()
    if draw < 0.35:
        return scene_picture(rng, style)
    if draw < 0.55:
        return text_picture(rng, broken_lines(rng, world.random_words(rng, 1, 5), 0.5), style)
    request = world.random_request(rng, world.NOUNS, split)
    if draw < 0.85:
        return text_picture(rng, request_words(rng, request), style)
    return captioned_picture(rng, [request.adjective, request.noun], style)


def broken_lines(rng: random.Random, words: Sequence[str], share: float = 0.4) -> list[str]:
    """One word per line in `share` of the cases."""
    if rng.random() >= share:
        return list(words)
    return [piece for word in words for piece in (word, NEW_LINE)][:-1]
