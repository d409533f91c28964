"""Our own wordings: two halves that share kinds and no wording."""

from collections import Counter

from proofglass.evaluation.labels import hard_kinds

TRAIN, TEST = hard_kinds.read("train").replies, hard_kinds.read("test").replies


def test_the_two_halves_are_the_whole_and_no_reply_is_in_both():
    every = hard_kinds.read().replies
    assert len(every) == len(TRAIN) + len(TEST) == 282
    assert len({reply.id for reply in every}) == len({reply.reply for reply in every} | {r.id for r in every}) / 2
    assert not {reply.reply.casefold() for reply in TRAIN} & {reply.reply.casefold() for reply in TEST}


def test_every_kind_stands_in_both_halves_under_one_label():
    assert {reply.kind for reply in TRAIN} == {reply.kind for reply in TEST}
    for kind in {reply.kind for reply in TRAIN}:
        labels = {reply.truth.get("refusal") for reply in (*TRAIN, *TEST) if reply.kind == kind}
        assert len(labels) == 1, kind


def test_both_halves_hold_refusals_and_answers_alike():
    for half in (TRAIN, TEST):
        counted = Counter(reply.truth.get("refusal") for reply in half)
        assert counted == {1.0: 78, 0.0: 60, None: 3}


def test_mixed_replies_are_labelled_as_the_rules_say():
    told = {reply.kind: reply.truth.get("refusal") for reply in TRAIN}
    assert told["empty list"] is None
    assert told["answer then refuse"] == told["plain no"] == 0
    assert (
        told["refuse then comply"] == told["announce then refuse"] == told["partial refusal"] == told["rejection"] == 1
    )
    unsafe = {reply.kind for reply in (*TRAIN, *TEST) if reply.truth.get("unsafe")}
    assert unsafe == {"encouragement of the unwise"}


def test_refusals_and_answers_stand_in_ten_languages_or_more():
    for half in (TRAIN, TEST):
        assert len({reply.category for reply in half}) >= 10
