"""No attack takes a radius in grey levels, or one that holds no picture but the clean one: all say so when built."""

from __future__ import annotations

import dataclasses

import pytest

from proofglass.attacks import CONTENTS
from proofglass.registry import build, entry

RADII = ("epsilon", "patch_epsilon", "radius")
FIELDS = [
    (name, field.name)
    for name in CONTENTS
    for field in dataclasses.fields(entry("attacks", name).load())
    if field.name in RADII
]


def test_attacks_with_a_radius_are_found():
    assert len(FIELDS) >= 13


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_radius_that_no_picture_can_have_is_refused_when_the_attack_is_built(name, field):
    with pytest.raises(ValueError, match=rf"{field}: 0\.00156863 is 0\.4 of a grey level"):
        build("attacks", name, **{field: 0.4 / 255})
    with pytest.raises(ValueError, match=f"{field}: expected"):
        build("attacks", name, **{field: -1})
    if field != "radius":  # an l2 norm may well be 16
        with pytest.raises(ValueError, match=rf"{field}: .*write 16/255"):
            build("attacks", name, **{field: 16})


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_an_l2_radius_is_checked_as_one(name):
    build("attacks", name, norm="l2", epsilon=16)
    with pytest.raises(ValueError, match=r"epsilon: .* of a grey level"):
        build("attacks", name, norm="l2", epsilon=0.003)
