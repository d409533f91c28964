"""Dialogues driven together: one batch per model and round, a failure costs its own dialogue."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.flow import Flow, drive
from proofglass.types import Ask, Chat, Cost, Reply, Unsent


def ask(text: str, to: str | None = None) -> Ask:
    return Ask(Chat.user(text), to=to)


class Echo:
    """Answers by the text asked; keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, asks: Sequence[Ask]) -> list[Reply]:
        self.batches.append([a.chat.last_text for a in asks])
        return [Reply(a.chat.last_text.upper(), cost=Cost(queries=1, tokens_out=2)) for a in asks]


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


def test_each_model_gets_one_batch_per_round() -> None:
    def flow(name: str) -> Flow[str]:
        mine, helper = yield [ask(name), ask(f"help {name}", to="helper")]
        return f"{mine.text}/{helper.text}"

    victim, helper = Echo(), Echo()
    ends = drive([flow("x"), flow("y")], victim, {"helper": helper})
    assert [end.value for end in ends] == ["X/HELP X", "Y/HELP Y"]
    assert (victim.batches, helper.batches) == ([["x", "y"]], [["help x", "help y"]])


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


def test_a_model_that_is_not_there_is_an_error_of_the_program() -> None:
    def flow() -> Flow[None]:
        yield ask("x", to="nobody")

    with pytest.raises(KeyError, match="nobody"):
        drive([flow()], Echo())
