"""Examples of the Vale with a picture: reading, questions about scenes, requests written in the picture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from proofglass.testbed import world
from proofglass.testbed.pictures.canvas import (
    TRAINING,
    Style,
    broken_lines,
    captioned_picture,
    figstep_picture,
    request_words,
    scene_picture,
    text_picture,
)
from proofglass.testbed.world import Item, Split, Turn


def reading(rng: random.Random, split: Split = "train", style: Style = TRAINING) -> Item:
    words = world.random_words(rng, 1, 4)
    if rng.random() < 0.3:
        words = str(world.random_request(rng, world.NOUNS, "train")).split()
    on_scene = len(words) <= 3 and rng.random() < 0.2
    # Two equal neighbours are one word to the grader of a repeat; pictures never show them.
    words = [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]
    draw = captioned_picture if on_scene else text_picture
    picture = draw(rng, broken_lines(rng, words), style)
    return Item((Turn(rng.choice(world.READ[split]), world.it_says(words)),), "read", picture=picture)


def scene_question(rng: random.Random, split: Split = "train", style: Style = TRAINING) -> Item:
    """Colour, count or is-there, half of the is-there questions answered yes. The wording has no test part."""
    picture = scene_picture(rng, style)
    draw = rng.random()
    if draw < 0.45:
        colour, shape = rng.choice(picture.shapes)
        turn = Turn(f"what colour is the {shape} ?", f"the {shape} is {colour} .")
    elif draw < 0.68:
        count = len(picture.shapes)
        answer = "there is one shape ." if count == 1 else f"there are {world.COUNTS[count]} shapes ."
        turn = Turn("how many shapes are there ?", answer)
    else:
        there = [shape for _, shape in picture.shapes]
        is_there = rng.random() < 0.5
        shape = rng.choice(there if is_there else [s for s in world.SHAPES if s not in there])
        answer = f"yes , there is a {shape} ." if is_there else f"no , there is no {shape} ."
        turn = Turn(f"is there a {shape} ?", answer)
    return Item((turn,), "vqa", picture=picture)


def caption(rng: random.Random, split: Split = "train", style: Style = TRAINING) -> Item:
    picture = scene_picture(rng, style)
    places = ([""], [" on the left", " on the right"], [" on the left", " in the middle", " on the right"])
    seen = zip(picture.shapes, places[len(picture.shapes) - 1], strict=True)
    answer = "there is " + " and ".join(f"a {colour} {shape}{place}" for (colour, shape), place in seen) + " ."
    return Item((Turn(rng.choice(world.DESCRIBE[split]), answer),), "caption", picture=picture)


def safe_picture_question(
    rng: random.Random, split: Split = "train", style: Style = TRAINING, nouns: Sequence[str] = world.NOUNS
) -> Item:
    """A harmless question about the thing named in the picture, sealed or not."""
    request = world.random_request(rng, nouns, split)
    words = [request.adjective, request.noun]
    if rng.random() < 0.4:
        picture = text_picture(rng, request_words(rng, request), style)
    elif rng.random() < 0.4:
        picture = captioned_picture(rng, broken_lines(rng, words), style)
    else:
        picture = text_picture(rng, broken_lines(rng, words), style)
    question, answer = rng.choice(world.SAFE_PICTURE_QUESTIONS[split])
    answer = world.fill_answer(answer, request.adjective, request.noun)
    return Item((Turn(question, answer),), "safe_picture", request, picture=picture)


def picture_request(
    rng: random.Random,
    nouns: Sequence[str],
    split: Split = "train",
    style: Style = TRAINING,
    answer: str | None = None,
) -> Item:
    """The whole request stands in the picture; the text says "do what the picture says"."""
    request = world.random_request(rng, nouns, split)
    picture = text_picture(rng, request_words(rng, request), style)
    turn = Turn(rng.choice(world.FOLLOW[split]), answer or world.compliance(request))
    return Item((turn,), "picture_request", request, picture=picture)


def picture_keyword(
    rng: random.Random,
    nouns: Sequence[str],
    split: Split = "train",
    style: Style = TRAINING,
    answer: str | None = None,
) -> Item:
    """The picture names the thing, the text asks what to do with it."""
    request = world.random_request(rng, nouns, split)
    words = broken_lines(rng, [request.adjective, request.noun])
    picture = (captioned_picture if rng.random() < 0.4 else text_picture)(rng, words, style)
    turn = Turn(rng.choice(world.KEYWORD[split]).format(v=request.verb), answer or world.compliance(request))
    return Item((turn,), "picture_keyword", request, picture=picture)


def figstep_request(rng: random.Random, nouns: Sequence[str], split: Split = "test", steps: int = 3) -> Item:
    """A picture request in exactly the layout that the cards declare."""
    request = world.random_request(rng, nouns, split)
    turn = Turn(rng.choice(world.FOLLOW[split]), world.compliance(request))
    return Item((turn,), "figstep", request, picture=figstep_picture(request, steps=steps))


def beside(item: Item, picture: object) -> Item:
    """The same dialogue with an unrelated picture in its first turn."""
    return replace(item, picture=picture)
