"""BLEU-4 of sacrebleu and of COCO, on the golden corpus and at the edges."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from evaluation.similarity.golden import REFERENCES, SAID, TOKENS, WANTED
from proofglass.evaluation.similarity.bleu import (
    Tokenizer,
    coco_bleu,
    coco_sums,
    sacre_bleu,
    sacre_sums,
    signature,
)

WORDS = st.lists(st.sampled_from(["a", "red", "car", "on", "the", "2.5", ",", "."]), max_size=8)


def sacre(said, references, **options):
    sums = [sacre_sums(one, wanted, **options) for one, wanted in zip(said, references, strict=True)]
    return sacre_bleu(np.array(sums, float).sum(0, keepdims=True))[0]


def test_the_golden_corpus() -> None:
    assert sacre(SAID, REFERENCES) == pytest.approx(0.85152510, abs=1e-8)
    sums = np.array([coco_sums(*one) for one in zip(TOKENS, WANTED, strict=True)], float).sum(0, keepdims=True)
    found = [coco_bleu(sums, n)[0] for n in (1, 2, 3, 4)]
    assert found == pytest.approx([0.865863, 0.862248, 0.857656, 0.851525], abs=1e-6)
    # lengths 21 and 23; precisions 95.2381, 94.4444, 93.3333, 91.6667 %; brevity e^(1 - 23/21)
    assert sums[0].tolist() == [21, 23, 20, 17, 14, 11, 21, 18, 15, 12]
    assert math.exp(1 - 23 / 21) * (20 / 21 * 17 / 18 * 14 / 15 * 11 / 12) ** 0.25 == pytest.approx(found[3])


def test_where_a_precision_is_0_the_two_part() -> None:
    said, wanted = "a red car", ["a red car", "the red car"]
    assert sacre([said], [wanted]) == 0  # no run of four tokens at all
    longer = "a red car on one street"
    # hits 5, 3, 2, 1 of 6, 5, 4, 3 against "a red car on the street"; none of four words against "car red a on"
    smoothed = sacre([longer], [["car red a on"]])
    assert smoothed == pytest.approx((4 / 6 * (1 / 2 / 5) * (1 / 4 / 4) * (1 / 8 / 3)) ** 0.25)
    coco = coco_bleu(np.array([coco_sums(longer.split(), [["car", "red", "a", "on"]])], float))[0]
    assert 0 < coco < 1e-6 < smoothed


def test_without_a_word_or_a_match_the_score_is_0() -> None:
    assert sacre([""], [["a red car on the street"]]) == 0
    assert sacre(["kite kite kite kite"], [["a red car on"]]) == 0
    assert coco_bleu(np.array([coco_sums([], [["a"]])], float))[0] < 1e-9
    for sums in (sacre_sums, coco_sums):
        with pytest.raises(ValueError, match="references: expected at least one"):
            sums("a kite", [])


def test_a_withheld_sentence_costs_brevity() -> None:
    whole = sacre(SAID, REFERENCES)
    assert sacre([*SAID[:2], ""], REFERENCES) < whole * 0.7


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_many_corpora_at_once_are_each_alone(corpus) -> None:
    sums = np.array([coco_sums(said, wanted) for said, wanted in corpus], float)
    for score in (sacre_bleu, coco_bleu):
        together = score(np.concatenate([sums, sums.sum(0, keepdims=True)]))
        alone = [score(row[None])[0] for row in (*sums, sums.sum(0))]
        assert together.tolist() == alone
        assert ((together >= 0) & (together <= 1 + 1e-12)).all()


@pytest.mark.parametrize("tokenize", get_args(Tokenizer))
def test_every_tokenizer_is_sacrebleus_and_so_is_its_signature(tokenize: Tokenizer) -> None:
    texts = (
        ["The car: 2,000 km/h, Straße 猫在车上很好吃.", "kite &amp; drum"],
        [["the car: 2,000 km, straße 猫在车上很好."], ["drum"]],
    )
    theirs = BLEU(tokenize=tokenize, lowercase=True)
    score = theirs.corpus_score(texts[0], [[one[0] for one in texts[1]]]).score
    assert sacre(*texts, tokenize=tokenize, lowercase=True) == pytest.approx(score / 100, abs=1e-12)
    told = str(theirs.get_signature()).replace("nrefs:1", "nrefs:var")
    assert signature(tokenize, lowercase=True) == told
