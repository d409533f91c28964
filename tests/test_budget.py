"""Budgets: what they count, how they are written, and that two units are two budgets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.interfaces import key_of
from proofglass.types import Budget, Cost
from proofglass.types.budget import SHORT

COST = Cost(forward=5, backward=3, queries=2, tokens_in=70, tokens_out=30, money=0.25, seconds=9.0)


@pytest.mark.parametrize(
    ("text", "amount", "unit", "plain"),
    [
        (200, 200, "passes", 200),
        (2.5, 2.5, "passes", 2.5),
        ("200", 200, "passes", 200),
        ("60 s", 60, "seconds", "60 s"),
        ("60.5s", 60.5, "seconds", "60.5 s"),
        ("500 queries", 500, "queries", "500 queries"),
        ("10000 tokens", 10_000, "tokens", "10000 tokens"),
        ("2.50 USD", 2.5, "money", "2.5 USD"),
        ("1000000 tokens", 1e6, "tokens", "1000000 tokens"),
    ],
)
def test_a_budget_is_read_as_it_is_written(text, amount, unit, plain):
    found = Budget.read(text)
    assert (found.amount, found.unit, found.plain) == (amount, unit, plain)
    assert Budget.read(found.plain) == Budget.read(found) == found


@pytest.mark.parametrize("bad", ["soon", "-1 s", "60 hours", "", "1e3", "nan", "5 % ", None, True, float("nan"), -1])
def test_what_is_no_budget_is_refused(bad):
    with pytest.raises(ValueError, match="budget"):
        Budget.read(bad)


def test_an_unknown_unit_is_refused():
    with pytest.raises(ValueError, match=r"one of passes, queries, seconds, tokens, money.*'hours'"):
        Budget(1, "hours")  # type: ignore[arg-type]


def test_each_unit_counts_its_own():
    counted = {unit: Budget(1, unit).of(COST) for unit in SHORT}
    # forward + 2 x backward + queries; forward + queries; tokens in + out; dollars; seconds are the clock's
    assert counted == {"passes": 13, "queries": 7, "tokens": 100, "money": 0.25, "seconds": 0}
    assert counted["passes"] == COST.equivalents


@given(st.floats(0, 1e6), st.sampled_from(list(SHORT)), st.floats(0, 1e6))
def test_what_is_left_is_what_was_there_without_what_is_gone_and_never_below_zero(amount, unit, seconds):
    left = Budget(amount, unit).left(COST, seconds)
    gone = seconds if unit == "seconds" else Budget(1, unit).of(COST)
    assert left == Budget(max(amount - gone, 0), unit)


def test_equal_amounts_of_two_units_have_two_keys():
    # Regression: 60.5 seconds and 60.5 passes had one key, so that an artefact of the one could serve the other.
    keys = {key_of([Budget(60.5, unit)]) for unit in SHORT} | {key_of([Budget(60.5, unit).plain]) for unit in SHORT}
    assert len(keys) == 2 * len(SHORT)
    assert key_of([Budget(60)]) == key_of([Budget(60.0)])
    assert key_of([Budget(60).plain]) == key_of([60])  # as in manifests of earlier versions


def test_so_many_of_a_cost_are_their_sum():
    assert dataclasses.replace(COST + COST + COST) == COST * 3
    assert Cost() == COST * 0


def test_an_amount_may_come_from_an_array():
    amounts = np.arange(20, 60, 20)
    assert [Budget.read(amount) for amount in amounts] == [Budget(20), Budget(40)]
    assert [type(Budget(amount).amount) for amount in (amounts[0], np.float32(1.5))] == [float, float]
    with pytest.raises(ValueError, match="expected a number, found True"):
        Budget(True)
