"""Does the picture matter? Planted both ways, by hand and on the testbed."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from proofglass import api
from proofglass.errors import UsageError
from proofglass.evaluation.leak import leaks, reading
from proofglass.registry import build


def rows(**scores: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"victim": "v", "dataset": how.replace("_", " "), "sample_id": str(k), "cluster": str(k), "s": value}
            for how, values in scores.items()
            for k, value in enumerate(values)
        ],
        schema_overrides={"s": pl.Float64},
    )


def test_the_leak_score_is_the_share_that_stays_the_same() -> None:
    (found,) = leaks(rows(all=[1, 1, 0, 0, 1, None], text_alone=[1, 0, 0, 1, None, 1]), "s", ["text alone"])
    assert found.same.value == 0.5
    assert found.same.n == found.rate.n == found.whole.n == 4
    assert (found.rate.value, found.whole.value, found.difference.value) == (0.5, 0.5, 0)


@pytest.mark.parametrize(
    ("alone", "words", "said"),
    [
        ([1.0] * 80, [1.0] * 80, "the text gives it away"),
        ([0.0] * 80, [1.0] * 80, "the picture matters: .*; the words in it are enough"),
        ([0.0] * 80, [0.0] * 80, "the picture matters: .*; the words in it are not enough"),
        ([1.0] * 60 + [0.0] * 20, [1.0] * 80, "the picture matters"),
        ([1.0] * 3, [1.0] * 3, "undecided"),
        ([None] * 80, [1.0] * 80, "not measured"),
    ],
)
def test_a_sentence_says_what_follows(alone: list[float | None], words: list[float | None], said: str) -> None:
    table = rows(all=[1.0] * len(alone), text_alone=alone, typography_as_text=words)
    assert re.match(said, reading(leaks(table, "s", ["text alone", "typography as text"])))


def test_a_blank_picture_in_its_place_may_change_nothing() -> None:
    table = rows(all=[1.0] * 80, text_alone=[0.0] * 80, blank_picture=[1.0] * 80)
    assert "not what it shows" in reading(leaks(table, "s", ["text alone", "blank picture"]))


def test_on_the_testbed_a_set_that_gives_itself_away_is_known_from_one_whose_picture_matters(tmp_path: Path) -> None:
    said = {}
    for part in ("typographic", "restricted-image"):
        data = build("datasets", "testbed", part=part, n=40)
        found, left_out = api.measure_leak(
            data,
            ["testbed-linear"],
            words="instruction" if part == "typographic" else "",
            out=tmp_path / part,
            progress=False,
        )
        said[part] = {each.how: each for each in found}, left_out
    matters, leaky = said["typographic"][0]["text alone"], said["restricted-image"][0]["text alone"]
    assert matters.same.high is not None
    assert leaky.same.low is not None
    assert matters.same.high < leaky.same.low
    assert reading(list(said["typographic"][0].values())).startswith("the picture matters")
    assert reading(list(said["restricted-image"][0].values())).startswith(("the text gives it away", "undecided"))
    assert "typography as text" in said["restricted-image"][1]


def test_a_set_without_pictures_has_no_leak_score(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question\nWhere is the mill?\n")
    with pytest.raises(
        UsageError, match="data set own: can be shown in no other way than whole: the sample has no pic"
    ):
        api.measure_leak(build("datasets", "own", source=tmp_path / "q.csv"), ["testbed-linear"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
