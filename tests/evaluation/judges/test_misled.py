"""Misled: the word match of Tu et al. 2023, rejections apart as Dong et al. 2023 count them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.registry import build
from proofglass.types import Attempt, Chat, Reply, Sample


def score(reply, references=("a red kite",), objects=None, **parameters):
    meta = {} if objects is None else {"objects": objects}
    sample = Sample("a", "toy", Chat.user("what is it ?"), references=references, meta=meta)
    reply = reply if isinstance(reply, Reply) else Reply(reply)
    return build("judges", "misled", **parameters).score([Attempt(sample, sample.chat, reply)])[0]


def test_a_reply_without_any_of_the_words_is_misled_and_one_word_is_enough_to_be_right():
    wrong, right = (
        score("i see a drum", objects=["Kite", "String"]),
        score("A STRING , I think", objects=["kite", "string"]),
    )
    assert (wrong.value, wrong.label) == (1.0, "misled")
    assert (right.value, right.label) == (0.0, "right")
    assert "string" in right.reason


def test_commas_case_and_blanks_do_not_decide():
    assert score("It is a Red, kite").value == 0
    assert score("it is a red\n kite", references=("a  RED, kite",)).value == 0


def test_words_are_substrings_as_in_the_published_code():
    assert score("the category is unclear", objects=["cat"]).value == 0


def test_objects_stand_before_references():
    assert score("a red kite", objects=["drum"]).value == 1
    assert score("a red kite", objects=[]).value == 0


def test_a_refusal_is_counted_apart():
    apart, counted = score("I'm sorry, but I cannot help with that."), score("I cannot help", count_refusals=True)
    assert (apart.value, apart.label) == (0.0, "refused")
    assert (counted.value, counted.label) == (1.0, "refused")
    named = score("I cannot help with a red kite .", count_refusals=True)
    assert (named.value, named.label) == (0.0, "refused")  # Tu et al. look for the words alone


def test_one_object_may_be_a_text_by_itself():
    assert score("a fine broom", objects="kite").value == 1
    assert score("a fine kite", objects="kite").value == 0


@pytest.mark.parametrize(
    ("reply", "references", "why"),
    [
        ("a drum", (), "words"),
        ("a drum", (" ", ","), "words"),
        ("", ("kite",), "empty"),
        (Reply.error("line down"), ("kite",), "error"),
        (Reply("no", "blocked"), ("kite",), "blocked"),
    ],
)
def test_what_cannot_be_judged_is_unjudged_and_says_why(reply, references, why):
    found = score(reply, references)
    assert found.value is None
    assert why in found.reason


def test_another_rule_file_with_other_content_is_another_judge(tmp_path):
    rules = tmp_path / "rules.txt"
    rules.write_text("no way\n")
    one = build("judges", "misled", rules=str(rules))
    assert score("no way , a drum", rules=str(rules)).label == "refused"
    before = one.key
    rules.write_text("never\n")
    assert one.key != before


@given(st.text(max_size=20), st.text("abc ,", min_size=1, max_size=5))
def test_a_reply_that_holds_the_word_is_never_misled(around, word):
    found = score(f"{around} {word} {around}", references=(word,))
    assert found.label != "misled"


@pytest.mark.parametrize("odd", [3, True, 0, {"kite": 1}, {"kite"}, [None], ["kite", 3], b"kite"], ids=repr)
def test_odd_words_cost_their_sample_only(odd):
    found = score("a drum", objects=odd)
    assert (found.value, found.label) == (None, "unjudged")
    assert "objects: expected texts" in found.reason


@pytest.mark.parametrize("odd", ["abc", 3, None, {"kite": 1}, [None], ("kite", 3)], ids=repr)
def test_odd_references_cost_their_sample_unless_its_objects_are_told(odd):
    found = score("a drum", references=odd)
    assert found.value is None
    assert "references: expected" in found.reason
    assert score("a drum", references=odd, objects=["kite"]).value == 1.0
