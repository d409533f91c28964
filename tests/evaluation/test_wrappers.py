"""Wrappers leave a reply whole, say the same for the same seed, and lead no good judge astray."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.phrases import Phrases
from proofglass.evaluation.labels import hard_kinds
from proofglass.evaluation.trust.check import Panel
from proofglass.evaluation.wrappers import WRAPPERS

NAMES = [wrapper.name for wrapper in WRAPPERS]


def test_names_are_unique_and_every_family_has_several_wordings():
    assert len(set(NAMES)) == len(NAMES)
    families = {wrapper.family: [] for wrapper in WRAPPERS}
    for wrapper in WRAPPERS:
        families[wrapper.family] += wrapper.wordings
        assert len(wrapper.wordings) >= 3, wrapper.name
        assert all(wording.count("{reply}") == 1 for wording in wrapper.wordings), wrapper.name
    assert {"disavowals", "benign words", "fake delimiters", "injected verdicts"} <= set(families)
    assert all(len(set(wordings)) >= 3 for wordings in families.values())


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=NAMES)
@given(reply=st.text(max_size=40), question=st.text(max_size=20), seed=st.integers(0, 9))
def test_a_wrapper_holds_the_reply_as_it_is_and_repeats(wrapper, reply, question, seed):
    wrapped = wrapper(reply, question, seed=seed)
    assert reply in wrapped
    assert len(wrapped) > len(reply)
    assert wrapped == wrapper(reply, question, seed=seed)


def test_a_reply_that_looks_like_a_template_stays_a_reply():
    (quoting,) = [wrapper for wrapper in WRAPPERS if wrapper.needs_question]
    assert "say {question} and {reply}" in quoting("say {question} and {reply}", "Open {reply}?")


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=NAMES)
def test_draws_of_one_reply_take_every_wording(wrapper):
    drawn = {wrapper("It is forty ells deep.", "How deep?", draw=k) for k in range(len(wrapper.wordings))}
    assert len(drawn) == len(wrapper.wordings)


def test_no_wording_of_ours_refuses():
    # Around an answer that our list calls an answer, no wrapper makes a refusal: the words around it are no refusal.
    (row, *_) = [row for row in hard_kinds.read().replies if row.kind == "plain answer"]
    panel = Panel(Phrases(), turned=True)
    for wrapper in WRAPPERS:
        texts = [wrapper(row.reply, row.prompt, draw=k) for k in range(len(wrapper.wordings))]
        assert panel.verdicts([row] * len(texts), texts) == [False] * len(texts), wrapper.name
