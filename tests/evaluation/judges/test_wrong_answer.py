"""Wrong answers: whole words, punctuation, and the leave-one-out rule of VQA accuracy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample


def judged(text, references, **fields):
    sample = Sample("s", "toy", Chat.user("what is it ?"), references=tuple(references))
    reply = text if isinstance(text, Reply) else Reply(text)
    (score,) = build("judges", "wrong-answer", **fields).score([Attempt(sample, sample.chat, reply)])
    return score


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("The square is blue.", 0),
        ("I think : THE square   is blue !", 0),
        ("the square is bluer", 1),
        ("the square is red .", 1),
        ("", 1),
    ],
)
def test_a_reference_is_a_run_of_whole_words(text, wrong):
    assert judged(text, ("the square is blue .",)).value == wrong


def test_one_right_reference_of_several_is_enough():
    assert judged("a kite", ("a drum", "kite")).value == 0


@pytest.mark.parametrize(("matches", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_vqa_accuracy_is_the_mean_over_ten_sets_of_nine(matches, accuracy):
    references = ["The two kites."] * matches + [f"other {k}" for k in range(10 - matches)]
    assert judged("2 kites", references, metric="vqa").value == pytest.approx(1 - accuracy)


@given(st.lists(st.sampled_from(["yes", "no", "maybe", "two"]), min_size=10, max_size=10), st.randoms())
def test_vqa_accuracy_does_not_depend_on_the_order_of_the_answers(answers, rng):
    shuffled = rng.sample(answers, 10)
    assert judged("yes", answers, metric="vqa") == judged("yes", shuffled, metric="vqa")


def test_what_cannot_be_judged_is_said():
    assert "no references" in judged("blue", ("", " . ")).reason
    assert "10 references, found 1" in judged("blue", ("blue",), metric="vqa").reason
    assert judged(Reply.error("line down"), ("blue",)).value is None
    with pytest.raises(ValueError, match="metric"):
        build("judges", "wrong-answer", metric="cider")
