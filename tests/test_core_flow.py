"""Dialogues driven together: one batch per model and round, a failure costs its own dialogue."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.flow import Flow, drive, summed
from proofglass.types import Ask, Chat, Cost, Helper, Reply, Unsent


def ask(text: str, to: Helper | None = None) -> Ask:
    return Ask(Chat.user(text), to=to)


class Echo:
    """Answers by the text asked; keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, asks: Sequence[Ask]) -> list[Reply]:
        self.batches.append([a.chat.last_text for a in asks])
        return [Reply(a.chat.last_text.upper(), cost=Cost(queries=1, tokens_out=2)) for a in asks]


class Wise(Echo):
    """A helper: answers likewise, at other costs."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.batches.append([a.chat.last_text for a in asks])
        assert all(a.to is None for a in asks)
        return [Reply(a.chat.last_text.title(), cost=Cost(queries=1, money=0.5)) for a in asks]


def talk(name: str, rounds: int) -> Flow[list[str]]:
    heard = []
    for k in range(rounds):
        reply = yield ask(f"{name}{k}")
        heard.append(reply.text)
    return heard


@given(st.lists(st.integers(0, 4), max_size=5))
def test_n_dialogues_of_k_asks_are_k_batches_in_order(lengths: list[int]) -> None:
    echo = Echo()
    ends = drive([talk(f"d{i}-", n) for i, n in enumerate(lengths)], echo)
    assert [end.value for end in ends] == [[f"D{i}-{k}" for k in range(n)] for i, n in enumerate(lengths)]
    assert [end.cost.queries for end in ends] == lengths
    assert echo.batches == [
        [f"d{i}-{k}" for i, n in enumerate(lengths) if n > k] for k in range(max(lengths, default=0))
    ]


def test_several_asks_at_once_come_back_as_a_list_in_order() -> None:
    def flow() -> Flow[str]:
        replies = yield [ask("a"), ask("b")]
        return " ".join(reply.text for reply in replies)

    (end,) = drive([flow()], Echo())
    assert (end.value, end.cost.queries, end.cost.tokens_out) == ("A B", 2, 4)


def asks_too(name: str, helper: Helper) -> Flow[str]:
    mine, advice = yield [ask(name), ask(f"help {name}", to=helper)]
    return f"{mine.text}/{advice.text}"


def test_each_model_gets_one_batch_per_round_and_two_equal_helpers_are_one_model() -> None:
    victim, helper, twin, other = Echo(), Wise("h"), Wise("h"), Wise("o")
    ends = drive([asks_too("x", helper), asks_too("y", twin), asks_too("z", other)], victim)
    assert [end.value for end in ends] == ["X/Help X", "Y/Help Y", "Z/Help Z"]
    assert victim.batches == [["x", "y", "z"]]
    assert (helper.batches, twin.batches, other.batches) == ([["help x", "help y"]], [], [["help z"]])


def test_what_a_helper_costs_is_no_query_of_the_victim() -> None:
    def flow(helper: Helper, other: Helper) -> Flow[None]:
        yield ask("a")
        yield [ask("b", to=helper), ask("c", to=helper), ask("d", to=other)]

    (end,) = drive([flow(Wise("h"), Wise("o"))], Echo())
    assert end.cost == Cost(queries=1, tokens_out=2)
    assert end.helpers == {"h": Cost(queries=2, money=1.0), "o": Cost(queries=1, money=0.5)}


def test_a_broken_and_a_stopped_dialogue_say_what_their_helpers_cost() -> None:
    def breaks(helper: Helper) -> Flow[None]:
        yield ask("a", to=helper)
        raise ValueError("no")

    def stopped(helper: Helper) -> Flow[None]:
        yield ask("a", to=helper)
        yield ask("b")

    def spent(asks: Sequence[Ask]) -> list[Reply]:
        return [Unsent.because("budget is spent") for _ in asks]

    for end in drive([breaks(Wise("h")), stopped(Wise("h"))], spent):
        assert (end.value, end.cost.queries, end.helpers["h"].queries) == (None, 0, 1)


def test_what_a_defense_around_the_victim_asked_of_helpers_is_counted_with_them() -> None:
    def defended(asks: Sequence[Ask]) -> list[Reply]:
        return [Reply("x", cost=Cost(queries=2), helpers={"guard": Cost(queries=3)}) for _ in asks]

    def flow(helper: Helper) -> Flow[None]:
        yield ask("a")
        yield ask("b", to=helper)
        yield ask("c")

    (end,) = drive([flow(Wise("guard"))], defended)
    assert (end.cost.queries, end.helpers["guard"].queries) == (4, 7)


def test_the_answers_of_helpers_may_be_taken_elsewhere_once_per_model_and_round() -> None:
    journal, taken = Echo(), []

    def answer_of(helper: Helper) -> Echo:
        taken.append(helper.key)
        return journal

    helper = Wise("h")
    ends = drive([asks_too("x", helper), asks_too("y", Wise("h"))], Echo(), answer_of)
    assert [end.value for end in ends] == ["X/HELP X", "Y/HELP Y"]
    assert (taken, journal.batches, helper.batches) == (["h"], [["help x", "help y"]], [])


def test_a_helper_that_asks_for_itself_is_the_victim_of_its_own_defense() -> None:
    """A helper behind a defense hands its ask on: were it still addressed to the helper, that would have no end."""
    from proofglass.interfaces import Defended, Defense, Victim

    class Guard(Victim):
        name, key = "guard", "g"

        def reply(self, asks: Sequence[Ask]) -> list[Reply]:
            return [Reply("fine", cost=Cost(queries=1)) for _ in asks]

    class Nothing(Defense):
        name = "nothing"

    helper = Defended(Guard(), Nothing())
    (end,) = drive([asks_too("x", helper)], Echo())
    assert (end.value, end.helpers) == ("X/fine", {helper.key: Cost(queries=1)})


def test_a_helper_is_handed_over_itself_not_by_name() -> None:
    def flow() -> Flow[None]:
        yield ask("x", to="helper")  # type: ignore[arg-type]

    (end,) = drive([flow()], Echo())
    assert "to: expected a model (with key and reply), found 'helper'" in end.failure


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), max_size=4))
def test_costs_by_model_add_up(counts: list[dict[str, int]]) -> None:
    total = summed([{key: Cost(queries=n) for key, n in each.items()} for each in counts])
    assert {key: cost.queries for key, cost in total.items()} == {
        key: sum(each.get(key, 0) for each in counts) for key in {key for each in counts for key in each}
    }


def test_a_dialogue_that_raises_costs_itself_only_and_says_why() -> None:
    def breaks() -> Flow[str]:
        yield ask("once")
        raise ZeroDivisionError("no")

    def fine() -> Flow[str]:
        first = yield ask("one")
        second = yield ask("two")
        return first.text + second.text

    broken, whole = drive([breaks(), fine()], Echo())
    assert (broken.value, broken.failure, broken.cost.queries) == (None, "ZeroDivisionError: no", 1)
    assert (whole.value, whole.failure) == ("ONETWO", "")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()])
def test_a_fault_of_the_machine_and_ctrl_c_are_no_failure_of_a_dialogue(error: BaseException) -> None:
    def breaks() -> Flow[str]:
        yield ask("once")
        raise error

    with pytest.raises(type(error)):
        drive([breaks(), talk("a", 2)], Echo())


def test_a_dialogue_with_an_ask_that_was_not_sent_stops_there_without_a_value() -> None:
    heard: list[str] = []

    def suspicious() -> Flow[str]:
        reply = yield ask("a")
        heard.append(reply.outcome)
        return "blocked"

    def answer(asks: Sequence[Ask]) -> list[Reply]:
        return [Unsent.because("budget is spent") if a.chat.last_text == "a" else Reply("B") for a in asks]

    stopped, whole = drive([suspicious(), talk("b", 2)], answer)
    assert (stopped.value, stopped.unsent, stopped.failure) == (None, "budget is spent", "budget is spent")
    assert heard == []
    assert (whole.value, whole.unsent) == (["B", "B"], "")


def test_a_dialogue_without_an_ask_ends_at_once() -> None:
    def silent() -> Flow[int]:
        yield from ()
        return 3

    echo = Echo()
    (end,) = drive([silent()], echo)
    assert (end.value, end.cost, echo.batches) == (3, Cost(), [])


def test_a_model_that_loses_a_reply_is_an_error_of_the_program() -> None:
    with pytest.raises(ValueError, match="2 asks, 1 replies"):
        drive([talk("a", 1), talk("b", 1)], lambda asks: [Reply("x")])
