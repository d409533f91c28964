"""Pictures of text: FigStep's drawing to the pixel, and the grid that the testbed victims read."""

import csv
import hashlib
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from proofglass import images
from proofglass.errors import UsageError
from proofglass.images import fonts, typography
from proofglass.images.typography import FALLBACK, incitement, on_grid, render, text_of, typeset
from proofglass.testbed import pictures, world
from proofglass.types import Image, Layout

PAPER = Layout(font=FALLBACK)
GRID = Layout(width=96, height=96, font="DejaVuSans", size=12, x=0, y=0, spacing=0, wrap=12, grid=12, steps=3)
plain_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)


def typeface(layout):
    return ImageFont.truetype(str(fonts.font_path(layout.font)), layout.size, layout_engine=ImageFont.Layout.BASIC)


def drawn_as_published(text, font):
    """The picture that FigStep's published code makes of `text`: its calls, with its numbers."""
    picture = Pillow.new("RGB", (760, 760), "#FFFFFF")
    ImageDraw.Draw(picture).text(xy=(20, 10), text=text, spacing=11, font=font, fill="#000000")
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("text", "lines"),
    [  # G-F1, G-F2, G-F3: what FigStep's published code does with these titles
        (
            "Steps to bake a sourdough bread at home.",
            ["Steps to bake a", "sourdough bread", "at home.", "1. ", "2. ", "3. "],
        ),
        (
            "List ways of photographing nocturnal hedgehogs.",
            ["List ways of", "photographing", "nocturnal", "hedgehogs.", "1. ", "2. ", "3. "],
        ),
        (
            "Steps to disassemble an electromechanical typewriter.",
            ["Steps to", "disassemble an ", "electromechanic", "al typewriter.", "1. ", "2. ", "3. "],
        ),
    ],
)
def test_a_title_is_wrapped_and_numbered_as_figstep_does(text, lines):
    assert typeset(text, Layout()).split("\n") == lines
    assert typeset(text + "\n", Layout()).split("\n") == lines


@given(plain_text)
@settings(max_examples=25, deadline=None)
def test_whole_lines_are_drawn_as_the_published_code_draws_them(text):
    expected = drawn_as_published(typeset(text, PAPER), typeface(PAPER))
    assert (render(text, PAPER).image.array() == expected).all()


@given(plain_text, st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_pixels_outside_the_text_are_exactly_white(text, steps):
    layout = Layout(font="DejaVuSans", size=20, steps=steps)
    pixels = render(text, layout).image.array()
    draw = ImageDraw.Draw(Pillow.new("RGB", (1, 1)))
    left, top, right, bottom = draw.textbbox((20, 10), typeset(text, layout), typeface(layout), spacing=11)
    outside = np.ones((760, 760), bool)
    outside[int(top) : int(bottom) + 1, int(left) : int(right) + 1] = False
    assert (pixels[outside] == 255).all()


def test_the_picture_depends_on_text_and_layout_only():
    twice = [render("Steps to plant a tree.", PAPER).image.sha256 for _ in range(2)]
    assert twice[0] == twice[1]
    assert render("Steps to plant a bush.", PAPER).image.sha256 != twice[0]
    assert render("Steps to plant a tree.", Layout(font=FALLBACK, x=21)).image.sha256 != twice[0]


@pytest.mark.parametrize(("letters", "overflows"), [(15, False), (16, True)])
def test_fifteen_characters_fit_the_papers_canvas_and_sixteen_do_not(letters, overflows):
    # 48 px a character: 20 + 15 * 48 = 740 <= 760 < 788
    assert render("m" * letters, Layout(font=FALLBACK, wrap=letters)).overflow is overflows


@given(
    st.integers(-40, 90),
    st.integers(-40, 90),
    st.integers(5, 60),
    st.integers(0, 4),
    st.sampled_from([0, 12]),
)
@settings(max_examples=60, deadline=None)
def test_overflow_says_whether_ink_is_lost(x, y, wrap, steps, grid):
    # The same text on a canvas with room on all sides shows how much ink there is.
    text, room = "steps to mend a kite", 1200
    small = Layout(100, 100, "DejaVuSans", 14, x, y, 3, wrap, grid, steps)
    if grid:  # moving the text by multiples of the grid keeps its columns; the right edge must stay where it is
        placed = on_grid(typeset(text, small), typeface(small), small)
        sheet = Pillow.new("L", (3 * room, 3 * room))
        for word, left, top in placed:
            ImageDraw.Draw(sheet).text((left + room, top + room), word, font=typeface(small), fill=255)
    else:
        sheet = Pillow.new("L", (3 * room, 3 * room))
        place = (x + room, y + room)
        ImageDraw.Draw(sheet).text(place, typeset(text, small), font=typeface(small), fill=255, spacing=3)
    ink = np.asarray(sheet) > 0
    kept = ink[room : room + 100, room : room + 100]
    found = render(text, small)
    assert found.overflow == bool(ink.sum() > kept.sum())
    assert ((found.image.array()[..., 0] < 255) == kept).all()


def test_the_grid_draws_what_the_testbed_victims_were_trained_to_read():
    for noun in world.NOUNS:
        request = world.Request("polish", "crooked", noun)
        found = render(f"steps to {request}", GRID)
        assert (found.image.array() == pictures.figstep_picture(request).pixels).all(), noun
        assert not found.overflow


@given(st.lists(st.sampled_from(world.NOUNS + world.ADJECTIVES), min_size=1, max_size=12), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_on_the_grid_words_start_on_columns_keep_their_order_and_their_distance(words, x):
    layout = Layout(width=120, height=400, font="DejaVuSans", size=12, x=x, y=6, wrap=24, grid=12, steps=2)
    face = typeface(layout)
    placed = on_grid(typeset(" ".join(words), layout), face, layout)
    assert [word for word, _, _ in placed] == [*words, "1.", "2."]
    for _, left, top in placed:
        assert left % 12 == 0
        assert left >= x
        assert (top + 1 - 6) % 12 == 0
    for (word, left, top), (_, next_left, next_top) in pairwise(placed):
        if next_top == top:
            gap = next_left - (left + face.getlength(word))
            assert 2 <= gap < 2 + 12
        else:
            assert next_top == top + 12
            assert next_left == -(-x // 12) * 12


def test_a_missing_font_is_replaced_loudly_and_the_result_says_by_what():
    typography._warn_absent.cache_clear()
    with pytest.warns(UserWarning, match="'NoSuchFont' is not installed.*DejaVuSansMono-Bold"):
        found = render("hello", Layout(font="NoSuchFont"))
    assert found.font == FALLBACK
    assert found.font_sha256 == hashlib.sha256(fonts.font_path(FALLBACK).read_bytes()).hexdigest()
    assert found.image == render("hello", PAPER).image


def test_a_path_without_a_font_is_an_error_not_a_fallback(tmp_path):
    with pytest.raises(UsageError, match=r"font '.*gone\.ttf': not found\. Bundled: DejaVuSans, "):
        render("hello", Layout(font=str(tmp_path / "gone.ttf")))


def test_bundled_fonts_win_and_paths_are_taken_as_they_are(tmp_path):
    assert fonts.font_path("DejaVuSans") == fonts.BUNDLED / "DejaVuSans.ttf" == fonts.font_path("DejaVuSans.ttf")
    copy = tmp_path / "Mine.ttf"
    copy.write_bytes(fonts.font_path("DejaVuSerif").read_bytes())
    found = render("hello", Layout(font=str(copy)))
    assert found.font == "Mine"
    assert found.image == render("hello", Layout(font="DejaVuSerif")).image
    assert (fonts.BUNDLED / "LICENSE-DejaVu.txt").is_file()


@pytest.mark.parametrize("name", fonts.bundled())
def test_every_bundled_font_draws_all_of_printable_ascii(name):
    everything = "".join(map(chr, range(33, 127)))
    assert not render(everything, Layout(font=name, size=20, wrap=40)).overflow


@pytest.mark.parametrize("name", fonts.bundled())
def test_every_bundled_font_draws_curly_quotes_dashes_and_accents(name):
    # No two draw the same (as two dashes would in a monospaced font), so none draws the sign for a missing glyph.
    letters = "‘’“”—…«»éèüñçåøßŒœŠžłÅ€"
    drawn = [render(letter, Layout(font=name, size=40, steps=0)).image for letter in letters]
    assert len(set(drawn)) == len(letters)


def test_a_letter_and_its_accent_apart_are_drawn_as_one():
    apart, whole = "cafe\u0301", "caf\u00e9"
    assert render(apart, PAPER).image == render(whole, PAPER).image


def test_ascii_is_drawn_by_the_fallback_as_before_it_knew_accents():
    # sha256 of the pixels that the fonts reduced to ASCII made (DejaVu 2.37), at FigStep's own layout.
    picture = render("Steps to bake a sourdough bread at home.", PAPER).image
    assert picture.sha256 == "d71459b47cc49d854c45e2e66df06f8ed2da0716baea1bb497776437a39d5ee2"


def test_a_font_that_was_replaced_is_named_for_the_report_and_no_other():
    layout = Layout(font="NoSuchFont")
    typography._warn_absent.cache_clear()  # a process is told once
    with pytest.warns(UserWarning, match="NoSuchFont"):
        used = typography.font_for(layout)
    assert "'NoSuchFont' is not installed" in typography.replaced(layout, used)
    assert typography.replaced(PAPER, typography.font_for(PAPER)) == ""
    assert typography.replaced(Layout(font="/a/Mine.ttf"), used) == ""


def test_a_character_without_a_glyph_is_named():
    with pytest.raises(ValueError, match="the font DejaVuSans cannot draw '漢'"):
        render("a 漢 b", GRID)


@pytest.mark.parametrize("change", [{"width": 0}, {"size": 0}, {"wrap": 0}, {"steps": -1}, {"grid": -12}])
def test_a_layout_that_cannot_be_drawn_names_the_field(change):
    (field,) = change
    with pytest.raises(ValueError, match=f"{field}: expected at least"):
        render("hello", Layout(**{"font": FALLBACK, **change}))


def test_the_text_of_a_drawn_picture_is_known_and_of_any_other_is_not():
    drawn = render("steps to mend a kite", GRID).image
    assert text_of(drawn) == typeset("steps to mend a kite", GRID)
    touched = drawn.array().copy()
    touched[0, 0] ^= 1
    assert text_of(Image.from_array(touched)) is None


def test_the_text_beside_the_picture_counts_its_items():
    assert "items 1 to 3" in incitement(3)
    assert "item 1 has" in incitement(1)
    assert "heading" in incitement(0)


@pytest.mark.realdata
def test_official_figstep_pictures_are_reproduced_to_the_pixel():
    # G-F0: (8, 4) and (9, 1) identical; (10, 1) differs by at most 37 grey levels, 1.9e-4 on average.
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds figstep/data")
    folder = Path(root) / "figstep" / "data"
    if not (table := next(iter(sorted((folder / "question").glob("safebench*.csv"))), None)):
        pytest.skip(f"no safebench*.csv in {folder / 'question'}")
    try:
        font = os.environ.get("PROOFGLASS_FREEMONOBOLD") or str(fonts.font_path("FreeMonoBold"))
    except UsageError:
        pytest.skip("FreeMonoBold is in no usual font folder (fonts-freefont-ttf) nor in PROOFGLASS_FREEMONOBOLD")
    with table.open(newline="", encoding="utf-8") as file:
        texts = {(row["category_id"], row["task_id"]): row["instruction"] for row in csv.DictReader(file)}
    for (category, task), largest in {("8", "4"): 0, ("9", "1"): 0, ("10", "1"): 37}.items():
        official = images.read(folder / f"images/SafeBench-Tiny/query_ForbidQI_{category}_{task}_6.png").array()
        ours = render(texts[category, task], Layout(font=font))
        difference = np.abs(official.astype(int) - ours.image.array())
        assert difference.max() <= largest
        assert difference.mean() < 2e-4
        assert not ours.overflow
