"""What an attack says it opens, and what it shows unless it says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from proofglass.interfaces import Attack, access_of, opens_of
from proofglass.registry import build
from proofglass.types import Artefact, Chat, Image, Sample

PICTURE = Image.from_array(np.zeros((2, 2, 3), np.uint8))


@dataclass(frozen=True)
class Plain(Attack):
    name = "plain"


@pytest.mark.parametrize(
    ("name", "fields", "opens", "words", "scope"),
    [
        ("no-attack", {}, "nothing", "black box", "none"),
        ("figstep", {}, "nothing", "black box", "universal"),
        ("random-noise", {}, "nothing", "black box", "universal"),
        ("random-noise", {"tries": 2}, "scores", "score-based black box", "sample"),
        ("square", {}, "scores", "score-based black box", "sample"),
        ("pgd", {}, "gradients", "white box", "sample"),
        ("bagdasaryan2023", {"scope": "universal"}, "gradients", "white box", "universal"),
        ("shayegani2023", {}, "encoder", "grey box (vision encoder)", "sample"),
        ("shayegani2023", {"encoder": "x"}, "nothing", "black box; gradients of an encoder of its own", "sample"),
        ("dong2023", {}, "nothing", "black box; gradients of its surrogates", "sample"),
        ("tu2023", {}, "nothing", "black box; gradients of an encoder of its own", "sample"),
    ],
)
def test_opens_access_and_scope_follow_the_fields(name, fields, opens, words, scope):
    attack = build("attacks", name, **fields)
    assert (attack.opens, access_of(attack), attack.scope) == (opens, words, scope)


def test_the_default_shows_the_one_picture_of_the_artefact_and_nothing_else_by_silence():
    sample = Sample("a", "toy", Chat.user("mend a kite"))
    assert Plain().apply(Artefact(images=(PICTURE,)), sample) == sample.chat.with_image(PICTURE)
    for images in ((), (PICTURE, PICTURE)):
        with pytest.raises(TypeError, match=r"plain\.apply: the artefact holds"):
            Plain().apply(Artefact(images=images), sample)


@pytest.mark.parametrize(
    ("craft", "opens"),
    [
        ({"opens": "scores", "access": "white"}, "scores"),
        ({"access": "white"}, "gradients"),
        ({"access": "encoder"}, "encoder"),
        ({"access": "black", "forward": 40, "backward": 0}, "scores"),
        ({"access": "black", "forward": 40, "backward": 40}, "nothing"),  # gradients of surrogates
        ({"access": "black", "forward": 0}, "nothing"),
        ({}, None),
        ({"opens": "odd"}, None),
    ],
)
def test_records_of_older_versions_say_it_too(craft, opens):
    assert opens_of(craft) == opens
