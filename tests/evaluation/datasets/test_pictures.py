"""Where pictures lie: a folder, a zip, the table; by content, in any case, and never out of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from proofglass import images
from proofglass.errors import ImageError, UsageError
from proofglass.evaluation.datasets.pictures import InFolder, InZip, picture_of
from proofglass.types import Image


@pytest.fixture
def picture() -> Image:
    return Image.from_array(np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8))


def test_a_name_is_found_in_another_case_unless_two_would_do(tmp_path: Path, picture: Image) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "One.JPG").write_bytes(images.encode(picture))  # a PNG, whatever it is called
    assert InFolder(tmp_path).read("a/one.jpg") == picture
    (tmp_path / "a" / "ONE.jpg").write_bytes(images.encode(picture))
    with pytest.raises(ImageError, match="No such file"):
        InFolder(tmp_path).read("a/one.jpg")
    assert InFolder(tmp_path).read("a/ONE.jpg") == picture


def test_a_zip_is_read_without_being_unpacked(tmp_path: Path, picture: Image) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in/one.PNG", images.encode(picture))
        archive.writestr("in/broken.png", b"no picture")
        archive.writestr("in/", b"")
    assert InZip(path, "in").read("one.png") == picture
    assert InZip(path).names() == ["in/broken.png", "in/one.PNG"]
    for name, reason in {
        "two.png": "holds no 'in/two.png'",
        "broken.png": "not a picture",
        "../one.png": "holds no",
    }.items():
        with pytest.raises(ImageError, match=reason):
            InZip(path, "in").read(name)
    (tmp_path / "none.zip").write_bytes(b"PK no zip")
    with pytest.raises(UsageError, match=r"none\.zip: no zip file that can be read"):
        InZip(tmp_path / "none.zip").read("one.png")


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_broken_anywhere_costs_a_picture_or_is_one_error(
    tmp_path: Path, picture: Image, packing: int
) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name in ("é1.png", "é2.png"):  # not ASCII: such names are decoded when the list is read
            archive.writestr(name, images.encode(picture))
    whole, told = path.read_bytes(), list[str]()
    for place in range(0, len(whole), 3):
        broken = tmp_path / f"{place}.zip"
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            InZip(broken).read("é1.png")
        except (ImageError, UsageError) as error:
            told.append(str(error))
    assert all(".zip:" in reason for reason in told)
    assert len(told) > len(whole) // 30


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", b"\0" * 3_000_000)
    monkeypatch.setattr("proofglass.evaluation.datasets.pictures.MAX_BYTES", 1_000_000)
    with pytest.raises(ImageError, match="unpacks to 3000000 bytes, expected at most 1000000"):
        InZip(path).read("bomb.png")


def test_a_table_may_hold_the_picture_itself(tmp_path: Path, picture: Image) -> None:
    images.write(picture, tmp_path / "one.png")
    data = images.encode(picture)
    for value in ("one.png", data, {"bytes": data, "path": None}, {"bytes": None, "path": "one.png"}):
        assert picture_of(value, InFolder(tmp_path), "row 1") == picture
    for value in (None, 3, {}, "", [data]):
        with pytest.raises(ImageError, match="row 1: expected the name of a picture or its bytes"):
            picture_of(value, InFolder(tmp_path), "row 1")


def test_a_packed_picture_keeps_its_file_and_is_the_same_again(picture: Image) -> None:
    import io

    buffer = io.BytesIO()
    Pillow.fromarray(picture.array()).save(buffer, "WEBP", lossless=True)
    found = images.packed(buffer.getvalue(), "x")
    assert found == picture
    np.testing.assert_array_equal(found.array(), picture.array())
    with pytest.raises(ImageError, match="x: not a picture"):
        images.packed(b"x", "x")
