"""CIDEr-D: the golden set, and what a score depends on."""

from __future__ import annotations

from math import exp

import pytest

from evaluation.similarity.golden import TOKENS, WANTED
from proofglass.evaluation.similarity.cider import cider_d, has_weights


def test_the_golden_set() -> None:
    found = cider_d(TOKENS, WANTED)
    assert found == pytest.approx([5.775808, 3.676661, 5.216683], abs=1e-6)
    assert sum(found) / 3 == pytest.approx(4.889718, abs=1e-6)


def test_a_copy_of_one_of_two_references_scores_less_than_ten() -> None:
    found = cider_d([each[0] for each in WANTED], WANTED)
    assert sum(found) / 3 == pytest.approx(6.236421, abs=1e-6)
    alone = [[each[0]] for each in WANTED]
    assert cider_d([each[0] for each in WANTED], alone) == pytest.approx([10.0] * 3)


def test_one_picture_has_no_weights_and_scores_depend_on_the_others() -> None:
    assert cider_d(TOKENS[:1], WANTED[:1]) == [0.0]
    assert not has_weights(WANTED[:1])
    assert not has_weights([WANTED[0]] * 3)
    assert has_weights(WANTED)
    assert cider_d(TOKENS[:2], WANTED[:2])[0] != pytest.approx(cider_d(TOKENS, WANTED)[0])


def test_empty_texts_score_0_and_what_is_no_set_is_refused() -> None:
    assert cider_d([[], *TOKENS[1:]], WANTED)[0] == 0
    assert cider_d([], []) == []
    with pytest.raises(ValueError, match="references: expected those of 3 pictures, found 2"):
        cider_d(TOKENS, WANTED[:2])
    with pytest.raises(ValueError, match="at least one for every picture"):
        cider_d(TOKENS, [*WANTED[:2], []])


def test_saying_a_word_again_earns_nothing() -> None:
    # one word of weight L = log 2 against three: min(3 L, L) L / (3 L L) = 1/3; two pairs of tokens against none
    found = cider_d([["kite"] * 3, ["drum"]], [[["kite"]], [["drum"]]])
    assert found == pytest.approx([10 / 4 * exp(-(2**2) / 72) / 3, 10 / 4])
