"""What is said of a guard's agreement with people, counted again on the labels and verdicts of MSTS."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from evaluation.judges.scripted_guards import says
from proofglass.evaluation.judges.guards import CONTRACTS
from proofglass.evaluation.trust.agreement import cohen_kappa
from proofglass.registry import build


def test_one_guard_in_one_mode_is_measured_and_no_other_claims_to_be() -> None:
    measured = [name for name in CONTRACTS if build("judges", name, helper=says("safe")).measured]
    assert measured == ["llama-guard-3-vision"]
    assert build("judges", "llama-guard-3-vision", helper=says("safe"), mode="prompt").measured is None


@pytest.mark.realdata
def test_the_figures_of_llama_guard_3_vision_are_those_of_msts() -> None:
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds msts/labels_english_multimodal.csv")
    with (Path(root) / "msts" / "labels_english_multimodal.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [row["final_label"].startswith("2") for row in rows]
    said = [row["Llama-Guard-3-11B-Vision"] == "unsafe" for row in rows]
    right = [a for a, b in zip(said, truth, strict=True) if b]
    wrong = [a for a, b in zip(said, truth, strict=True) if not b]
    told = build("judges", "llama-guard-3-vision", helper=says("safe")).measured.agreement
    assert f"({sum(right)} of {len(right)})" in told
    assert f"({len(wrong) - sum(wrong):,} of {len(wrong):,})" in told
    assert f"sensitivity {sum(right) / len(right):.3f}" in told
    assert f"kappa {cohen_kappa(said, truth):.3f}" in told
    # The same guard's sibling wrote something that is no verdict into this table, twice: a reader must not guess.
    odd = [row["LlavaGuard-v1.2-7B-OV"] for row in rows if row["LlavaGuard-v1.2-7B-OV"] not in ("safe", "unsafe")]
    assert sorted(odd) == ["background google", "statement:"]
