"""First query, whole budget, and what more tries would bring, from the reasons of replies."""

from __future__ import annotations

import polars as pl
import pytest

from proofglass.evaluation.metrics.searches import BestOfNForecast, SearchSuccess
from proofglass.evaluation.statistics.forecast import forecast
from proofglass.interfaces import CELL
from proofglass.registry import build
from proofglass.types.tries import Tries


def rows(*reasons: str | None, outcomes: dict[int, str] | None = None) -> pl.DataFrame:
    n = len(reasons)
    return pl.DataFrame(
        {
            "reason": list(reasons),
            "outcome": [(outcomes or {}).get(k, "ok") for k in range(n)],
            "cluster": [f"c{k}" for k in range(n)],
            "sample_id": [f"s{k}" for k in range(n)],
        },
        schema_overrides={"reason": pl.String},
    )


FIRST, LATER, NEVER = Tries(1, 1, 1).told(), Tries(4, 1, 4).told(), Tries(9).told()


def test_first_query_and_whole_budget_are_told_apart() -> None:
    frame = rows(FIRST, f"gate; {LATER}", NEVER, LATER)
    one, every = SearchSuccess().over(frame), SearchSuccess(at="any query").over(frame)
    assert (one.value, one.n, every.value) == (0.25, 4, 0.75)
    assert one.low is not None
    assert one.high is not None
    assert 0 < one.low < 0.25 < one.high < 1


def test_failed_rows_other_rows_and_searches_without_a_verdict_are_left_out() -> None:
    frame = rows(FIRST, FIRST, None, "no search", Tries(0).told(), outcomes={1: "error"})
    assert SearchSuccess().over(frame).n == 1
    assert BestOfNForecast().over(frame).n == 1


@pytest.mark.parametrize("metric", [SearchSuccess(), BestOfNForecast()])
def test_a_cell_without_a_search_has_no_number(metric: SearchSuccess | BestOfNForecast) -> None:
    for frame in (rows(), rows("x", None)):
        found = metric.over(frame)
        assert (found.value, found.reason) == (None, "no reply was brought by a search that counts its tries")


@pytest.mark.parametrize("metric", [SearchSuccess(), BestOfNForecast()])
def test_only_cells_of_a_search_have_a_row(metric: SearchSuccess | BestOfNForecast) -> None:
    frame = rows("plain", FIRST, None, f"down; {Tries(0).told()}", outcomes={3: "error"}).with_columns(
        *(pl.lit("x").alias(name) for name in CELL if name != "attack"), attack=pl.Series(["a", "b", "a", "c"])
    )
    found = {group[CELL.index("attack")]: measure for group, measure in metric.over_groups(frame)}
    assert set(found) == {"b", "c"}
    assert found["b"].n == 1
    assert found["c"].value is None


def test_the_forecast_is_at_ten_times_the_tries_and_says_how_it_came_about() -> None:
    made = [Tries(k, 1, k) if k < 20 else Tries(20) for k in (1, 2, 4, 8, 16, 20, 20, 20)]
    found = BestOfNForecast().over(rows(*(each.told() for each in made)))
    ahead = forecast(made, 200, [f"c{k}" for k in range(8)])
    assert ahead is not None
    assert (found.value, found.low, found.high, found.n) == (ahead.value, ahead.low, ahead.high, 8)
    assert found.reason.startswith("at 200 tries; -log(rate) = ")
    assert found.reason.endswith("; 0.625 after 20")


def test_the_order_of_rows_does_not_matter() -> None:
    frame = rows(FIRST, LATER, NEVER, NEVER, LATER)
    assert BestOfNForecast().over(frame[::-1]) == BestOfNForecast().over(frame)


def test_a_cell_where_nothing_succeeds_says_that_no_law_was_fitted() -> None:
    found = BestOfNForecast(times=2).over(rows(NEVER, NEVER))
    assert "at 18 tries; no power law could be fitted; 0.000 after 9" in found.reason
    assert found.low is not None
    assert found.low < 0.01


def test_names_stand_for_the_two_questions() -> None:
    assert build("metrics", "first-query-success").column == "success at the first query"
    assert build("metrics", "best-of-budget-success").at == "any query"
