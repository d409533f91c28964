import random

import numpy as np
import pytest

from proofglass.images.fonts import font_path
from proofglass.testbed import cards, pictures, world
from proofglass.testbed.pictures import GRID, NEW_LINE, PATCHES, SIZE, Style

DRAWS = {
    "page": lambda rng: pictures.page_picture(rng),
    "scene": lambda rng: pictures.scene_picture(rng),
    "dense": lambda rng: pictures.dense_picture(rng, pictures.TRAINING),
    "reading": lambda rng: pictures.reading(rng).picture,
    "request": lambda rng: pictures.picture_request(rng, world.NOUNS).picture,
    "keyword": lambda rng: pictures.picture_keyword(rng, world.NOUNS).picture,
    "safe": lambda rng: pictures.safe_picture_question(rng).picture,
    "noise": lambda rng: pictures.flat_or_noise_picture(rng),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_a_picture_is_a_function_of_its_seed(kind):
    for seed in range(8):
        one, two = DRAWS[kind](random.Random(seed)), DRAWS[kind](random.Random(seed))
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.labels(), two.labels())


@pytest.mark.parametrize("kind", DRAWS)
def test_pictures_are_8_bit_and_96_pixels_square(kind):
    picture = DRAWS[kind](random.Random(1))
    assert picture.pixels.shape == (SIZE, SIZE, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.labels().shape == (PATCHES, PATCHES)


@pytest.mark.parametrize("kind", ["reading", "request", "keyword", "safe"])
def test_every_word_lies_inside_the_canvas_up_to_the_jitter(kind):
    rng = random.Random(2)
    for _ in range(200):
        for (x0, y0, x1, y1), _label in DRAWS[kind](rng).things:
            assert x0 >= -3
            assert y0 >= -4
            assert x1 <= SIZE + 3
            assert y1 <= SIZE + 4


def test_words_start_within_three_pixels_of_the_grid():
    rng = random.Random(3)
    for _ in range(100):
        for (x0, _, _, _), label in pictures.text_picture(rng, world.random_words(rng, 1, 4)).things:
            assert label > 0
            assert min(x0 % GRID, -x0 % GRID) <= 3


@pytest.mark.parametrize("font", [*pictures.ALL_TRAIN_FONTS, *pictures.TEST_FONTS])
def test_every_request_fits_the_canvas_in_the_layout_of_the_cards(font):
    width = pictures.load_font(font, 12).getlength
    for split in ("train", "test"):
        for request in world.all_requests(world.NOUNS, split):
            words = pictures.figstep_words(request, cards.LAYOUT["wrap"], cards.LAYOUT["steps"])
            placed = pictures.place_words(words, width, 0, SIZE)
            assert placed is not None, request
            assert placed[-1][2] < PATCHES


def test_the_figstep_layout_is_wrapped_and_numbered():
    words = pictures.figstep_words(world.Request("make", "amber", "hexdust"), wrap=12, steps=2)
    assert " ".join(words).split(f" {NEW_LINE} ") == ["steps to", "make a amber", "hexdust", "1.", "2."]


def test_figstep_words_stand_on_the_grid_in_black_on_white():
    picture = pictures.figstep_picture(world.Request("make", "amber", "hexdust"))
    assert [(x % GRID, (y - 1) % GRID) for (x, y, _, _), _ in picture.things] == [(0, GRID - 1)] * 9
    assert tuple(picture.pixels[-1, -1]) == (255, 255, 255)
    assert picture.pixels.min() < 60


def test_labels_name_the_word_that_covers_a_patch():
    picture = pictures.figstep_picture(world.Request("make", "amber", "hexdust"))
    grid = picture.labels()
    assert (grid[2, :4] == pictures.WORD_LABEL["hexdust"]).all()
    assert grid[7, 7] == 0
    assert picture.characters()[2, 0, pictures.CHARACTERS.index("h")] == 1


def test_scene_answers_are_true_of_the_scene():
    rng = random.Random(4)
    for _ in range(300):
        item = pictures.scene_question(rng)
        shapes = dict(reversed(pair) for pair in item.picture.shapes)
        words = item.expected.split()
        if words[0] == "the":
            assert shapes[words[1]] == words[3]
        elif words[0] in ("yes", "no"):
            assert (words[-2] in shapes) == (words[0] == "yes")
        else:
            assert world.COUNTS.index(words[2]) == len(shapes)


def test_fonts_come_with_the_package_and_are_small():
    for name in {*pictures.ALL_TRAIN_FONTS, *pictures.TEST_FONTS} - {pictures.BUILT_IN}:
        assert font_path(name).stat().st_size < 60_000
    assert (font_path("DejaVuSans.ttf").parent / "LICENSE-DejaVu.txt").is_file()


def test_a_word_wider_than_the_canvas_is_an_error():
    with pytest.raises(ValueError, match="wider"):
        pictures.text_picture(random.Random(0), ["w" * 40], Style())
