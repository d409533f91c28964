"""Which option a reply chooses, in the ways that people and models say it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.choices import chosen
from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample

OPTIONS = ("fly the kite", "beat the drum", "sweep the floor", "do nothing")


def letters(reply, options=OPTIONS):
    return "".join(chosen(reply, options).letters)


def one(text, reference="B", options=OPTIONS, outcome="ok", **fields):
    meta = {} if options is None else {"options": options}
    references = (reference,) if reference is not None else ()
    sample = Sample("s", "toy", Chat.user("which ?"), references=references, meta=meta)
    reply = Reply.error("timeout") if outcome == "error" else Reply(text, outcome=outcome)
    (score,) = build("judges", "multiple-choice", **fields).score([Attempt(sample, sample.chat, reply)])
    assert score.judge == "multiple-choice"
    return score


# {L}: the letter, {T}: the option's text
FORMS = (
    "{L}", "({L})", "{L}.", "{L})", "[{L}]", "**{L}**", "\"{L}\"", "{L}:", "{L}. {T}", "({L}) {T}", "{L}: {T}",
    "{L} - {T}", "{L} {T}", "{L}、{T}", "Answer: {L}", "Answer: ({L})", "Answer:\n{L}", "The answer is {L}",
    "the answer is ({L}).", "The answer is {L} because it is safe.", "The correct option is {L}.",
    "Correct answer: **({L}) {T}**", "My answer: {L}) {T}", "I choose {L}.", "I would pick option {L}.",
    "I'd go with {L}", "Option {L}", "Choice: {L}", "{L} is the best one.", "{L} because it is safe",
    "It must be {L}", "I am going with ({L}).", "Final answer: {L}", "$\\boxed{{L}}$",
    "The options are A, B, C and D. The final answer is {L}.", "{T}", "{T}.", "I would {T}.", "Answer: {T}",
    "The answer is: {T}", "答案：{L}", "答案是{L}", "答案是（{L}）", "正确答案为{L}。", "选{L}", "应该选{L}",
    "故选：{L}", "我选择{L}", "选项{L}是正确的", "{L}。因为安全", "{L}，因为安全", "最终答案：{L}", "（{L}）",
    "答案：{L}，{T}",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_letter_is_read_in_every_form(form):
    for letter, text in zip("ABCD", OPTIONS, strict=True):
        reply = form.replace("{L}", letter).replace("{T}", text)
        assert letters(reply) == letter
        assert letters(f" \n{reply} \n") == letter


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("b", "B"),
        ("(b) beat it", "B"),
        ("option (b)", "B"),
        ("the answer is c", "C"),
        ("Ｂ", "B"),
        ("（Ｂ）", "B"),
        ("🙂 B", "B"),
        ("A and B", "AB"),
        ("A or B", "AB"),
        ("Both A and C", "AC"),
        ("AB", "AB"),
        ("答案：AB", "AB"),
        ("A、B", "AB"),
        ("A B C D", "ABCD"),
        ("(A) fly the kite (B) beat the drum", "AB"),
        ("(A) beat the drum", "AB"),  # a letter with another one's text
        ("The answer is A. No wait, the answer is B", "AB"),
        ("A? Final answer: B", "B"),
        ("The answer is B because A is wrong", "B"),
        ("A is correct. B is correct.", "AB"),
        ("Both A and C are right", "AC"),
        ("The answer is B, but C is also correct", "BC"),
        ("A is incorrect, B is incorrect, C is correct", "C"),
        ("B是正确的", "B"),
        ("Neither A nor B", ""),
        ("not A or B", ""),
        ("not B", ""),
        ("The answer is not B", ""),
        ("The answer isn't B, it's C", "C"),
        ("B is wrong, so A.", "A"),
        ("It is B, not A", "B"),
        ("I can't choose B", ""),
        ("不选B", ""),
        ("B是错的", ""),
        ("E", ""),
        ("The answer is E", ""),
        ("", ""),
        ("None", ""),
        ("All of the above", ""),
        ("I do not know", ""),
        ("I", ""),
        ("A dog ran", ""),
        ("The answer is a bit complicated", ""),
        ("Sorry, I can't help with that.", ""),
        ("Take vitamin C", ""),
        ("I would not beat the drum", ""),
    ],
)
def test_several_none_and_denied(reply, found):
    assert letters(reply) == found


@pytest.mark.parametrize(
    ("reply", "options", "found"),
    [
        ("A cat.", ("A dog", "A cat"), "B"),
        ("The answer is A cat.", ("A dog", "A cat"), "B"),
        ("vitamin C", ("vitamin A", "vitamin C"), "B"),
        ("No, it is not", ("Yes", "No"), "B"),
        ("It is true that nothing is known", ("No", "Yes"), ""),  # short texts count at the beginning only
        ("12", ("1", "12"), "B"),
        ("the red kite", ("red kite", "the red kite"), "B"),
        ("是", ("是。", "否。"), "A"),
        ("否，因为不安全", ("是。", "否。"), "B"),
        ("这是好的", ("是。", "否。"), ""),
        ("(B) 错", ("对", "错"), "B"),
        ("kite", ("kite", "kite"), ""),  # two options of one text
        ("The answer isn't A", tuple(f"kite {k}" for k in range(20)), ""),  # nor is it the n of n't
        ("İ is it: B", ("İ", "ß"), "A"),
    ],
)
def test_texts_of_options(reply, options, found):
    assert letters(reply, options) == found


def test_the_score_is_whether_it_is_right_and_the_label_what_was_chosen():
    assert [(s.value, s.label) for s in (one("B"), one("C"), one("B", "1"), one("B", "(b)"), one("B", "0"))] == [
        (1.0, "B"), (0.0, "C"), (1.0, "B"), (1.0, "B"), (0.0, "B"),
    ]  # fmt: skip
    assert (one("A or B").value, one("A or B").label, one("A or B").reason) == (
        None, "invalid", "the reply names several options: A, B",
    )  # fmt: skip
    assert one("").reason == "the reply names no option"
    counted = one("A or B", invalid_is_wrong=True)
    assert (counted.value, counted.label) == (0.0, "invalid")
    assert one("B", outcome="error").label == one("", outcome="filtered").label == "unjudged"


@pytest.mark.parametrize(
    ("reference", "options", "reason"),
    [
        ("B", None, "expected a list of texts, found NoneType"),
        ("B", "kite", "expected a list of texts, found str"),
        ("B", ("kite",), "expected 2 to 26, found 1"),
        ("B", tuple("abcdefghijklmnopqrstuvwxyz?"), "expected 2 to 26, found 27"),
        ("B", ("kite", 3), "found something else in it"),
        ("E", OPTIONS, "expected a letter or place of the 4 options, found 'E'"),
        ("4", OPTIONS, "found '4'"),
        ("-1", OPTIONS, "found '-1'"),
        (None, OPTIONS, "the sample has no reference"),
        (1, OPTIONS, "the sample's references: expected texts, found int '1'"),
        ("1", ("1", "0"), "is the place of B and the text of A; write the letter"),
    ],
)
def test_a_sample_without_what_it_takes_is_unjudged(reference, options, reason):
    score = one("B", reference, options)
    assert score.label == "unjudged"
    assert reason in score.reason


@given(st.text(), st.lists(st.text(), min_size=2, max_size=26))
def test_any_reply_and_options_are_read(reply, options):
    found = letters(reply, options)
    assert found == "".join(sorted(set(found)))
    assert len(found) <= len(options)


@given(st.text(max_size=80), st.sampled_from("ABCD"))
def test_a_final_answer_is_found_behind_anything(before, letter):
    assert letters(f"{before}\nFinal answer: {letter}").count(letter) == 1


@pytest.mark.parametrize("gap", [" ", "\n", "* ", "answer ", "(", "the answer is ", "I choose "])
def test_a_long_reply_takes_no_long_time(gap):
    begun = time.perf_counter()
    assert len(letters("answer" + gap * 20_000 + "B")) <= 1
    assert time.perf_counter() - begun < 5


@pytest.mark.realdata
def test_safetybench_in_every_form():
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds safetybench/opensource_data")
    path = Path(root) / "safetybench" / "opensource_data" / "test_zh_subset.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    rows = json.loads(path.read_text(encoding="utf-8"))
    forms = ("{L}", "({L})", "{L}. {T}", "答案：({L}) {T}", "应该选{L}。", "{T}", "答案：{T}", "{L}：{T}")
    wrong = several = missed = count = 0
    for row in rows:
        for letter, text in zip("ABCD", row["options"], strict=False):
            for form in forms:
                found = letters(form.replace("{L}", letter).replace("{T}", text), row["options"])
                count += 1
                missed, several = missed + (not found), several + (len(found) > 1)
                wrong += len(found) == 1 and found != letter
    print(f"SafetyBench zh subset: {count} replies, {wrong} wrong, {several} several, {missed} missed")
    assert len(rows) == 2100
    assert wrong == 0
    assert several + missed <= 10  # measured: 8, of two questions with the same option twice
