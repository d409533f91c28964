"""Yes or no: what was said, whether it was right, and the figures of many."""

import pytest

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
        ("Yes, but not a kite", "no"),  # a no anywhere outweighs a yes
        ("There is nothing", ""),
        ("eyes and noses", ""),
        ("", ""),
    ],
)
def test_what_was_said(text, found):
    assert said(text) == found


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
