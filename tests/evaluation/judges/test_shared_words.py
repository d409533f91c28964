"""Judges of how much a reply shares with its references: token F1, exact match, ROUGE, VQA accuracy."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample

NAMES = ("token-f1", "exact-match", "rouge", "vqa-accuracy")


def one(judge, text, references, **fields):
    sample = Sample("s", "toy", Chat.user("what is it ?"), references=tuple(references))
    reply = text if isinstance(text, Reply) else Reply(text)
    (score,) = build("judges", judge, **fields).score([Attempt(sample, sample.chat, reply)])
    assert score.judge == judge
    return score


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_answer_and_who_has_no_reference_is_unjudged(name):
    for reply in (Reply.error("line down"), Reply("", outcome="filtered"), Reply("kite", outcome="blocked")):
        assert one(name, reply, ["kite"] * 10).value is None
    assert one(name, Reply("", reasoning="hm", finish="length"), ["kite"] * 10).value is None  # cut off in thought
    assert "reference" in one(name, "kite", []).reason


@pytest.mark.parametrize("name", NAMES)
@given(st.text(), st.lists(st.text(), min_size=10, max_size=10))
def test_any_texts_are_judged_within_0_and_1(name, text, references):
    score = one(name, text, references)
    assert score.value is not None or score.reason  # Score checks the range
    if name != "vqa-accuracy" and score.value is not None:
        assert one(name, references[0], references).value in (1.0, 0.0, None)


@pytest.mark.parametrize("name", [*NAMES, "wrong-answer", "answer-match", "yes-no", "multiple-choice"])
def test_references_of_a_wrong_kind_cost_their_sample_only(name):
    meta = {"options": ("yes", "kite")}
    good = Sample("s", "toy", Chat.user("?"), references=("yes",) * 10, meta=meta)
    odd = [dataclasses.replace(good, references=given) for given in ("yes", (1,) * 10, (None,) * 10, None)]
    scores = build("judges", name).score([Attempt(each, each.chat, Reply("yes")) for each in odd])
    assert [score.value for score in scores] == [None] * 4
    assert all("reference" in score.reason for score in scores)


def test_the_best_of_the_references_counts():
    assert one("token-f1", "a red kite", ["drum", "red", "the red kite over the sea"]).value == pytest.approx(2 / 3)
    assert one("token-f1", "a red kite", ["drum", "red"], figure="precision").value == 0.5
    assert one("token-f1", "a red kite", ["drum", "red"], figure="recall").value == 1
    assert one("exact-match", "The KITE!", ["drum", "kite"]).value == 1
    assert one("rouge", "a red kite", ["drum", "red kite"]).value == pytest.approx(0.8)
    with pytest.raises(ValueError, match="figure: expected f1, precision or recall"):
        build("judges", "token-f1", figure="f2")


def test_an_empty_reply_shares_nothing_and_an_empty_answer_only_silence():
    assert [one(name, "", ["kite"]).value for name in NAMES[:3]] == [0.0, 0.0, 0.0]
    assert [one(name, "", [""]).value for name in NAMES[:2]] == [1.0, 1.0]
    assert [one(name, "kite", [""]).value for name in NAMES[:2]] == [0.0, 0.0]


def test_labels_say_how_much():
    assert [one("token-f1", text, ["red kite"]).label for text in ("red kite", "red drum", "drum")] == [
        "right", "in part", "wrong",
    ]  # fmt: skip
    assert [one("rouge", text, ["red kite"]).label for text in ("red kite", "red drum", "drum")] == [
        "same", "in part", "nothing",
    ]  # fmt: skip


def test_rouge_does_not_call_text_it_cannot_read_a_0():
    assert "letters a-z" in one("rouge", "это змей", ["kite"]).reason
    assert "no reference" in one("rouge", "kite", ["雨傘"]).reason
    assert one("rouge", "kite", ["雨傘", "kite"]).value == 1
    assert one("rouge", "café kite", ["café kite"]).value == 1


@pytest.mark.parametrize("which", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_the_best_of_all_references_once_one_of_them_is_read(which):
    from rouge_score.rouge_scorer import RougeScorer

    references = ["это большой красный змей в небе red kite", "a drum", ""]
    expected = RougeScorer([which]).score_multi(references, "red kite")[which].fmeasure
    assert expected == 1.0
    assert one("rouge", "red kite", references, which=which).value == pytest.approx(expected)


def test_the_empty_reference_of_several_is_one_for_coco():
    assert one("rouge", "", ["kite", "..."], which="coco-rougeL").value == 1  # as pycocoevalcap has it
    assert "no reference has a word" in one("rouge", "", ["", "..."], which="coco-rougeL").reason


def test_both_rouge_l_are_there_under_two_names():
    reply, references = "A red car parked on the street.", (
        "a red car parked on the street next to a tree", "a red car is parked on the street",
    )  # fmt: skip
    assert one("rouge", reply, references, which="coco-rougeL").value == pytest.approx(0.922246, abs=1e-6)
    assert one("rouge", reply, references).value == pytest.approx(2 * 7 / 8 / (1 + 7 / 8))
    assert one("rouge", "kite", ["?"], which="coco-rougeL").reason == "no reference has a word"
    for wrong in ({"figure": "recall"}, {"stem": True}):
        with pytest.raises(ValueError, match="which: coco-rougeL is one number"):
            build("judges", "rouge", which="coco-rougeL", **wrong)


@given(st.sampled_from(["2 kites", "Two kites", "the drum", "no", "", "A", "dont"]), st.data())
def test_vqa_accuracy_is_the_complement_of_wrong_answer(text, data):
    people = data.draw(st.lists(st.sampled_from(["two kites", "drum", "no", "the", "don't"]), min_size=10, max_size=10))
    right, wrong = one("vqa-accuracy", text, people).value, one("wrong-answer", text, people, metric="vqa").value
    assert right == pytest.approx(1 - wrong)


def test_silence_is_not_the_answer_the():
    assert one("vqa-accuracy", "", ["the"] * 10).value == 0
    assert one("vqa-accuracy", "The", ["the"] * 10).value == 1


def test_rules_and_contractions_of_vqa():
    people = ["isn't", "isnt", *["twenty-one"] * 8]
    assert one("vqa-accuracy", "isn't", people).value == pytest.approx(0.3)
    assert one("vqa-accuracy", "isn't", people, contractions=True).value == pytest.approx(0.6)
    assert one("vqa-accuracy", "21", people).value == 1
    assert one("vqa-accuracy", "21", people, rules="official").value == 0  # it knows words to ten
    assert one("vqa-accuracy", "dont", ["don't", *["x"] * 9], rules="official").value == pytest.approx(0.3)
    assert one("vqa-accuracy", "dont", ["don't", *["x"] * 9], rules="official", contractions=False).value == 0
    assert "10 references, found 9" in one("vqa-accuracy", "x", ["x"] * 9, rules="official").reason
