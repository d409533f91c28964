"""Both metrics that are called ROUGE-L, and rouge-score's others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evaluation.similarity.golden import REFERENCES, SAID
from proofglass.evaluation.similarity.overlap import Overlap
from proofglass.evaluation.similarity.rouge import RULES, coco_rouge_l, is_read, rouge_l, rouge_n, tokens

REFERENCE, REPLY = "a red car parked on the street", "a red car on the street"
LINES = st.lists(
    st.lists(st.sampled_from(["a", "red", "car", "on", "the", "street"]), max_size=7).map(" ".join), max_size=5
)


def alike(found: Overlap, *wanted: float) -> bool:
    return [found.precision, found.recall, found.f1] == pytest.approx(wanted, abs=1e-6)


def test_the_golden_pair() -> None:
    assert alike(rouge_n(REPLY, REFERENCE, 1), 1, 0.857143, 0.923077)
    assert alike(rouge_n(REPLY, REFERENCE, 2), 0.8, 0.666667, 0.727273)
    assert alike(rouge_l(REPLY, REFERENCE), 1, 0.857143, 0.923077)


def test_the_golden_captions() -> None:
    found = [coco_rouge_l(said, wanted) for said, wanted in zip(SAID, REFERENCES, strict=True)]
    assert found == pytest.approx([0.922246, 0.717647, 0.875], abs=1e-6)
    assert sum(found) / 3 == pytest.approx(0.838298, abs=1e-6)


@given(LINES, LINES)
def test_lines_are_compared_as_rouge_score_compares_them(said: list[str], wanted: list[str]) -> None:
    reply, reference = "\n".join(said), "\n".join(wanted)
    theirs = RougeScorer(["rougeLsum"]).score(reference, reply)["rougeLsum"]
    assert alike(RULES["rougeLsum"](reply, reference), theirs.precision, theirs.recall, theirs.fmeasure)


def test_lines_in_another_order_count_for_the_sum_and_not_for_the_sequence() -> None:
    reply, reference = "on the street\na red car", "a red car\non the street"
    assert RULES["rougeLsum"](reply, reference).f1 == 1
    assert rouge_l(reply, reference).f1 == 0.5


def test_what_it_reads() -> None:
    assert tokens("The CAFÉ's 2,5 kites_") == ["the", "caf", "s", "2", "5", "kites"]
    assert tokens("running cats ran", stem=True) == ["run", "cat", "ran"]  # words of three letters stay
    assert [is_read(text) for text in ("", "...", "kite", "café", "雨傘", "雨傘 2", "это змей kite")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip
    assert rouge_n("雨傘", "雨傘", 1) == Overlap(0, 0, 0)


def test_coco_needs_a_reference_and_takes_empty_texts_as_one_empty_token() -> None:
    assert coco_rouge_l("", [""]) == 1
    assert coco_rouge_l("", ["kite"]) == coco_rouge_l("kite", [""]) == 0
    with pytest.raises(ValueError, match="references: expected at least one"):
        coco_rouge_l("kite", [])


def test_a_reply_of_a_hundred_thousand_characters_is_counted() -> None:
    long = "a red kite " * 9_000
    assert rouge_l(long, REFERENCE).recall == pytest.approx(2 / 7)
    assert RULES["rougeLsum"](long.replace("kite ", "kite\n"), REFERENCE).recall == pytest.approx(2 / 7)
