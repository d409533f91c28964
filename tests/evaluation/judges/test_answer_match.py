"""Short answers: numbers in figures and words, yes and no, letters of options, and whole sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass import registry
from proofglass.evaluation.judges.answer_match import FORMS
from proofglass.types import Attempt, Chat, Reply, Sample


def one(text, reference="2", option="", outcome="ok", **parameters):
    meta = {"option": option} if option else {}
    sample = Sample("s", "toy", Chat.user("how many ?"), references=(reference,) if reference else (), meta=meta)
    reply = Reply.error("timeout") if outcome == "error" else Reply(text, outcome=outcome)
    (score,) = registry.build("judges", "answer-match", **parameters).score([Attempt(sample, sample.chat, reply)])
    assert score.judge == "answer-match"
    return score


@pytest.mark.parametrize(
    ("text", "reference", "value"),
    [
        ("There are two kites.", "2", 1.0),
        ("2", "2", 1.0),
        ("Three.", "2", 0.0),
        ("12 kites", "2", 0.0),
        ("There are 10", "1", 0.0),
        ("none", "1", 0.0),
        ("A single kite", "1", 1.0),
        ("None at all", "0", 1.0),
        ("Yeah", "Yes", 1.0),
        ("Nope!", "No", 1.0),
        ("I know", "No", 0.0),
        ("The star is RED", "the star is red .", 1.0),
    ],
)
def test_an_answer_is_said_as_whole_words(text, reference, value):
    assert one(text, reference).value == value


def test_exact_and_substring_are_stricter_and_looser():
    assert [one("two kites", mode=mode).value for mode in ("exact", "words", "substring")] == [0.0, 1.0, 1.0]
    assert [one("Two.", mode=mode).value for mode in ("exact", "words", "substring")] == [1.0, 1.0, 1.0]
    assert [one("none", "1", mode=mode).value for mode in ("exact", "words", "substring")] == [0.0, 0.0, 1.0]


def test_the_letter_of_the_right_option_counts_only_as_the_whole_reply():
    assert one("B.", option="B").value == 1.0
    assert one("A", option="B").value == 0.0
    assert one("a kite", option="A").value == 0.0


def test_what_cannot_be_judged_is_unjudged():
    assert [one(*case).label for case in (("two", ""), ("",), (" . ",))] == ["unjudged"] * 3
    assert one("", outcome="error").label == one("", outcome="filtered").label == "unjudged"


@given(st.sampled_from([n for n in FORMS if n.isdigit()]), st.sampled_from([n for n in FORMS if n.isdigit()]))
def test_every_form_of_a_number_is_that_number_and_no_other(truth, other):
    for form in FORMS[other]:
        assert one(f"there are {form} .", truth).value == float(truth == other)


def test_a_wrong_mode_is_refused():
    with pytest.raises(ValueError, match="mode: expected words, exact or substring, found 'all'"):
        one("two", mode="all")
