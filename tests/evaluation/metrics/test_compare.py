"""Comparisons: who is paired with whom, what is dropped, and that each row is the test done alone."""

import numpy as np
import polars as pl
import pytest

from proofglass.evaluation.metrics import compare as module
from proofglass.evaluation.metrics.compare import compare
from proofglass.evaluation.statistics import holm, mcnemar, sign_flip

PLACE = {"victim": "v", "attack": "no-attack", "defense": "none", "dataset": "d", "expected": "refuse"}


def run(*cells):
    """frame and scores of cells: (what differs from PLACE, values), value None: unjudged, "error": failed,
    "blocked": withheld. Sample k is named s<k> and belongs to the cluster `clusters[k]` or its own."""
    rows, scores = [], []
    for number, (place, values, *clusters) in enumerate(cells):
        for k, value in enumerate(values):
            outcome = value if isinstance(value, str) else "ok"
            cluster = clusters[0][k] if clusters else f"c{k}"
            told = {"cell": f"k{number}", "sample_id": f"s{k}", "outcome": outcome, "finish": "stop"}
            rows.append({**PLACE, **place, **told, "cluster": cluster, "reply": "r"})
            if not isinstance(value, str):
                scores.append({"cell": f"k{number}", "sample_id": f"s{k}", "judge": "j", "value": value})
    return pl.DataFrame(rows), pl.DataFrame(scores, schema_overrides={"value": pl.Float64})


def only(found, kind):
    return [each for each in found if each.kind == kind]


def test_an_attack_is_compared_with_no_attack_by_mcnemars_exact_test():
    # 15 samples break only under the attack, 5 only without: the table of statsmodels' golden value
    before = [1.0] * 30 + [1.0] * 5 + [0.0] * 15 + [0.0] * 50
    after = [1.0] * 30 + [0.0] * 5 + [1.0] * 15 + [0.0] * 50
    (found,) = compare(*run(({}, before), ({"attack": "a"}, after)), "j")
    assert (found.kind, found.attack, found.versus, found.method) == ("attack", "a", "no-attack", "McNemar, exact")
    assert (found.rate, found.versus_rate, found.difference) == pytest.approx((0.45, 0.35, 0.10))
    assert found.p == pytest.approx(0.041389, abs=1e-6)
    # 16/102 - 6/102 = .098039 +- 1.959964 sqrt((22/102 - .098039^2) / 102) = 1.959964 x .044948
    assert (found.low, found.high) == pytest.approx((0.009942, 0.186136), abs=1e-6)
    assert (found.adjusted, found.adjustment, found.found) == (found.p, "Holm", True)
    assert (found.n, found.clusters, found.dropped, found.unpaired) == (100, 100, 0, 0)


def test_pairs_of_one_question_change_sign_together():
    clusters = [f"q{k // 4}" for k in range(40)]
    after = [1.0] * 24 + [0.0] * 16
    (found,) = compare(*run(({}, [0.0] * 40, clusters), ({"attack": "a"}, after, clusters)), "j")
    assert found.method == "sign flips by cluster"
    assert found.p == pytest.approx(sign_flip([4] * 6)) == pytest.approx(2.0**-5)
    assert found.clusters == 10
    assert found.p > mcnemar(24, 0)


def test_failed_and_unjudged_pairs_are_dropped_and_blocked_ones_count_as_not_broken():
    cells = (({}, [1.0, 1.0, 0.0, None, "error", 1.0]), ({"defense": "d1"}, ["blocked", 1.0, None, 1.0, 0.0]))
    (found,) = compare(*run(*cells), "j")
    assert (found.kind, found.versus) == ("defense", "none")
    assert (found.n, found.dropped, found.unpaired) == (2, 3, 1)
    assert (found.rate, found.versus_rate) == (0.5, 1.0)


def test_nothing_in_common_is_said_and_not_tested():
    (found,) = compare(*run(({}, [None, None]), ({"attack": "a"}, [1.0, 0.0])), "j")
    assert (found.difference, found.p, found.adjusted, found.n, found.dropped) == (None, None, None, 0, 2)
    assert not found.found


def test_victims_meet_on_the_same_attack_defense_and_samples():
    cells = [
        ({"victim": victim, "attack": attack}, [1.0, 0.0, 1.0])
        for victim in ("v", "w", "x")
        for attack in ("no-attack", "a")
    ]
    met = only(compare(*run(*cells), "j"), "victim")
    assert [(each.victim, each.versus, each.attack) for each in met] == [
        (one, other, attack) for attack in ("no-attack", "a") for one, other in (("v", "w"), ("v", "x"), ("w", "x"))
    ]


def test_on_harmless_questions_a_defense_is_tested_against_a_margin_and_without_attacks():
    harmless = {"expected": "comply"}
    cells = [
        (harmless | {"attack": attack, "defense": defense}, values)
        for attack in ("no-attack", "a")
        for defense, values in (("none", [1.0] * 400), ("d1", [1.0] * 398 + [0.0] * 2))
    ]
    (found,) = compare(*run(*cells), "j", margin=0.05)
    assert (found.kind, found.attack, found.margin, found.method) == ("utility", "no-attack", 0.05, "non-inferiority")
    # lost 3/402, gained 1/402: centre -.004975, error sqrt((4/402 - .004975^2) / 402) = .004969
    # (.045025 / .004969: z = 9.1); the score test, whose error is that of a loss of the margin, says less: z = 4.13
    assert found.p == pytest.approx(1.82e-5, rel=1e-2)
    assert found.found
    assert found.low > -0.05
    (strict,) = compare(*run(*cells), "j", margin=0.01)
    assert not strict.found


def test_the_rows_of_a_kind_are_one_family_and_a_grid_is_adjusted_by_bh(monkeypatch):
    rng = np.random.default_rng(0)
    cells = [({}, rng.integers(0, 2, 60).astype(float))]
    cells += [({"attack": f"a{k}"}, rng.integers(0, 2, 60).astype(float)) for k in range(5)]
    found = compare(*run(*cells), "j")
    assert [each.adjusted for each in found] == pytest.approx(holm([each.p for each in found]))
    monkeypatch.setattr(module, "GRID", 4)
    assert {each.adjustment for each in compare(*run(*cells), "j")} == {"BH"}


def test_each_row_is_what_its_two_cells_alone_give(monkeypatch):
    rng = np.random.default_rng(1)
    clusters = [f"q{k % 12}" for k in range(40)]
    cells = [
        ({"victim": victim, "attack": attack, "dataset": dataset}, rng.integers(0, 2, 40).astype(float), clusters)
        for victim in "vw"
        for attack in ("no-attack", "a", "b")
        for dataset in "de"
    ]
    monkeypatch.setattr(module, "ELEMENTS", 100)  # so that comparisons are made some at a time
    together = compare(*run(*cells), "j")
    assert len(together) == 2 * 2 * 2 + 2 * 3  # attacks x victims x data sets; one pair of victims on 6 places
    for each in together:
        mine = [
            (place, values, groups)
            for place, values, groups in cells
            if place["dataset"] == each.dataset
            and place["victim"] in (each.victim, each.versus)
            and place["attack"] in (each.attack, each.versus)
        ]
        (alone,) = only(compare(*run(*mine), "j", kinds=[each.kind]), each.kind)
        assert (alone.difference, alone.low, alone.high, alone.p) == (each.difference, each.low, each.high, each.p)


def test_an_order_of_rows_that_differs_between_cells_changes_no_pair():
    frame, scores = run(({}, [1.0, 0.0, 0.0, 1.0]), ({"attack": "a"}, [1.0, 1.0, 0.0, 1.0]))
    (found,) = compare(frame, scores, "j")
    (shuffled,) = compare(pl.concat([frame[:4], frame[4:].reverse()]), scores, "j")
    assert shuffled == found
