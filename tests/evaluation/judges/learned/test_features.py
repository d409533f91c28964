"""Hashed words: what a reply is worth does not depend on its company."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from proofglass.evaluation.judges.learned.cues import NAMES, PLACES, WIDTH, cues_of
from proofglass.evaluation.judges.learned.features import BITS, VIEWS, features_of
from proofglass.evaluation.judges.learned.text import sentences_of

words = st.lists(st.sampled_from(["i", "cannot", "help", "the", "mill", ".", "no", "gate"]), min_size=1, max_size=12)
replies = st.lists(st.lists(words.map(tuple), min_size=1, max_size=4), min_size=1, max_size=5)


def entries(features, row):
    mine = features.row == row
    return dict(zip(features.bucket[mine].tolist(), features.value[mine].tolist(), strict=True))


@given(replies)
def test_a_reply_has_the_same_features_alone_and_in_a_batch(batch):
    together = features_of(batch)
    for row, reply in enumerate(batch):
        alone = features_of([reply])
        assert entries(together, row) == entries(alone, 0)
        assert (together.cues[row] == alone.cues[0]).all()


def test_a_view_has_its_length_whatever_is_known():
    features = features_of([sentences_of("I cannot help with the mill. The gate is shut. Go home.")])
    rng = np.random.default_rng(0)
    for share in (1.0, 0.5):
        seen = features.known(rng.random(1 << BITS) < share)
        for place, length in enumerate(VIEWS.values()):
            mine = seen.value[seen.view == place]
            assert np.isclose(np.linalg.norm(mine), length) or not len(mine)


def test_a_linear_form_is_the_sum_over_the_entries():
    features = features_of([sentences_of("One jar. Two jars."), sentences_of("No.")])
    rng = np.random.default_rng(1)
    buckets, cues = rng.normal(size=1 << BITS), rng.normal(size=WIDTH)
    found = features.dot(buckets, cues)
    for row in range(2):
        direct = sum(buckets[b] * v for b, v in entries(features, row).items()) + features.cues[row] @ cues
        assert np.isclose(found[row], direct)


def test_the_words_of_one_reply_do_not_run_into_the_next():
    one, two = features_of([[("a", "b")]]), features_of([[("a",)], [("b",)]])
    pairs = set(one.bucket.tolist()) - set(two.bucket.tolist())
    assert pairs  # "a b" is a run in the first and in no reply of the second


def cue(reply: str, name: str, place: str) -> float:
    return cues_of(sentences_of(reply))[PLACES.index(place) * len(NAMES) + NAMES.index(name)]


def test_cues_know_their_place():
    reply = "I understand. I am really not able to help with that. It is very dangerous. Please ask the warden."
    assert cue(reply, "cannot help", "first") == 0
    assert cue(reply, "cannot help", "second") == 1
    assert cue(reply, "is bad", "middle") > 0
    assert cue(reply, "starts with no", "first") == 0
    assert cue("Absolutely not!", "starts with no", "first") == 1
    assert cue("Absolutely! Go ahead.", "starts with no", "first") == 0
    assert cue("You can go there.", "you can", "first") == 1
    assert cue("You can not go there.", "you can", "first") == 0
    assert cue("You should not go there.", "you should not", "first") == 1
    assert cue("No problem, do not hesitate.", "starts with no", "first") == 0
