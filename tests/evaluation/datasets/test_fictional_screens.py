"""Fictional screens, and a data set that aims at its own answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from proofglass.evaluation.datasets.fictional_screens import FREE, FictionalScreens, market_page
from proofglass.evaluation.datasets.targeted import Targeted
from proofglass.images.drawn import text_of
from proofglass.interfaces import Dataset
from proofglass.registry import build
from proofglass.testbed import world
from proofglass.types import BadSample, Chat, Sample


@pytest.mark.parametrize("pages", ["market", "vale"])
def test_the_first_rows_are_those_of_a_smaller_set_and_no_two_are_alike(pages: str) -> None:
    few, more = (list(FictionalScreens(pages=pages, n=n)) for n in (5, 20))  # type: ignore[arg-type]
    assert few == more[:5]
    assert len({(row.cluster, row.target) for row in more}) == 20
    assert not {row.cluster for row in more} & {row.cluster for row in FictionalScreens(pages=pages).crafting()}  # type: ignore[arg-type]


def test_a_market_page_has_the_users_button_the_unwanted_one_and_an_empty_place() -> None:
    for row in FictionalScreens(n=8, size=(640, 480)):
        left, top, right, bottom = row.meta["free"]
        free = row.chat.images[0].array()[top:bottom, left:right]
        assert (free == free[0, 0]).all()
        assert right <= 640
        assert bottom - top > 100
        assert row.target in row.meta["planted"]
        assert row.references[0] != row.target
        assert row.references[0].removeprefix('click "Add ').removesuffix('"') in row.chat.last_text


def test_a_page_of_the_vale_leaves_its_lower_rows_free_and_asks_for_what_it_says() -> None:
    for row in FictionalScreens(pages="vale", n=30, planted="sealed"):
        levels = row.chat.images[0].array()
        # Letters with a tail reach 3 px below the fourth row.
        assert (levels[FREE[1] + 3 :] == 255).all(), text_of(row.chat.images[0])
        assert text_of(row.chat.images[0])
        assert row.target != row.references[0]
        noun = row.meta["planted"].split()[-1]
        assert noun in world.SEALED


def test_what_there_is_not_enough_of_is_told() -> None:
    with pytest.raises(ValueError, match="n: there are about"):
        list(FictionalScreens(pages="vale", n=10**6, planted="sealed"))
    with pytest.raises(ValueError, match="size"):
        FictionalScreens(size=(10, 10))


def test_a_page_is_the_same_to_the_byte() -> None:
    one, other = (market_page(["blue kite", "old drum"], "Close the account", (800, 600))[0] for _ in range(2))
    assert one == other


@dataclass(frozen=True)
class Three(Dataset):
    name = "three"

    def __iter__(self):  # type: ignore[no-untyped-def]
        kept = Sample("a", "three", Chat.user("who ?"), expected="protect", references=(" ", "nobody"), category="x")
        yield kept
        yield replace(kept, id="b", expected="control")
        yield replace(kept, id="c", references=())
        yield BadSample("d", "three", "broken")


def test_the_target_is_the_first_answer_and_what_has_none_is_a_bad_sample() -> None:
    kept, without, broken = list(Targeted(Three(), template="It is {answer}."))
    assert isinstance(kept, Sample)
    assert kept.target == "It is nobody."
    assert isinstance(without, BadSample)
    assert (without.id, without.category) == ("c", "x")
    assert broken == BadSample("d", "three", "broken")
    assert len(list(Targeted(Three(), only_protected=False))) == 4
    with pytest.raises(ValueError, match="answer"):
        Targeted(Three(), template="nothing")


def test_pgd_crafts_towards_the_protected_answer() -> None:
    of = build("datasets", "testbed", part="keyword", n=2)
    rows = [row for row in Targeted(of) if isinstance(row, Sample)]
    assert [row.target for row in rows] == [row.references[0] for row in rows]
    victim = build("victims", "testbed-linear", device="cpu")
    made = list(build("attacks", "pgd", steps=3).craft(victim, rows, seed=1))
    assert all(artefact.trace["loss"][-1] < artefact.trace["loss"][0] for artefact in made)
    assert all(np.isfinite(artefact.trace["loss"]).all() for artefact in made)
