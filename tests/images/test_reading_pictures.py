"""Picture files from strangers: every good one becomes RGB, every bad one an ImageError that names it."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from PIL import PngImagePlugin

from proofglass import images
from proofglass.errors import ImageError
from proofglass.types import Image

rgb = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def saved(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data, name):
    """The picture in `data`, or the text of the ImageError; any other exception goes through."""
    try:
        return images.decode(data, name)
    except ImageError as error:
        return str(error)


def colours(*rows):
    return np.array(rows, np.uint8)


def gradient(width=40, height=30):
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * x + 3 * y) % 256, (5 * x + 11 * y) % 256, (x * y) % 256], -1).astype(np.uint8)


@given(rgb)
@settings(max_examples=50, deadline=None)
def test_png_gives_the_same_pixels_back(pixels):
    image = Image.from_array(pixels)
    assert images.decode(images.encode(image), "x.png") == image


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=25, deadline=None)
def test_greyscale_becomes_three_equal_channels(grey):
    found = images.decode(saved(Pillow.fromarray(grey)), "grey.png").array()
    assert (found == grey[..., None]).all()


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=25, deadline=None)
def test_sixteen_bit_samples_keep_their_high_byte(grey):
    for kind in ("PNG", "TIFF"):
        found = images.decode(saved(Pillow.fromarray(grey), kind), f"deep.{kind}").array()
        assert (found == (grey >> 8).astype(np.uint8)[..., None]).all()


def test_sixteen_bit_colour_keeps_its_high_byte_too():
    # A 1 x 2 PNG written by hand: 16-bit RGB (colour type 2), samples 0x12AB, 0x00FF, 0xFFFF and 0, 0x8000, 1.
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    body = zlib.compress(b"\0" + struct.pack(">6H", 0x12AB, 0x00FF, 0xFFFF, 0, 0x8000, 1))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    assert images.decode(data, "deep.png").array().tolist() == [[[0x12, 0, 0xFF], [0, 0x80, 0]]]


def test_transparency_is_laid_on_white():
    # red at alpha 0, 255 and 128: white, red, and 255 * 127/255 + 0 * 128/255 = 127 in green and blue
    half = Pillow.fromarray(colours([[255, 0, 0, 0], [255, 0, 0, 255], [255, 0, 0, 128]]), "RGBA")
    found = images.decode(saved(half), "alpha.png").array()[0].tolist()
    assert found == [[255, 255, 255], [255, 0, 0], [255, 127, 127]]


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white():
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    assert images.decode(saved(picture), "p.png").array()[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    found = images.decode(saved(picture, transparency=1), "p.png").array()[0].tolist()
    assert found == [[10, 20, 30], [255, 255, 255]]


def test_a_transparent_colour_of_an_rgb_file_becomes_white():
    picture = Pillow.fromarray(colours([[1, 2, 3], [9, 9, 9]]))
    found = images.decode(saved(picture, transparency=(1, 2, 3)), "key.png").array()[0].tolist()
    assert found == [[255, 255, 255], [9, 9, 9]]


def test_cmyk_becomes_rgb():
    picture = Pillow.new("CMYK", (4, 4), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    found = images.decode(saved(picture, "TIFF"), "ink.tif").array()
    assert (found == [255, 0, 0]).all()
    photo = images.decode(saved(picture, "JPEG", quality=95), "ink.jpg").array().astype(int)
    assert np.abs(photo - [255, 0, 0]).max() <= 4


def test_the_first_frame_of_an_animation_counts():
    frames = [Pillow.new("RGB", (3, 2), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for kind in ("GIF", "WEBP", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        found = images.decode(data, f"film.{kind}").array()
        assert (found == [255, 0, 0]).all(), kind


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (1, 2)), (6, (0, 1)), (8, (2, 0))])
def test_exif_rotation_is_applied(orientation, corner):
    # 2 x 3 (H x W), only the top left pixel black. 3: half a turn; 6: a quarter turn clockwise; 8: anticlockwise.
    pixels = np.full((2, 3, 3), 255, np.uint8)
    pixels[0, 0] = 0
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    found = images.decode(saved(Pillow.fromarray(pixels), exif=exif), "turned.png").array()
    assert np.argwhere(found[..., 0] == 0).tolist() == [list(corner)]


def test_exif_rotation_is_applied_to_sixteen_bit_pictures():
    grey = np.full((2, 3), 0xFFFF, np.uint16)
    grey[0, 0] = 0
    exif = Pillow.Exif()
    exif[0x0112] = 6
    found = images.decode(saved(Pillow.fromarray(grey), exif=exif), "turned.png").array()
    assert found.shape == (3, 2, 3)
    assert np.argwhere(found[..., 0] == 0).tolist() == [[0, 1]]


@pytest.mark.parametrize("height", [images.STRIP, images.STRIP + 1, 2 * images.STRIP - 1, 3 * images.STRIP])
def test_a_picture_that_is_read_in_strips_is_whole(height):
    pixels = gradient(5, height)
    assert np.array_equal(images.decode(saved(Pillow.fromarray(pixels)), "tall.png").array(), pixels)


def test_one_pixel_is_a_picture():
    found = images.decode(saved(Pillow.new("1", (1, 1), 1)), "dot.png")
    assert (found.width, found.height, found.array().tolist()) == (1, 1, [[[255, 255, 255]]])


def test_the_extension_is_not_believed(tmp_path):
    path = tmp_path / "really.png"
    path.write_bytes(saved(Pillow.fromarray(gradient()), "WEBP", lossless=True))
    assert images.read(path) == Image.from_array(gradient())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_an_error_or_the_whole_picture_never_half_of_it(kind):
    data = saved(Pillow.fromarray(gradient()), kind)
    whole = images.decode(data, "whole")
    ends = range(0, len(data), max(1, len(data) // 150))
    found = [decoded(data[:end], "cut.file") for end in ends]
    assert all(answer == whole for answer in found if isinstance(answer, Image))
    complaints = [answer for answer in found if isinstance(answer, str)]
    assert all(text.startswith("cut.file: ") and "\n" not in text for text in complaints)
    assert len(complaints) > 0.9 * len(ends)


def test_a_truncated_png_names_the_file_and_the_byte(tmp_path):
    path = tmp_path / "cut.png"
    data = saved(Pillow.fromarray(gradient(200, 200)))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=rf"cut\.png: PNG truncated at byte {len(data) // 2}"):
        images.read(path)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_picture_or_an_image_error(junk, place, value):
    flipped = bytearray(saved(Pillow.fromarray(gradient(6, 5))))
    flipped[place % len(flipped)] = value
    for data in (junk, b"\x89PNG\r\n\x1a\n" + junk, bytes(flipped)):
        found = decoded(data, "x")
        assert found.startswith("x: ") if isinstance(found, str) else found.array().dtype == np.uint8


def png_header(width, height):
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + body))
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + body + crc
        + struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    )  # fmt: skip


@pytest.mark.parametrize("size", [(50_000, 50_000), (9_000, 9_000), (40_000, 1), (100_000, 100_000)])
def test_a_decompression_bomb_is_refused_before_a_pixel_is_decoded(size, monkeypatch):
    def decoded(*_):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decoded)
    with pytest.raises(ImageError, match=r"bomb\.png: .*limit of 67108864 pixels and 32768 px a side"):
        images.decode(png_header(*size), "bomb.png")


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 99)
    with pytest.raises(ImageError, match="100 bytes, expected at most 99"):
        images.read(path)


def test_text_folders_and_missing_files_are_one_line_that_names_them(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.png: not a picture.*expected one of PNG"):
        images.read(tmp_path / "notes.png")
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read: No such file"):
        images.read(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        images.read(tmp_path)


def test_postscript_is_never_handed_to_another_program():
    with pytest.raises(ImageError, match="not a picture"):
        images.decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "x.eps")


def test_float_and_32_bit_samples_have_no_range_to_map():
    with pytest.raises(ImageError, match=r"f\.tif: float samples"):
        images.decode(saved(Pillow.new("F", (2, 2), 0.5), "TIFF"), "f.tif")
    with pytest.raises(ImageError, match=r"i\.tif: 32-bit samples"):
        images.decode(saved(Pillow.new("I", (2, 2), 70_000), "TIFF"), "i.tif")


def test_a_picture_is_checked_when_read_and_read_again_when_looked_at(tmp_path):
    path = tmp_path / "a.png"
    images.write(Image.from_array(gradient()), path)
    image = images.read(path)
    assert image == Image.from_array(gradient())
    assert (image.array() == gradient()).all()

    changed, gone = images.read(path), images.read(path)
    images.write(Image.from_array(255 - gradient()), path)
    with pytest.raises(ImageError, match="has changed since"):
        changed.array()
    path.unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        gone.array()


def test_writing_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.png"
    images.write(Image.from_array(gradient()), path)
    before = path.read_bytes()

    def disk_full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "encode", disk_full)
    with pytest.raises(OSError, match="No space left"):
        images.write(Image.from_array(255 - gradient()), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
