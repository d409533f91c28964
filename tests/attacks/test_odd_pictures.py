"""Whatever a picture file holds, an attack on it works on 8-bit RGB at the victim's size, or says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from proofglass import images
from proofglass.errors import ImageError
from proofglass.registry import build as plug
from proofglass.types import Chat, Sample
from proofglass.victims.llava import Llava
from tiny_models import SIDE, build

LEVELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return Llava(build("llava", tmp_path_factory.mktemp("tiny") / "llava"), device="cpu")


def greyscale(path):
    Pillow.fromarray(LEVELS[..., 0]).save(path)


def sixteen_bit(path):
    Pillow.fromarray(LEVELS[..., 0].astype(np.uint16) * 257).save(path)


def palette(path):
    Pillow.fromarray(LEVELS).quantize(16).save(path)


def alpha(path):
    Pillow.fromarray(np.dstack([LEVELS, LEVELS[..., :1]]), "RGBA").save(path)


def animated(path):
    frames = [Pillow.fromarray(np.full((20, 30, 3), level, np.uint8)) for level in (40, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:], format="GIF")


def rotated_by_exif(path):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(LEVELS).save(path, format="JPEG", exif=exif)


def cmyk(path):
    Pillow.fromarray(LEVELS).convert("CMYK").save(path, format="JPEG")


def one_pixel(path):
    Pillow.fromarray(LEVELS[:1, :1]).save(path)


def very_wide(path):
    Pillow.fromarray(np.repeat(LEVELS[:1], 40, 1)).save(path)


@pytest.mark.parametrize(
    "write", [greyscale, sixteen_bit, palette, alpha, animated, rotated_by_exif, cmyk, one_pixel, very_wide]
)
def test_an_attack_starts_from_any_kind_of_picture_file(write, victim, tmp_path):
    write(tmp_path / "odd.png")
    picture = images.read(tmp_path / "odd.png")
    sample = Sample("s", "odd", Chat.user(picture, "what is this ?"), target="a kite")
    (artefact,) = plug("attacks", "pgd", epsilon=8 / 255, steps=3).craft(victim, [sample], seed=1)
    attacked, clean = artefact.images[0].array(), artefact.clean.array()
    assert attacked.shape == clean.shape == (SIDE, SIDE, 3)
    assert attacked.dtype == np.uint8
    assert 0 < np.abs(attacked.astype(int) - clean).max() <= 8
    images.write(artefact.images[0], tmp_path / "attacked.png")
    assert images.read(tmp_path / "attacked.png") == artefact.images[0]


def test_a_file_that_is_no_picture_gives_one_line_that_names_it(tmp_path):
    (tmp_path / "odd.png").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"odd\.png") as error:
        images.read(tmp_path / "odd.png")
    assert "\n" not in str(error.value)
