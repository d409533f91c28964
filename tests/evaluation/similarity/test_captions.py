"""Tokens of captions: as the Stanford PTBTokenizer gives them, less punctuation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.similarity.captions import tokens


# What the Java program gave (version 3.4.1, -lowerCase), less the marks that COCO's code drops.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A man riding a bike.", "a man riding a bike"),
        ("Two dogs don't run, they sleep.", "two dogs do n't run they sleep"),
        ("A red-and-white bus at 5:30 p.m.", "a red-and-white bus at 5:30 p.m."),
        ("It's the man's dog; he'd run.", "it 's the man 's dog he 'd run"),
        ("The U.S. flag (large) waves.", "the u.s. flag -lrb- large -rrb- waves"),
        ("A 3.5 kg cat costs $2,000.", "a 3.5 kg cat costs $ 2,000"),
        ("He can't see and cannot run.", "he ca n't see and can not run"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_captions(text: str, found: str) -> None:
    assert tokens(text) == found.split()


@given(st.text())
def test_any_text_has_tokens_without_blanks(text: str) -> None:
    assert all(token and not set(token) & set(" \n\t") for token in tokens(text))
