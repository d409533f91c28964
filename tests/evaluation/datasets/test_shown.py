"""A data set with less to see: ids and questions stay, and what cannot be shown says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from proofglass import registry
from proofglass.evaluation.datasets.shown import GREY, WAYS, Shown
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Image, Sample

PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8))


@dataclass(frozen=True)
class Two(Dataset):
    name = "two"

    def __iter__(self) -> Iterator[Sample | BadSample]:
        told = {"description": "a mill", "words": "closed"}
        yield Sample("seen", "two", Chat.user(PICTURE, "Is it open?").with_system("Be brief."), meta=told)
        yield Sample("read", "two", Chat.user("Is it open?"))
        yield BadSample("lost", "two", "no file")


def shown(how: str, **more: str) -> list[Sample | BadSample]:
    return list(Shown(Two(), how, **more))  # type: ignore[arg-type]


def test_the_whole_is_the_data_set_itself() -> None:
    assert shown("all") == list(Two())


@pytest.mark.parametrize("how", WAYS)
def test_ids_stay_and_bad_rows_stay_bad(how: str) -> None:
    rows = shown(how, words="words")
    assert [row.id for row in rows] == ["seen", "read", "lost"]
    assert rows[2] == BadSample("lost", "two", "no file")


def test_each_way_shows_what_it_says() -> None:
    def of(how: str, **more: str) -> Chat:
        row = shown(how, **more)[0]
        assert isinstance(row, Sample)
        return row.chat

    assert of("text alone") == Chat.user("Is it open?").with_system("Be brief.")
    (grey,) = of("blank picture").images
    assert (grey.width, grey.height) == (6, 5)
    assert set(grey.array().ravel()) == {GREY}
    assert of("caption").messages[1].parts == ("[The picture: a mill]", "Is it open?")
    assert of("typography as text", words="words").messages[1].parts == ("[The picture: closed]", "Is it open?")
    assert of("picture alone").messages[1].parts == (PICTURE,)
    assert of("picture alone").system == "Be brief."


@pytest.mark.parametrize("how", [way for way in WAYS if way != "all"])
def test_a_sample_without_a_picture_has_nothing_to_take_away(how: str) -> None:
    read = shown(how, words="words")[1]  # were it shown as it is, it would be the same each way: a leak that is none
    assert isinstance(read, BadSample)
    assert read.reason == f"{how}: the sample has no picture"


def test_what_cannot_be_shown_costs_the_sample_and_says_why() -> None:
    seen, read, _ = shown("picture alone")
    assert isinstance(seen, Sample)
    assert isinstance(read, BadSample)
    assert "the sample has no picture" in read.reason
    bare = shown("caption", caption="alt")[0]
    assert isinstance(bare, BadSample)
    assert "meta has no text 'alt' about it" in bare.reason
    assert "name the field" in shown("typography as text")[0].reason  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="wording: expected"):
        Shown(Two(), "caption", wording="a picture")


@pytest.mark.parametrize("name", ["licence", "judges", "metrics", "borderline"])
def test_what_a_data_set_says_of_itself_its_wrappers_say(name: str, tmp_path: Path) -> None:
    for inner in (registry.build("datasets", "xstest", root=tmp_path), registry.build("datasets", "testbed")):
        for around in (registry.build("datasets", each, of=inner) for each in ("shown", "subset", "targeted")):
            assert getattr(around, name) == getattr(inner, name)
            assert getattr(registry.build("datasets", "subset", of=around), name) == getattr(inner, name)
