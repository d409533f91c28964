"""Text on sheets and photos: nothing else changes, nothing is lost silently, every script is set rightly or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from images.font_files import full
from proofglass.images import lettering as module
from proofglass.images import typefaces
from proofglass.images.drawn import text_of
from proofglass.images.fonts import BUNDLED, face
from proofglass.images.lettering import NOWHERE, Box, Lettering, lettered, placed
from proofglass.images.wrapping import letters
from proofglass.types import Image

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40).filter(str.strip)
colours = st.tuples(*[st.integers(0, 255)] * 3)
styles = st.builds(
    Lettering,
    font=st.sampled_from(["DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif"]),
    size=st.integers(4, 40),
    fill=colours,
    background=colours,
    opacity=st.floats(0, 1),
    wrap=st.none() | st.integers(1, 20),
    margin=st.integers(0, 20),
    spacing=st.integers(-10, 20),
    align=st.sampled_from(["start", "left", "center", "right"]),
    items=st.integers(0, 3),
    rotation=st.sampled_from([0.0, 0.0, 90.0, 180.0, 17.5, -45.0]),
)
places = st.sampled_from(
    ["top", "bottom", "left", "right", "center", "top-left", "bottom-right", (5, 40), (-20, -9), (150, 90), (900, 0),
     Box(30, 20, 140, 90)]
)  # fmt: skip
PHOTO = Image.from_array(np.random.default_rng(3).integers(0, 256, (120, 160, 3)).astype(np.uint8))


def outside(box, shape):
    away = np.ones(shape[:2], bool)
    away[box.top : box.bottom, box.left : box.right] = False
    return away


@given(words, styles, st.none() | st.tuples(st.integers(1, 200), st.integers(1, 200)))
@settings(max_examples=60, deadline=None)
def test_pixels_outside_the_box_are_exactly_the_background(text, style, size):
    drawn = lettered(text, style, size)
    pixels = drawn.image.array()
    assert (pixels[outside(drawn.box, pixels.shape)] == style.background).all()
    assert size is None or pixels.shape == (size[1], size[0], 3)


@given(words, styles, places, st.booleans())
@settings(max_examples=60, deadline=None)
def test_pixels_outside_the_box_are_those_of_the_photo(text, style, at, box):
    from dataclasses import replace

    before = PHOTO.array().copy()
    drawn = placed(PHOTO, text, replace(style, box=box), at)
    assert (drawn.image.array()[outside(drawn.box, before.shape)] == before[outside(drawn.box, before.shape)]).all()
    assert (PHOTO.array() == before).all()


@given(words, styles)
@settings(max_examples=30, deadline=None)
def test_the_same_input_gives_the_same_bytes_whatever_was_drawn_before(text, style):
    once = lettered(text, style)
    typefaces.forget()
    assert lettered(text, style) == once


@given(words, styles, st.tuples(st.integers(1, 150), st.integers(1, 150)))
@settings(max_examples=80, deadline=None)
def test_overflow_says_whether_ink_was_lost(text, style, size):
    # Black on white at full opacity: the ink on a sheet with room is what there is, the ink here what is left of it.
    from dataclasses import replace

    style = replace(style, fill=(0, 0, 0), background=(255, 255, 255), opacity=1, align="left", margin=0)
    there = lettered(text, style).image.array()[..., 0]
    here = lettered(text, style, size)
    kept = here.image.array()[..., 0]
    assert here.overflow == (int((there < 255).sum()) > int((kept < 255).sum()))
    assert not lettered(text, style).overflow


@given(words, st.integers(1, 15))
@settings(max_examples=60, deadline=None)
def test_a_line_never_has_more_characters(text, wrap):
    assert all(len(letters(line)) <= wrap for line in lettered(text, Lettering(wrap=wrap, size=8)).lines)


@given(words, st.integers(40, 300), st.sampled_from(["DejaVuSans-Oblique", "DejaVuSerif"]))
@settings(max_examples=60, deadline=None)
def test_a_line_is_never_wider_in_pixels(text, wrap, name):
    typeface = ImageFont.truetype(str(face(name).path), 24, layout_engine=ImageFont.Layout.BASIC)
    drawn = lettered(text, Lettering(font=name, wrap_px=wrap, size=24, margin=0))
    for line in drawn.lines:
        left, _, right, _ = typeface.getbbox(line, anchor="ls")
        assert max(right, 0) - min(left, 0) <= wrap
    assert drawn.box.right - drawn.box.left <= wrap


@given(words, st.integers(6, 60), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_a_line_is_drawn_as_pillow_draws_it(text, size, margin):
    drawn = lettered(text, Lettering(size=size, margin=margin, fill=(200, 30, 90), background=(9, 99, 199)))
    typeface = ImageFont.truetype(str(BUNDLED / "DejaVuSans.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
    sheet = Pillow.new("RGB", (drawn.image.width, drawn.image.height), (9, 99, 199))
    left, top, _, _ = typeface.getbbox(text, anchor="ls")
    origin = (margin - min(0, left), margin + typeface.getmetrics()[0] - min(0, typeface.getmetrics()[0] + top))
    ImageDraw.Draw(sheet).text(origin, text, (200, 30, 90), typeface, anchor="ls")
    assert (np.asarray(sheet) == drawn.image.array()).all()


@given(st.floats(0, 1), colours, colours)
@settings(max_examples=60, deadline=None)
def test_opacity_bounds_what_changes(opacity, ground, fill):
    photo = Image.from_array(np.full((60, 200, 3), ground, np.uint8))
    drawn = placed(photo, "a faint word", Lettering(size=24, opacity=opacity, fill=fill), "center")
    moved = np.abs(drawn.image.array().astype(int) - photo.array())
    reach = np.abs(np.array(fill) - np.array(ground))
    assert (moved.max((0, 1)) <= np.ceil(reach * (opacity + 0.5 / 255)) + 1).all()
    if opacity == 0:
        assert drawn.image == photo
    if opacity == 1:
        assert (moved.max((0, 1)) == reach).all()


def test_a_faint_text_is_there_for_a_machine():
    photo = Image.from_array(np.full((60, 240, 3), 128, np.uint8))
    drawn = placed(photo, "a faint word", Lettering(size=32, opacity=0.02, fill=(255, 255, 255)), "center")
    assert sorted(np.unique(drawn.image.array())) == [128, 129, 130]  # 5 of 255, and 127 * 5 / 255 = 2.5


@pytest.mark.parametrize(
    ("at", "left", "top"),
    [("top-left", 8, 8), ("top", None, 8), ("bottom-right", 160 - 8, None), ("left", 8, None), ((30, 50), 30, 50)],
)
def test_an_anchor_keeps_the_margin_and_a_point_is_the_upper_left_corner(at, left, top):
    style = Lettering(size=16, align="left")
    alone = lettered("kite", style)  # the same ink, in a block whose corner is at (8, 8)
    drawn = placed(PHOTO, "kite", style, at)
    block = (alone.image.width - 16, alone.image.height - 16)
    x = {"top": (160 - block[0]) // 2, "bottom-right": 152 - block[0]}.get(at, left)
    y = {"left": (120 - block[1]) // 2, "bottom-right": 112 - block[1]}.get(at, top)
    moved = Box(*(a + d for a, d in zip(alone.box, (x - 8, y - 8, x - 8, y - 8), strict=True)))
    assert drawn.box == moved
    assert not drawn.overflow


def test_a_long_text_at_an_anchor_is_wrapped_at_the_photo_and_at_a_point_it_is_not():
    text = "a small note to all who read it"
    inside = placed(PHOTO, text, Lettering(size=12), "bottom")
    assert len(inside.lines) > 1
    assert not inside.overflow
    assert placed(PHOTO, text, Lettering(size=12), (5, 5)).overflow


def test_in_a_box_ink_stays_inside_and_what_does_not_fit_overflows():
    box = Box(40, 30, 120, 70)
    fits = placed(PHOTO, "mend it", Lettering(size=10, margin=2), box)
    large = placed(PHOTO, "mend it all now", Lettering(size=40, margin=2), box)
    for drawn in (fits, large):
        assert drawn.box[0] >= 40
        assert drawn.box[1] >= 30
        assert drawn.box[2] <= 120
        assert drawn.box[3] <= 70
    assert (fits.overflow, large.overflow) == (False, True)


def test_a_text_beside_the_photo_changes_nothing_and_overflows():
    drawn = placed(PHOTO, "gone", Lettering(), (500, 500))
    assert (drawn.image, drawn.box, drawn.overflow) == (PHOTO, NOWHERE, True)


def test_a_plain_rectangle_stands_behind_a_text_in_a_box():
    style = Lettering(size=12, box=True, background=(250, 240, 10), margin=5, fill=(0, 0, 0))
    drawn = placed(PHOTO, "note", style, "center")
    inside = drawn.image.array()[drawn.box.top : drawn.box.bottom, drawn.box.left : drawn.box.right]
    assert (inside[[0, -1]] == (250, 240, 10)).all()
    assert (inside[:, [0, -1]] == (250, 240, 10)).all()
    assert not (inside == (250, 240, 10)).all()


def test_a_quarter_turn_turns_the_pixels():
    upright = lettered("turn", Lettering(margin=0)).image.array()
    turned = lettered("turn", Lettering(margin=0, rotation=90)).image.array()
    assert (turned == np.rot90(upright)).all()


def test_items_stand_under_the_text():
    assert lettered("Steps to mend a kite", Lettering(wrap=10, items=3)).lines == ("Steps to", "mend a", "kite", "1.",
                                                                                     "2.", "3.")  # fmt: skip
    assert lettered("", Lettering(items=2)).lines == ("", "1.", "2.")


def test_the_text_of_a_picture_is_known():
    assert text_of(lettered("one two", Lettering(wrap=3)).image) == "one\ntwo"
    assert text_of(placed(PHOTO, "one", Lettering(), "top").image) == "one"


# ---- scripts ----


def ink_of(text, engine, name):
    typeface = ImageFont.truetype(str(face(name).path), 32, layout_engine=engine)
    mask, _ = typeface.getmask2(text, anchor="ls")
    return mask.size, bytes(mask)


@pytest.mark.skipif(not typefaces.has_raqm(), reason="this Pillow comes without Raqm")
def test_hebrew_runs_from_right_to_left():
    # Hebrew letters do not join: from right to left is the reversed row, which the basic engine can draw.
    name, text = full(), "שלוםעולם"
    style = Lettering(font=name, margin=0)
    drawn = lettered(text, style)
    assert drawn.engine == "raqm"
    _, reversed_row = ink_of(text[::-1], ImageFont.Layout.BASIC, name)
    box = drawn.box
    pixels = 255 - drawn.image.array()[box.top : box.bottom, box.left : box.right, 0]
    assert pixels.tobytes() == cropped(reversed_row, ink_of(text[::-1], ImageFont.Layout.BASIC, name)[0])


def cropped(data, size):
    picture = Pillow.frombytes("L", size, data)
    return picture.crop(picture.getbbox()).tobytes()


@pytest.mark.skipif(not typefaces.has_raqm(), reason="this Pillow comes without Raqm")
def test_arabic_letters_join_and_a_number_in_their_midst_runs_the_other_way():
    name = full()
    joined = lettered("ببب", Lettering(font=name, margin=0))
    apart = lettered("ب", Lettering(font=name, margin=0))
    assert joined.engine == "raqm"
    assert joined.box.right - joined.box.left < 3 * (apart.box.right - apart.box.left)
    # "אב 12": the number stands left of the letters, its own digits from left to right.
    ink = lettered("אב 12", Lettering(font=name, margin=0))
    twelve = lettered("12", Lettering(font=name, margin=0))
    width = twelve.box.right - twelve.box.left
    left = ink.image.array()[:, ink.box.left : ink.box.left + width, 0]
    alone = twelve.image.array()[:, twelve.box.left : twelve.box.right, 0]
    assert (left[: len(alone)] == alone).all()


@pytest.mark.skipif(not typefaces.has_raqm(), reason="this Pillow comes without Raqm")
def test_text_from_the_right_is_aligned_there_unless_told_otherwise():
    name = full()
    style = {"font": name, "wrap": 5, "margin": 0}
    start, right, left = (
        lettered("שלום אב", Lettering(**style, align=side)).image for side in ("start", "right", "left")
    )
    assert start == right
    assert start != left


def test_without_raqm_what_needs_shaping_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(typefaces, "has_raqm", lambda: False)
    for text in ("שלום", "سلام", "नमस्ते", "q\u0303", "a\u200db"):
        with pytest.raises(ValueError, match=r"needs shaping, and this Pillow comes without Raqm"):
            lettered(text, Lettering())
    assert lettered("plain é ß Ω", Lettering(font=full())).engine == "basic"


@pytest.mark.parametrize(
    ("text", "named"),
    [("漢字", r"'字漢' \(U\+5B57 U\+6F22\)"), ("a 🎈", r"'🎈' \(U\+1F388\)"), ("नम", r"'नम'"), ("\ufffe", r"U\+FFFE")],
)
def test_letters_that_the_font_lacks_are_named_and_no_box_is_drawn(text, named):
    with pytest.raises(ValueError, match=rf"the font DejaVuSans cannot draw .*{named}"):
        lettered(text, Lettering())


def test_many_missing_letters_are_not_all_listed():
    with pytest.raises(ValueError, match="and 80 more") as error:
        lettered("".join(map(chr, range(0x4E00, 0x4E64))), Lettering())
    assert len(str(error.value)) < 500


def test_signs_that_show_nothing_need_no_glyph():
    if not typefaces.has_raqm():
        pytest.skip("this Pillow comes without Raqm")
    plain = lettered("ab", Lettering())
    assert lettered("a\u200bb\ufeff", Lettering()).image.array().shape[0] == plain.image.array().shape[0]
    assert lettered("☺\ufe0f", Lettering(font=full())).box == lettered("☺", Lettering(font=full())).box


def test_blanks_of_every_kind_are_drawn_as_blanks():
    assert lettered("a\u2003b", Lettering()).lines == ("a b",)  # the bundled font lacks it
    assert lettered("a\u2028b\r\nc\rd\u2029e", Lettering()).lines == ("a", "b", "c", "d", "e")
    assert lettered("a\tb", Lettering()).lines == ("a   b",)


# ---- bad input ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing visible"), (" \n\t ", "nothing visible"), ("\u200b", "nothing visible"),
        ("a\0b", r"U\+0000 at character 1 is a control character"), ("a\x1bb", r"U\+001B at character 1"),
        ("\x85", r"U\+0085"), ("a\ud800b", r"U\+D800 at character 1 is half of a surrogate pair"),
        (None, "expected a text, found NoneType"), (float("nan"), "expected a text, found float"),
        (b"bytes", "expected a text, found bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_an_error_of_the_text(text, message):
    with pytest.raises(ValueError, match=f"text: .*{message}"):
        lettered(text, Lettering())
    with pytest.raises(ValueError, match=f"text: .*{message}"):
        placed(PHOTO, text, Lettering())


def test_ten_thousand_characters_are_drawn_in_lines_and_refused_in_one():
    assert len(lettered("x" * 10_000, Lettering(wrap_px=400, size=12)).lines) > 50
    assert len(lettered("word " * 2_000, Lettering(wrap=50, size=12)).lines) == 200
    with pytest.raises(ValueError, match=r"a picture of \d+ x \d+ px was to be drawn; expected .* 32768 px a side"):
        lettered("x" * 10_000, Lettering())


def test_no_picture_is_larger_than_any_picture_may_be():
    for style in (Lettering(margin=10**9), Lettering(size=4096, wrap=2), Lettering(size=4000, rotation=45, wrap=9)):
        with pytest.raises(ValueError, match="px was to be drawn"):
            lettered("hedgehogs and kites", style)
    with pytest.raises(ValueError, match="px was to be drawn"):
        lettered("a", Lettering(), size=(30_000, 30_000))


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("size", 0), ("size", 5000), ("size", 12.5), ("fill", (1, 2)), ("fill", (0, 0, 256)), ("fill", "red"),
        ("opacity", 1.1), ("opacity", float("nan")), ("wrap", 0), ("margin", -1), ("spacing", 10**6), ("align", "top"),
        ("rotation", float("inf")), ("items", -1), ("box", "yes"), ("font", None),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field, wrong):
    with pytest.raises(ValueError, match=f"{field}: expected"):
        Lettering(**{field: wrong})


def test_wrapping_by_both_measures_is_an_error():
    with pytest.raises(ValueError, match="either wrap"):
        Lettering(wrap=3, wrap_px=30)
    with pytest.raises(ValueError, match="wrap_px: the letter 'a' alone is 20 wide, and a line 3 px"):
        lettered("a", Lettering(wrap_px=3))


@pytest.mark.parametrize("at", ["middle", Box(0, 0, 161, 9), Box(9, 9, 9, 20), (1, 2, 3), None, [4, 5]])
def test_a_place_that_is_none_is_named(at):
    with pytest.raises(ValueError, match="at: expected"):
        placed(PHOTO, "a", Lettering(), at)


def test_fields_come_from_lists_too():
    assert Lettering(fill=[1, 2, 3]).fill == (1, 2, 3)
    assert module.Lettering(background=None).background is None
