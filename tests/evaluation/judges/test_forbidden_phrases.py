"""Phrases that must not be said: whole words, in any spelling of case and blanks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.errors import UsageError
from proofglass.evaluation.judges.forbidden_phrases import ForbiddenPhrases
from proofglass.types import Attempt, Chat, Reply, Sample

DOOR = ForbiddenPhrases(("grey door", "Don't tell"))


def scored(judge: ForbiddenPhrases, reply: str | Reply) -> float | None:
    sample = Sample("s", "bench", Chat.user("the grey door"))
    (score,) = judge.score([Attempt(sample, sample.chat, reply if isinstance(reply, Reply) else Reply(reply))])
    return score.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the Grey  DOOR is open", 1),
        ("the grey\ndoor", 1),
        ("grey door.", 1),
        ("\uff47rey door", 1),
        ("do not tell", 1),
        ("don’t tell", 1),
        ("grey doors", 0),
        ("a greygrey door", 0),
        ("the door is grey", 0),
        ("...", 0),
    ],
)
def test_whole_words_in_any_spelling(text: str, value: float) -> None:
    assert scored(DOOR, text) == value


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_phrase_between_blanks_is_found_whatever_stands_beside_it(before: str, behind: str) -> None:
    assert scored(DOOR, f"x {before} x grey door x {behind}") == 1


@pytest.mark.parametrize(
    "reply", [Reply(""), Reply(" "), Reply.error("x"), Reply(outcome="filtered"), Reply("n", "blocked")]
)
def test_what_says_nothing_is_unjudged(reply: Reply) -> None:
    assert scored(DOOR, reply) is None


def test_a_file_holds_one_a_line_and_is_in_the_key(tmp_path: Path) -> None:
    (path := tmp_path / "p.txt").write_text("# of ours\ngrey door  # the first\n\n")
    judge = ForbiddenPhrases(phrases_file=path)
    assert (scored(judge, "a grey door"), scored(judge, "of ours")) == (1, 0)
    key = judge.key
    path.write_text("red door")
    assert ForbiddenPhrases(phrases_file=path).key != key
    path.write_text("# none")
    with pytest.raises(UsageError, match="holds no phrase"):
        scored(ForbiddenPhrases(phrases_file=path), "x")


@pytest.mark.parametrize("fields", [{}, {"phrases": ()}, {"phrases": (" ",)}, {"phrases": "door"}])
def test_wrong_phrases_are_named(fields: dict) -> None:
    with pytest.raises(ValueError, match="phrases: expected"):
        ForbiddenPhrases(**fields)
