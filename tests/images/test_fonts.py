"""Fonts by file, path, face of a collection, family and full name; what is no font."""

import pytest

from images.font_files import collection, full
from proofglass.errors import UsageError
from proofglass.images import fonts, typefaces
from proofglass.images.fonts import BUNDLED, Face, face
from proofglass.images.lettering import Lettering, lettered


def listing(*rows):
    keys = ("file", "index", "family", "fullname", "postscriptname", "weight", "slant", "width")
    return lambda: tuple(dict(zip(keys, map(str, row), strict=True)) for row in rows)


PINE = [
    ("/f/Pine-Bold.ttf", 0, "Pine", "Pine Bold", "Pine-Bold", 200, 0, 100),
    ("/f/Pine-Italic.ttf", 0, "Pine", "Pine Italic", "Pine-Italic", 80, 100, 100),
    ("/f/Pine.ttc", 2, "Pine,Pin", "Pine", "Pine-Regular", 80, 0, 100),
    ("/f/PineVar.ttf", 65536, "Pine Var", "Pine Var", "PineVar", "[100 900]", 0, 100),
    ("/f/Pine.pcf.gz", 0, "Pine Bits", "Pine Bits", "", 80, 0, 100),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Pine", Face("/f/Pine.ttc", 2)),  # of a family the regular face, wherever it stands in the list
        ("pine  bold", Face("/f/Pine-Bold.ttf")),
        ("Pine-Italic", Face("/f/Pine-Italic.ttf")),
        ("Pin", Face("/f/Pine.ttc", 2)),
        ("Pine Var", Face("/f/PineVar.ttf", 65536)),  # a named instance of a variable font, as fontconfig numbers it
        ("Pin Bold", None),  # fontconfig itself would put another font in its place
        ("Pine Bits", None),  # no outlines
    ],
)
def test_a_family_or_full_name_must_match_exactly(name, found, monkeypatch):
    monkeypatch.setattr(fonts, "listed", listing(*PINE))
    if found is None:
        with pytest.raises(UsageError, match=rf"font '{name}': not found\. Bundled: .*Install it"):
            face(name)
    else:
        assert (str(face(name).path), face(name).index) == (str(found.path), found.index)


def test_two_files_of_one_name_are_chosen_by_their_path_not_by_the_order_of_the_list(monkeypatch):
    rows = [(f"/f/{k}.ttf", 0, "Pine", "Pine", "Pine", 80, 0, 100) for k in "cab"]
    monkeypatch.setattr(fonts, "listed", listing(*rows))
    assert face("Pine").path.name == "a.ttf"


def test_the_nearest_name_is_offered_and_a_missing_fontconfig_named(monkeypatch):
    monkeypatch.setattr(fonts, "listed", listing(*PINE))
    with pytest.raises(UsageError, match="Did you mean 'Pine Bold'"):
        face("Pine Bald")
    monkeypatch.setattr(fonts, "listed", tuple)
    with pytest.raises(UsageError, match=r"fontconfig \(`fc-list`\) is not installed"):
        face("Pine Bald")


def test_a_machine_without_fontconfig_has_an_empty_list(monkeypatch):
    fonts.listed.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    assert fonts.listed() == ()
    fonts.listed.cache_clear()


def test_a_family_of_this_machine_is_the_file_that_fontconfig_names():
    assert face(full()).path.name == "DejaVuSans.ttf"
    assert face(full()).path.parent != BUNDLED


def test_a_face_of_a_collection_is_named_by_its_number(tmp_path):
    both = collection(tmp_path / "two.ttc", BUNDLED / "DejaVuSans.ttf", BUNDLED / "DejaVuSerif.ttf")
    first, second = (lettered("hand", Lettering(font=f"{both}#{k}")) for k in (0, 1))
    assert first.image == lettered("hand", Lettering(font=str(both))).image
    assert first.image == lettered("hand", Lettering(font="DejaVuSans")).image
    assert second.image == lettered("hand", Lettering(font="DejaVuSerif")).image
    assert (second.font, first.font) == ("two#1", "two")
    with pytest.raises(UsageError, match=r"two\.ttc \(face 2\): cannot be used at 32 px"):
        lettered("hand", Lettering(font=f"{both}#2"))


@pytest.mark.parametrize("content", [b"", b"no font at all", b"\x00\x01\x00\x00" + b"\xff" * 400])
def test_a_file_that_is_no_font_is_named(content, tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(content)
    with pytest.raises(UsageError, match=r"font .*broken\.ttf: cannot be used at 32 px: .*Expected a \.ttf"):
        lettered("hand", Lettering(font=str(broken)))


def test_a_font_cut_off_is_an_error_or_draws_what_the_whole_one_draws(tmp_path):
    whole = (BUNDLED / "DejaVuSans.ttf").read_bytes()
    expected = lettered("hand", Lettering(font="DejaVuSans")).image
    broken = 0
    for tenth in range(1, 10):
        part = tmp_path / f"part{tenth}.ttf"
        part.write_bytes(whole[: len(whole) * tenth // 10])
        try:
            assert lettered("hand", Lettering(font=str(part))).image == expected
        except (UsageError, ValueError):
            broken += 1
    assert broken


@pytest.mark.parametrize("name", ["", " ", "x" * 5000, "a\0b", "../nothing.ttf", "~nobody/a.ttf", "#", "a#1", "\ud800"])
def test_odd_names_are_names_that_nobody_knows(name):
    with pytest.raises(UsageError, match="not found"):
        face(name)


def test_a_font_is_opened_once_and_a_replaced_file_anew(tmp_path):
    mine = tmp_path / "mine.ttf"
    mine.write_bytes((BUNDLED / "DejaVuSans.ttf").read_bytes())
    before = lettered("hand", Lettering(font=str(mine)))
    font = typefaces.font(str(mine))
    assert typefaces.typeface(font, 32) is typefaces.typeface(font, 32)
    mine.write_bytes((BUNDLED / "DejaVuSerif.ttf").read_bytes())
    after = lettered("hand", Lettering(font=str(mine)))
    assert after.font_sha256 != before.font_sha256
    assert after.image == lettered("hand", Lettering(font="DejaVuSerif")).image
