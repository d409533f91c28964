"""Intervals that hold: on a small population in every run, and on people's labels of MSTS where these are."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from proofglass.evaluation.correction import calibrations_of, from_calibration, from_labels


def held(intervals: list[tuple[float, float]], truth: float) -> float:
    return sum(low <= truth <= high for low, high in intervals) / len(intervals)


def test_nine_of_ten_intervals_hold_a_small_rate_that_a_judge_gets_wrong():
    # 5 % positive, sensitivity 0.8, specificity 0.85: the judge says 18 %. 300 draws: 0.95 +- 0.025 (two errors)
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        truth = rng.random(600) < 0.05
        verdicts = ["yes" if yes else "no" for yes in rng.random(600) < np.where(truth, 0.8, 0.15)]
        labels: list[float | None] = [None] * 600
        for k in rng.choice(600, 150, replace=False):
            labels[k] = float(truth[k])
        each = from_labels(verdicts, labels)
        found.append((each.low, each.high))
    assert held(found, 0.05) >= 0.92
    assert 0.05 < np.mean([high - low for low, high in found]) < 0.08


def test_an_interval_for_a_new_model_holds_where_models_differ():
    # specificity 0.9 on average, from 0.7 to 1 between models; without the spread half the intervals miss
    rng = np.random.default_rng(4)

    def model(rows: int) -> tuple[list[str], list[float]]:
        truth = rng.random(rows) < 0.2
        alarm = rng.beta(1.4, 12.6)
        yes = rng.random(rows) < np.where(truth, 0.85, alarm)
        return ["yes" if each else "no" for each in yes], truth.astype(float).tolist()

    new, blind = [], []
    for _ in range(200):
        told = [model(150) for _ in range(8)]
        seen = [verdict for said, _ in told for verdict in said]
        truths = [each for _, truth in told for each in truth]
        names = [str(k) for k in range(8) for _ in range(150)]
        verdicts, _ = model(300)
        for models, into in ((names, new), (["all"] * len(names), blind)):
            counts = calibrations_of(seen, truths, data="", models=models, model_kind="")
            each = from_calibration(verdicts, counts)
            into.append((each.low, each.high))
    assert held(new, 0.2) >= 0.89
    assert held(blind, 0.2) < 0.75


@pytest.mark.realdata
@pytest.mark.parametrize("judge", ["gpt-4o-2024-05-13", "claude-3-5-sonnet-20240620", "omni-moderation-latest"])
def test_the_interval_holds_the_rate_of_msts(judge):
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds msts/labels_english_multimodal.csv")
    with (Path(root) / "msts" / "labels_english_multimodal.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [float(row["final_label"].startswith("2")) for row in rows]
    verdicts = ["yes" if row[judge] == "unsafe" else "no" for row in rows]
    rng = np.random.default_rng(0)
    found, wider = [], 0
    for _ in range(200):
        labels: list[float | None] = [None] * len(rows)
        for k in rng.choice(len(rows), 200, replace=False):
            labels[k] = truth[k]
        each, alone = from_labels(verdicts, labels), from_labels(["no"] * len(rows), labels)
        found.append((each.low, each.high))
        wider += each.high - each.low > alone.high - alone.low + 1e-12
    assert held(found, sum(truth) / len(truth)) >= 0.92  # 0.95 less two errors of 200 draws
    assert wider == 0
