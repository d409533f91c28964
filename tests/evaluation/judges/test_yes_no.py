"""Yes or no: what was said, whether it was right, and the figures of many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass import registry
from proofglass.evaluation.judges.yes_no import said
from proofglass.types import Attempt, Chat, Reply, Sample


def one(text, reference="Yes", outcome="ok", **parameters):
    sample = Sample("s", "toy", Chat.user("is it ?"), references=(reference,) if reference else ())
    reply = Reply.error("timeout") if outcome == "error" else Reply(text, outcome=outcome)
    (score,) = registry.build("judges", "yes-no", **parameters).score([Attempt(sample, sample.chat, reply)])
    assert score.judge == "yes-no"
    return score


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Yes.", "yes"),
        ("yes , there is a star .", "yes"),
        ("“Yeah!”", "yes"),
        ("No", "no"),
        ("NO.", "no"),
        ("It is not a kite", "no"),
        ("Yes, but not a kite", "yes"),  # the first answer counts
        ("No doubt, yes", "yes"),
        ("No doubt about it, yes.", "yes"),
        ("No question about it: yes", "yes"),
        ("There is no question", "no"),
        ("There is no doubt that there is no kite", "no"),
        ("It is not only a kite", ""),
        ("It is not a kite, I am sure", "no"),
        ("The sign doesn't say yes", "no"),
        ("The answer is: YES", "yes"),
        ("Ｙｅｓ", "yes"),
        ("There isn’t a kite", "no"),
        ("I don't think so", "no"),
        ("The image does not show a kite", "no"),
        ("There is no kite in the picture", "no"),
        ("It is certain that there is no kite", "no"),
        ("Not a kite; I am certain", "no"),
        ("Yes. I am not sure why, though", "yes"),
        ("There is nothing", ""),
        ("eyes and noses", ""),
        ("", ""),
    ],
)
def test_what_was_said(text, found):
    assert said(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "I'm not sure",
        "I’m not entirely sure.",
        "not certain",
        "I cannot tell",
        "I can't tell, no",
        "I do not know.",
        "I don't know",
        "yes and no",
        "Yes or no?",
        "Yes. No.",
        "neither yes nor no",
        "I have no idea",
        "There is no way to know",
        "It is not possible to determine whether there is a kite",
        "It's not clear",
        "maybe not",
        "not necessarily",
        "It could be yes or it could be no",
        "I'm not sure, but yes",
        "No, I cannot tell",
        "I do not have access to images",
        "No image was provided.",
        "I don't see an image",
        "I'd rather not say",
        "Sorry, I'm not able to help with that",
        "I am not a hundred percent sure",
        "I'm not one hundred per cent certain, but no",
        "I'm not at all completely sure",
        "I am not really able to say",
        "I wasn't quite able to tell, no",
        "I wouldn't say yes",
        "I would not go so far as to say yes",
        "I won't say no",
        "I don't want to say no",
        "I hesitate to say yes",
    ],
)
def test_doubt_is_no_answer(text):
    assert said(text) == "unsure"
    score = one(text, "No")
    assert (score.value, score.label, score.reason) == (None, "invalid", "the reply is unsure")


@given(st.text(), st.sampled_from(["Yes", "no", "yeah", "It is not"]))
def test_the_first_sentence_decides_whatever_follows(rest, answer):
    assert said(f"{answer}.\n{rest}") in ("yes" if answer in ("Yes", "yeah") else "no", "unsure")


@given(st.text(), st.text())
def test_the_released_parser_stays_as_it_was(before, after):
    for text in (before, f"{before} no,{after}", f"{before} Yes {after}", f"not {after}"):
        known = set(text.replace(",", "").split(" "))
        expected = "no" if known & {"No", "no", "not"} else "yes" if known & {"Yes", "yes", "yeah"} else ""
        assert said(text, released=True) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [("Yes", "yes"), ("Yes, it is", "yes"), ("Yes.", ""), ("YES", ""), ("Not that", ""), ("No", "no")],
)
def test_the_released_parser_knows_bare_words_only(text, found):
    assert said(text, released=True) == found
    assert one(text, released=True).label == (found or "invalid")


def test_the_score_is_whether_the_reference_was_said_and_the_label_what_was_said():
    found = [
        (s.value, s.label) for s in (one("Yes."), one("No."), one("Yes.", "No"), one("no", "no , there is none ."))
    ]
    assert found == [(1.0, "yes"), (0.0, "no"), (0.0, "yes"), (1.0, "no")]


def test_neither_is_invalid_and_what_cannot_be_judged_is_not():
    assert (one("perhaps").value, one("perhaps").label) == (None, "invalid")
    assert one("yes", "a kite").label == one("yes", "").label == "unjudged"
    assert one("", outcome="error").label == one("", outcome="filtered").label == "unjudged"
