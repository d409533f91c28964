"""What judges are shown, and judges that ask a helper: its silence is never a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from proofglass.flow import Flow
from proofglass.interfaces import Judge, Victim
from proofglass.judging import judge
from proofglass.records.journal import Journal, JournaledHelpers
from proofglass.types import Ask, Attempt, Chat, Reply, Sample, Score, Unsent


@dataclass(frozen=True)
class Grader(Victim):
    """Says yes where the text that it is asked about holds "fine"; what else it says is in `odd`."""

    name = "grader"
    odd: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list, compare=False)
    not_in_key = ("odd", "asked")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        texts = [ask.chat.last_text for ask in asks]
        self.asked.extend(texts)
        return [self.odd.get(text) or Reply("yes" if "fine" in text else "no") for text in texts]


GRADER = Grader()


@dataclass(frozen=True)
class Asks(Judge):
    """By what a helper says of the reply."""

    name = "asks"
    helper: Victim = GRADER

    def flow(self, attempt: Attempt) -> Flow[Score]:
        said = yield Ask(Chat.user(attempt.reply.text), to=self.helper)
        if said.text == "yes":
            return Score(self.name, 1.0)
        if "break" in said.text:
            raise ZeroDivisionError("no")
        return Score(self.name, 0.0)


@dataclass(frozen=True)
class ReadsAll(Judge):
    name = "reads"
    column = "reads"

    def score(self, attempts: Sequence[Attempt]) -> list[Score]:
        return [Score(self.name, 1.0, a.reply.text, a.reply.reasoning) for a in attempts]


class ReadsThoughts(ReadsAll):
    reads_reasoning = True


def attempts(*replies: Reply) -> dict[str, Attempt]:
    return {f"s{k}": Attempt(Sample(f"s{k}", "d", Chat.user("?")), Chat.user("?"), r) for k, r in enumerate(replies)}


def test_a_judge_that_asks_a_helper_judges_all_in_one_batch() -> None:
    grader = Grader()
    scores, fault = judge(Asks(grader), "label", attempts(Reply("fine"), Reply("bad"), Reply.error("500")))
    assert fault is None
    assert [(s.judge, s.value) for s in scores.values()] == [("label", 1.0), ("label", 0.0), ("label", None)]
    assert grader.asked == ["fine", "bad"]
    assert [s.value for s in Asks(grader).score(list(attempts(Reply("fine"), Reply("bad")).values()))] == [1.0, 0.0]


def test_its_helper_is_in_the_key_of_the_judge() -> None:
    @dataclass(frozen=True)
    class Other(Grader):
        name = "other"

    assert Asks(Grader()).key == Asks(Grader()).key != Asks(Other()).key


@pytest.mark.parametrize(
    ("silence", "why"),
    [
        (Reply.error("500"), "helper grader: error: 500"),
        (Reply("", "filtered", reason="hate"), "helper grader: filtered: hate"),
        (Reply("", "refused"), "helper grader: refused: nothing said"),
        (Reply("wall", "blocked", reason="wall"), "helper grader: blocked: wall"),
        (Reply("", finish="length", reasoning="well"), "helper grader: ok: nothing said"),
    ],
)
def test_the_silence_of_a_helper_is_no_verdict_and_no_fault_of_the_judge(silence: Reply, why: str) -> None:
    scores, fault = judge(Asks(Grader({"mute": silence})), "asks", attempts(Reply("mute"), Reply("fine")))
    assert fault is None
    assert (scores["s0"].value, scores["s0"].reason) == (None, why)
    assert scores["s1"].value == 1.0
    (alone,) = Asks(Grader({"mute": silence})).score(list(attempts(Reply("mute")).values()))
    assert (alone.value, alone.reason) == (None, why)


def test_what_breaks_in_a_dialogue_costs_that_score_and_is_a_fault_of_the_judge() -> None:
    broken = Asks(Grader({"odd": Reply("break")}))
    scores, fault = judge(broken, "asks", attempts(Reply("odd"), Reply("fine")))
    assert fault is not None
    assert (fault.replies, fault.of) == (1, 2)
    assert "ZeroDivisionError: no" in fault.reason
    assert [s.value for s in scores.values()] == [None, 1.0]


def test_an_ask_that_was_not_sent_is_one_to_come_back_to() -> None:
    scores, fault = judge(Asks(Grader({"late": Unsent.because("budget is spent")})), "asks", attempts(Reply("late")))
    assert fault is not None
    assert "budget is spent" in fault.reason
    assert scores["s0"].value is None


def test_a_judge_has_no_victim_to_ask() -> None:
    class Lost(Asks):
        def flow(self, attempt: Attempt) -> Flow[Score]:
            yield Ask(Chat.user("?"))
            return Score(self.name, 1.0)

    scores, fault = judge(Lost(), "lost", attempts(Reply("a")))
    assert fault is not None
    assert "a judge asks helpers only" in fault.reason
    assert scores["s0"].value is None


def test_a_judge_that_writes_neither_score_nor_flow_says_so() -> None:
    class Empty(Judge):
        name = "empty"

    scores, fault = judge(Empty(), "empty", attempts(Reply("a")))
    assert fault is not None
    assert "judge empty: writes neither score nor flow" in fault.reason
    assert scores["s0"].value is None


def test_judging_anew_asks_no_helper_twice(tmp_path) -> None:
    grader, told = Grader(), attempts(Reply("fine"), Reply("bad"))
    with Journal(tmp_path / "j") as journal:
        first, _ = judge(Asks(grader), "asks", told, JournaledHelpers(journal))
    with Journal(tmp_path / "j") as journal:
        again, _ = judge(Asks(grader), "asks", told, JournaledHelpers(journal))
    assert first == again
    assert grader.asked == ["fine", "bad"]


def test_only_a_judge_that_reads_thoughts_is_shown_them() -> None:
    told = attempts(Reply("a", reasoning="hm"), Reply("", finish="length", reasoning="well"), Reply("b"))
    plain, _ = judge(ReadsAll(), "reads", told)
    assert [(s.value, s.label, s.reason) for s in plain.values()] == [
        (1.0, "a", ""),
        (None, "unjudged", "cut off in its reasoning: no answer to judge"),
        (1.0, "b", ""),
    ]
    both, _ = judge(ReadsThoughts(), "reads", told)
    assert [(s.label, s.reason) for s in both.values()] == [("a", "hm"), ("", "well"), ("b", "")]
