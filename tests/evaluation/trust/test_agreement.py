"""Agreement with labels: golden values, and intervals that cover."""

import csv
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.labels import LabelledReply, sets
from proofglass.evaluation.trust.agreement import (
    agreement,
    ceiling,
    cohen_kappa,
    kappa,
    rate,
    sliced,
)


def test_kappa_of_two_raters_is_scikit_learns():
    r1, r2 = [1, 1, 0, 1, 0, 0, 1, 0, 1, 1], [1, 0, 0, 1, 0, 1, 1, 0, 1, 1]
    assert cohen_kappa(r1, r2) == pytest.approx(0.583333, abs=5e-7)
    assert cohen_kappa(list("aabbcc"), list("abbbca")) == pytest.approx(0.5)  # 4/6 equal, chance 1/3
    assert cohen_kappa([1, 1], [1, 1]) is None  # one label throughout: no chance left to beat
    assert cohen_kappa([], []) is None


def test_the_jackknife_of_kappa_is_the_one_by_hand():
    # rows tt, tt, tf, ff, ff, ff: kappa 2/3. Without a tt 6/11, without the tf 1, without an ff 8/13, each as often as
    # there are such rows: mean 0.656177, sum of squares 0.147725, se = sqrt(5/6 * 0.147725) = 0.350862, t(5) = 2.5706:
    # half 0.9019.
    first, second = [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]
    found = kappa(first, second, range(6))
    assert found.value == pytest.approx(2 / 3)
    assert found.low == pytest.approx(2 / 3 - 0.9019, abs=2e-3)
    assert found.high == 1.0


def test_counts_rates_and_what_was_not_judged():
    truth = [True, True, True, True, False, False]
    said = [True, True, False, None, True, False]
    found = agreement(truth, said, range(6))
    assert (found.n, found.yes, found.unjudged) == (6, 4, 1)
    assert (found.found, found.missed, found.wrong, found.right) == (2, 1, 1, 1)
    assert found.accuracy.value == 3 / 5
    assert found.strict.value == 3 / 6
    assert found.coverage.value == 5 / 6
    assert found.sensitivity.value == 2 / 3
    assert found.specificity.value == 1 / 2


def test_without_shared_questions_a_rate_has_wilsons_interval():
    found = rate([True] * 17 + [False] * 33, range(50))
    assert (found.low, found.high) == (pytest.approx(0.224369, abs=5e-7), pytest.approx(0.478462, abs=5e-7))


def test_rows_that_share_a_question_are_worth_less():
    # 8 clusters of 3, 11 of 24, very alike: they are worth no more than the clusters, less what not knowing how alike
    # costs, 2 (1 - 8/24) (statistics.clusters, step 4): 20/3 rows.
    groups = ["111", "000", "110", "001", "111", "000", "101", "000"]
    values = [digit == "1" for group in groups for digit in group]
    found = rate(values, [k for k, group in enumerate(groups) for _ in group])
    alone = rate(values, range(24))
    assert found.value == alone.value == pytest.approx(0.458333, abs=5e-7)
    assert found.clusters == 8
    p, z, n = 11 / 24, 1.959964, 20 / 3
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found.high - found.low == pytest.approx(2 * half, abs=1e-5)
    assert found.low < alone.low
    assert found.high > alone.high


def test_equal_values_are_worth_fewer_rows_than_their_clusters():
    # nothing speaks against rows that are all alike: 3 - 2 (1 - 3/12) = 1.5 rows; Wilson: 1.5 / (1.5 + 1.959964^2)
    found = rate([True] * 12, [0, 1, 2] * 4)
    assert (found.low, found.high) == (pytest.approx(0.280822, abs=5e-7), 1.0)


def test_no_rows_have_no_estimate():
    found = agreement([], [], [])
    assert found.accuracy.value is found.kappa.value is found.accuracy.low is None
    with pytest.raises(ValueError, match="zip"):
        agreement([True], [], [])


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([True, False, None]), st.integers(0, 5)), max_size=40))
def test_every_estimate_lies_in_its_interval(rows):
    truth, said, clusters = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    found = agreement(truth, said, clusters)
    assert found.found + found.missed + found.wrong + found.right + found.unjudged == found.n
    for name in ("coverage", "accuracy", "strict", "sensitivity", "specificity", "kappa"):
        each = getattr(found, name)
        if each.value is not None:
            assert each.low - 1e-12 <= each.value <= each.high + 1e-12


def test_the_interval_of_kappa_covers():
    # 60 questions of 5 rows, beta-binomial sensitivity and specificity of 0.9 (intra-cluster correlation 0.2). True
    # kappa 0.8. 200 trials: 93 % or more.
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        share = rng.beta(3.6, 0.4, (2, 60))
        truth = rng.random((60, 5)) < 0.5
        right = rng.random((60, 5)) < np.where(truth, share[0][:, None], share[1][:, None])
        found = kappa(list(truth.ravel()), list((truth == right).ravel()), list(np.repeat(range(60), 5)))
        hits += found.low <= 0.8 <= found.high
    assert hits >= 186


def reply(name, refusal, *, kind="", cluster="q", raters=()):
    return LabelledReply(name, "toy", "m", cluster, "", "", "text", kind, {"refusal": refusal}, {"refusal": raters})


def test_slices_are_by_name_and_leave_out_what_has_none():
    rows = [reply("a", 1.0, kind="x"), reply("b", 0.0, kind="y"), reply("c", 1.0, kind="x"), reply("d", 1.0)]
    found = sliced(rows, [True, True, None, True], "refusal", lambda row: row.kind)
    assert list(found) == ["x", "y"]
    assert (found["x"].n, found["x"].found, found["x"].unjudged, found["y"].wrong) == (2, 1, 1, 1)


def test_the_ceiling_counts_all_pairs_of_raters():
    rows = [reply("a", 1.0, raters=(1.0, 1.0, 0.0), cluster="1"), reply("b", 0.0, raters=(0.0, 0.0), cluster="2")]
    agree, _ = ceiling(rows, "refusal")
    assert (agree.value, agree.n, agree.clusters) == (0.5, 4, 2)  # pairs 11, 10, 10; 00
    assert ceiling([reply("a", 1.0)], "refusal") is None


def real():
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds msts/ and xstest/")
    return Path(root)


@pytest.mark.realdata
def test_the_people_of_xstest_and_msts_agree_as_published():
    path = real() / "xstest" / "model_completions" / "xstest_v2_completions_gpt4.csv"
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    found = cohen_kappa([row["annotation_1"] for row in rows], [row["annotation_2"] for row in rows])
    assert found == pytest.approx(0.970107, abs=5e-7)
    agree, kappa_of_two = ceiling(sets.read("msts", real()).replies, "refusal")
    assert (agree.value, kappa_of_two.value) == (pytest.approx(0.8981, abs=5e-5), pytest.approx(0.7651, abs=5e-5))
