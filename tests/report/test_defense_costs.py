"""The section "Defenses": calls, tokens, time, false alarms and balance; a headline of many defenses."""

from __future__ import annotations

import json

import pytest

from proofglass.report import write
from report.fake_run import answers
from report.test_defenses import BENIGN, FIRED, HELD, ask, attacked, row_of, section
from report.test_headline import sentences


def test_extra_calls_and_tokens_are_means_over_the_pairs(store):
    helped = json.dumps({"k1": {"queries": 2, "tokens_in": 30, "tokens_out": 3}, "k2": {"queries": 1}})
    ask(store, 9, 10)
    ask(store, 9, 10, defense="wall", columns={"queries": 3, "tokens_in": 100, "tokens_out": 2, "helpers": helped})
    costs = row_of(store)["costs"]
    assert [costs[f"extra_{name}"] for name in ("queries", "tokens_in", "tokens_out")] == [2, 60, -10]
    assert (costs["extra_helper_queries"], costs["extra_helper_tokens"], costs["helper_queries"]) == (3, 33, 3)
    told = section(store)
    for said_of in ("calls +2", "tokens in +60", "tokens out -10", "helpers' calls +3", "calls 1"):
        assert said_of in told


def test_time_is_a_share_of_its_cells_and_volatile(store):
    ask(store, 9, 10, seconds=2.0)
    ask(store, 9, 10, defense="wall", seconds=5.0)
    attacked(store, 9, 10, "wall", seconds=100.0)  # no such cell without the defense: no part of the ratio
    assert row_of(store)["seconds"] == {"seconds": 0.5, "without": 0.2, "ratio": 2.5}
    told = json.loads((write(store).parent / "report.json").read_text())
    assert "defense_seconds" not in told["tables"]
    (_, row) = told["volatile"]["tables"]["defense_seconds"]["rows"]
    assert (row["defense"], row["ratio"]) == ("wall", 2.5)


def test_false_alarms_are_gates_that_fired_on_what_is_harmless(store):
    ask(store, 9, 10)
    rows = answers(9, 10, decisions=HELD)
    for row in rows[:3]:
        row["decisions"] = FIRED
    rows[9]["decisions"] = "[]"
    store.add(rows, attack="no-attack", dataset=BENIGN, defense="wall", expected="comply")
    alarms = row_of(store)["false_alarms"]
    assert (alarms["value"], alarms["n"]) == (0.3, 10)
    assert row_of(store, "none")["false_alarms"]["value"] is None


def test_a_reason_that_quotes_a_decision_is_no_decision(store):
    quoted = json.dumps([{"defense": "wall", "reason": '"fired": true', "fired": False}])
    ask(store, 9, 10)
    ask(store, 9, 10, defense="wall", columns={"decisions": quoted})
    assert row_of(store)["false_alarms"]["value"] == 0


def test_balance_is_the_harmonic_mean_of_the_two_sides(store):
    for defense, broken, answered in (("none", 80, 100), ("wall", 20, 60)):
        attacked(store, broken, 100, defense)
        ask(store, answered, 100, defense=defense)
    balance = row_of(store)["balance"]
    assert balance["value"] == pytest.approx(2 * 0.8 * 0.6 / 1.4)
    assert (balance["n"], balance["low"] < balance["value"] < balance["high"]) == (200, True)


def test_what_an_attack_asks_itself_is_no_cost_of_the_defense(store):
    ask(store, 9, 10, columns={"queries": 1})
    attacked(store, 9, 10, columns={"queries": 10})
    ask(store, 9, 10, defense="wall", columns={"queries": 3})
    attacked(store, 9, 10, "wall", columns={"queries": 2})
    costs = row_of(store)["costs"]
    assert (costs["queries"], costs["extra_queries"], costs["pairs"]) == (3, 2, 10)
    assert costs["extra_queries_low"] is None  # every reply takes as many more: nothing varies


def test_calls_that_differ_from_reply_to_reply_have_an_interval(store):
    ask(store, 9, 10)
    rows = answers(9, 10)
    for k, row in enumerate(rows):
        row["queries"] = 1 + k % 3
    store.add(rows, attack="no-attack", dataset=BENIGN, defense="wall", expected="comply")
    costs = row_of(store)["costs"]
    assert costs["extra_queries"] == pytest.approx(0.9)
    assert costs["extra_queries_low"] < 0.9 < costs["extra_queries_high"]


def test_many_defenses_are_told_from_end_to_end(store):
    reached = {"none": 10, "a": 9, "b": 7, "c": 1, "d": 5, "e": 1, "f": 9, "g": 4}
    for defense, hits in reached.items():
        store.add(answers(0, 10), attack="no-attack", defense=defense)
        store.add(answers(hits, 10), attack="figstep", defense=defense)
    told = sentences(store)[-1]
    assert "behind 7 defenses the strongest attack still reaches from 10 % " in told
    assert "(c and e) to 90 % " in told
    assert "(a and f), half of all requests or more behind 4 of them" in told
