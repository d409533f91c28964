"""A judge on label sets: what it gets right, what it breaks on, and what makes it change its mind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from proofglass.errors import UsageError
from proofglass.evaluation.labels import LabelledReply, LabelSet
from proofglass.evaluation.trust.check import Panel, attempt_of, check
from proofglass.evaluation.wrappers import WRAPPERS
from proofglass.interfaces import Judge
from proofglass.types import Attempt, Score


@dataclass(frozen=True)
class By(Judge):
    """Scores a text by a function of it."""

    name = "by"
    column = "yes"
    aspect = "refusal"

    says: Callable[[str], float | None] = field(default=lambda text: 1.0)
    seen: list[int] = field(default_factory=list)

    @property
    def key(self) -> str:
        return "by"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        self.seen.append(len(attempts))
        return [self._one(self.says(attempt.reply.text)) for attempt in attempts]

    def _one(self, value: Any) -> Score:
        return Score.unjudged(self.name, "out of words") if value is None else Score(self.name, value)


def rows(n=10):
    """Every other reply refuses; two to a question."""
    return tuple(
        LabelledReply(
            f"r{k}",
            "toy",
            f"m{k % 2}",
            f"q{k // 2}",
            "",
            "Open?",
            f"nope {k}" if k % 2 else f"ok {k}",
            "1 - no" if k % 2 else "2 - ok",
            {"refusal": float(k % 2)},
        )
        for k in range(n)
    )


SET = LabelSet("toy", rows(), ("row 3: empty",))


def refuses(text):
    return float("nope" in text.lower())


def test_a_judge_that_is_right_and_steady():
    found = check(By(refuses), [SET], wrappers=True)
    (on,) = found.sets
    assert (on.overall.accuracy.value, on.overall.kappa.value, on.bad, on.raters) == (1.0, 1.0, 1, None)
    assert {name: each.accuracy.value for name, each in on.slices["kind"].items()} == {"1 - no": 1.0, "2 - ok": 1.0}
    assert set(on.slices["model"]) == {"m0", "m1"}
    assert found.fault == ""
    assert all(not each.rate.value for each in found.stability)
    assert {each.name: each.rate.value for each in found.wrappers} == dict.fromkeys(
        (wrapper.name for wrapper in WRAPPERS), 0.0
    )


def test_a_complement_is_turned_round():
    turned = check(By(lambda text: 1 - refuses(text)), [SET], "not refusal", stability=False)
    assert turned.aspect == "not refusal"
    assert turned.sets[0].overall.accuracy.value == 1.0
    assert check(By(lambda text: 1 - refuses(text)), [SET], stability=False).sets[0].overall.accuracy.value == 0.0


def test_a_verdict_that_wrappers_steer_is_found():
    found = check(By(lambda text: float(text.startswith("nope"))), [SET], wrappers=True)
    changed = {each.name: (each.rate.value, each.to_yes) for each in found.wrappers}
    assert changed["willing words in front"] == (0.5, 0)
    assert changed["willing words behind"] == (0.0, 0)
    assert {each.name: each.rate.value for each in found.stability}["first letter's case"] == 0.5


def test_few_replies_are_wrapped_in_several_wordings():
    found = check(By(refuses), [LabelSet("toy", rows(80))], wrappers=True)
    by_name = {each.name: each.rate for each in found.wrappers}
    for wrapper in WRAPPERS:
        assert by_name[wrapper.name].n == 80 * min(3, len(wrapper.wordings)) >= 200
    assert by_name["emoji"].clusters == 40
    assert {each.rate.n for each in check(By(refuses), [SET], wrappers=True, most=4).wrappers} >= {16}


def test_what_is_unjudged_is_counted_apart_and_as_wrong():
    found = check(By(lambda text: None if text == "nope 1" else refuses(text)), [SET], stability=False)
    one = found.sets[0].overall
    assert (one.n, one.yes, one.unjudged, one.accuracy.value, one.strict.value) == (10, 5, 1, 1.0, 0.9)
    assert found.fault == ""
    assert found.reason == "out of words"


def test_a_judge_that_breaks_on_some_replies_is_at_fault_and_judges_the_others():
    def some(text):
        if text == "nope 3":
            raise RuntimeError("no such door")
        return refuses(text)

    found = check(By(some), [SET], stability=False)
    assert (found.broken, found.shown, found.sets[0].overall.unjudged) == (1, 10, 1)
    assert found.fault.startswith("broke on 1 of 10 replies: RuntimeError: no such door (test_check.py:")


@pytest.mark.parametrize(
    ("answer", "why"), [(lambda text: "high", "TypeError"), (lambda text: 7, "score lies in 0..1")]
)
def test_a_judge_that_answers_junk_is_at_fault(answer, why):
    found = check(By(answer), [SET], stability=False)
    assert found.broken == 10
    assert why in found.fault


def test_a_judge_that_judges_nothing_is_at_fault():
    found = check(By(lambda text: None), [SET], wrappers=True)
    assert found.fault == f"judged none of the {found.shown} replies that it was shown: out of words"
    assert found.sets[0].overall.accuracy.value is None
    assert all(each.rate.value is None for each in (*found.stability, *found.wrappers))


def test_a_judge_without_an_aspect_needs_one_and_labels_of_it():
    class Silent(By):
        aspect = ""

    with pytest.raises(UsageError, match="--aspect"):
        check(Silent(refuses), [SET])
    assert check(Silent(refuses), [SET], "refusal", stability=False).sets[0].overall.accuracy.value == 1.0
    with pytest.raises(UsageError, match="no label of 'unsafe' in toy"):
        check(By(refuses), [SET], "unsafe")


def test_batches_keep_order_and_progress_is_told():
    judge, heard = By(refuses), []
    said = Panel(judge, heard=heard.append).verdicts(rows(10), batch=4)
    assert said == [bool(k % 2) for k in range(10)]
    assert judge.seen == heard == [4, 4, 2]


def test_a_judge_sees_the_question_and_the_reply():
    (row, *_) = rows(1)
    attempt = attempt_of(row)
    assert (attempt.sample.cluster, attempt.sample.dataset) == ("q0", "toy")
    assert (attempt.conversation.last_text, attempt.reply.text) == ("Open?", "ok 0")


def test_a_judge_that_is_often_silent_is_still_wrapped_two_hundred_times():
    from proofglass.evaluation.trust.again import WANTED, drawn

    said = [True if k % 10 == 0 else None for k in range(3000)]
    places = drawn(said, 400, seed=0)
    assert sum(said[k] is not None for k in places) == WANTED
    assert len(set(places)) == len(places) < 400 + WANTED
    assert len(drawn([True] * 50, 400, seed=0)) == 50
