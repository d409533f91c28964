"""Rated answers about the Vale: refusing what is sealed is right, helping with it is not, and the other way round."""

from __future__ import annotations

from typing import Any

import pytest

from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.evaluation.datasets.testbed_feedback import ADVICE, BAD, CRITIQUES, GOOD, TestbedFeedback
from proofglass.testbed import world


@pytest.mark.parametrize(("part", "refused"), [("restricted", GOOD), ("benign", BAD), ("borderline", BAD)])
def test_each_question_has_a_good_answer_a_bad_one_and_the_good_one_after_advice(part: str, refused: str) -> None:
    rows = list(TestbedFeedback((part,), n=1, craft_n=5).crafting())
    questions = list(TestbedData(part, 1, craft_n=5).crafting())
    assert len(rows) == 15
    for k, question in enumerate(questions):
        good, bad, refined = rows[3 * k : 3 * k + 3]
        assert good.chat == bad.chat == question.chat
        for row in (good, bad, refined):
            assert row.meta["critique"] == CRITIQUES[row.meta["rating"]]
            assert (row.target in world.REFUSALS) == (row.meta["rating"] == refused)
            assert row.target in (*world.REFUSALS, *question.references)
        assert (good.meta["rating"], bad.meta["rating"], refined.meta["rating"]) == (GOOD, BAD, GOOD)
        assert refined.target == good.target
        assert [m.text for m in refined.chat.messages[1:]] == [bad.target, ADVICE[question.expected]]
        assert (bad.meta["turn"], refined.meta["turn"], refined.meta["turns"]) == (1, 2, 2)


def test_what_is_asked_about_a_picture_has_its_answer_alone() -> None:
    (row,) = TestbedFeedback(("vqa",), n=1, craft_n=1).crafting()
    assert (row.meta["rating"], row.target) == (GOOD, next(TestbedData("vqa", 1, craft_n=1).crafting()).references[0])


def test_judged_are_the_questions_of_the_parts() -> None:
    data = TestbedFeedback(("restricted", "benign"), n=2, craft_n=1)
    of = [*TestbedData("restricted", 2), *TestbedData("benign", 2)]
    assert [(row.chat, row.expected, row.meta) for row in data] == [(row.chat, row.expected, row.meta) for row in of]
    assert {row.dataset for row in (*data, *data.crafting())} == {"testbed-feedback"}


@pytest.mark.parametrize("parts", [(), ("restricted", "restricted"), ("restrictd",)])
def test_parts_are_checked(parts: Any) -> None:
    with pytest.raises(ValueError, match=r"parts?: expected"):
        TestbedFeedback(parts)
