from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.errors import StoreError, UsageError
from proofglass.interfaces import Victim
from proofglass.records.journal import Answered, Journal, JournaledHelpers, JournaledVictim, batch_key
from proofglass.types import Ask, Chat, Cost, Decision, Image, Reply, Settings, Unsent


class Counting(Victim):
    """Answers its own running number."""

    name = "counting"

    def __init__(self) -> None:
        self.batches: list[int] = []

    @property
    def key(self) -> str:
        return "counting"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.batches.append(len(asks))
        return [Reply(f"batch {len(self.batches)}, ask {k}") for k in range(len(asks))]


class Named(Counting):
    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    @property
    def key(self) -> str:
        return self._key


class Loading(Named):
    """Loads its weights once it is asked."""

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        self.weights = True
        return [Reply("x", cost=Cost(queries=1)) for _ in asks]


class Spent(Named):
    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Unsent.because("budget is spent") for _ in asks]


def asks(*texts: str) -> list[Ask]:
    return [Ask(Chat.user(text)) for text in texts]


FULL = Reply(
    "text with \ud800 half a character and ünïcode\n",
    outcome="blocked",
    finish="length",
    reason="why",
    decisions=(Decision("gate", True, 0.1 + 0.2, None, "r"),),
    cost=Cost(1, 2, 3, 4, 5, 0.1, 0.7, 8),
    reasoning="hm\n",
    helpers={"guard": Cost(queries=2, money=0.1 + 0.2)},
)


def test_a_reply_comes_back_from_the_journal_as_it_went_in(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(Answered("b", "v", (FULL, Reply("x")), 0.25))
        assert journal.recall("b") == Answered("b", "v", (FULL, Reply("x")), 0.25)
    with Journal(tmp_path / "j") as journal:
        assert journal.recall("b") == Answered("b", "v", (FULL, Reply("x")), 0.25)
        assert journal.recall("c") is None


def test_a_batch_that_is_there_is_never_asked_again_not_even_by_another_run(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    with Journal(tmp_path / "j") as journal:
        told = JournaledVictim(first, journal).reply(asks("a", "b"))
        assert JournaledVictim(first, journal).reply(asks("a", "b")) == told
    with Journal(tmp_path / "j") as journal:
        victim = JournaledVictim(second, journal)
        assert victim.reply(asks("a", "b")) == told
        assert (victim.asked, victim.recalled) == (0, 2)
        victim.reply(asks("a"))
        assert (victim.asked, victim.recalled) == (1, 2)
    assert first.batches == [2]
    assert second.batches == [1]


def test_a_recalled_batch_took_the_seconds_that_the_victim_took(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(Answered(batch_key("counting", asks("a")), "counting", (Reply("x"),), 12.5))
        victim = JournaledVictim(Counting(), journal)
        victim.reply(asks("a"))
        assert victim.seconds == 12.5


def test_everything_that_can_change_an_answer_changes_the_key_of_its_batch() -> None:
    import numpy as np

    image = Image.from_array(np.zeros((2, 2, 3), np.uint8))
    other = Image.from_array(np.ones((2, 2, 3), np.uint8))
    batches = [
        ("v", asks("a", "b")),
        ("w", asks("a", "b")),
        ("v", asks("b", "a")),
        ("v", asks("a")),
        ("v", asks("ab")),
        ("v", [Ask(Chat.user("a", "b"))]),
        ("v", [Ask(Chat.user("a"), Settings(temperature=0.5))]),
        ("v", [Ask(Chat.user("a"), Settings(draw=1))]),
        ("v", [Ask(Chat.user("a").with_system("s"))]),
        ("v", [Ask(Chat.user("a").say("s"))]),
        ("v", [Ask(Chat.user(image, "a"))]),
        ("v", [Ask(Chat.user("a", image))]),
        ("v", [Ask(Chat.user(other, "a"))]),
        ("v", [Ask(Chat.user(image.sha256, "a"))]),
    ]
    assert len({batch_key(victim, asked) for victim, asked in batches}) == len(batches)


def test_the_same_ask_to_two_models_is_two_batches_and_to_one_model_in_two_roles_is_one(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        victim, helpers = Counting(), JournaledHelpers(journal)
        told = JournaledVictim(victim, journal).reply(asks("a"))
        assert helpers(victim)([Ask(Chat.user("a"))]) == told
        assert victim.batches == [1]
        other = Named("other")
        assert helpers(other)(asks("a")) == told  # its own first answer, which is worded alike
        assert other.batches == [1]
        assert len(journal) == 2


def test_two_equal_helpers_are_one_model_and_the_one_that_was_handed_over_loads_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        one, two = Loading("h"), Loading("h")
        helpers = JournaledHelpers(journal)
        helpers(one)(asks("a"))
        helpers(two)(asks("b", "c"))
        assert not vars(one).get("weights")
        assert not vars(two).get("weights")
        assert helpers.costs == {"h": Cost(queries=3)}
        assert [(key, asked.asked) for key, asked in helpers.by_key.items()] == [("h", 3)]


def test_asks_of_helpers_that_were_not_sent_are_counted_and_asked_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        helpers = JournaledHelpers(journal)
        (reply,) = helpers(Spent("h"))(asks("a"))
        assert isinstance(reply, Unsent)
        assert helpers.unsent == {"budget is spent": 1}
        assert len(journal) == 0


def test_a_line_of_an_older_journal_is_read(tmp_path: Path) -> None:
    """Before replies kept what helpers cost, and what was thought."""
    import json

    from proofglass.records.checksums import signed

    old = {"text": "x", "outcome": "ok", "finish": "stop", "reason": "", "decisions": [], "fault": ""}
    old["cost"] = {"forward": 1, "backward": 0, "queries": 1, "tokens_in": 2, "tokens_out": 3, "money": 0.0}
    old["cost"] |= {"seconds": 0.0, "peak_bytes": 0}
    line = {"batch": "b", "victim": "v", "replies": [old], "seconds": 0.5}
    (tmp_path / "j").write_bytes(signed(json.dumps(line).encode()))
    with Journal(tmp_path / "j") as journal:
        read = journal.recall("b")
    assert read == Answered("b", "v", (Reply("x", cost=Cost(1, 0, 1, 2, 3)),), 0.5)


def _three_batches(path: Path) -> list[int]:
    """A journal of three batches; returns the end of each line in bytes."""
    ends = []
    with Journal(path) as journal:
        for name in "abc":
            journal.append(Answered(name, "v", (Reply(f"reply {name}"),), 0.5))
            ends.append(path.stat().st_size)
    return ends


def test_cut_at_any_byte_a_journal_holds_exactly_the_batches_that_were_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    ends = _three_batches(path)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path) as journal:
            kept = sum(end <= cut for end in ends)
            assert [name in journal for name in "abc"] == [k < kept for k in range(3)]
            journal.append(Answered("d", "v", (Reply("after"),), 0.5))
        with Journal(path) as journal:  # what was written after the cut stands on a line of its own
            assert len(journal) == kept + 1
            assert journal.recall("d") == Answered("d", "v", (Reply("after"),), 0.5)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=60).filter(lambda tail: b"\n" not in tail))
def test_whatever_a_crash_left_behind_the_last_line_is_dropped(tmp_path_factory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    _three_batches(path)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with Journal(path) as journal:
        assert len(journal) == 3
    assert path.read_bytes() == whole


def test_damage_in_the_middle_is_told_with_its_line_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "j"
    _three_batches(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"bat\n' + lines[2])
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"j:2: not as it was written.*cut it before this line"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_whole_lines_only_and_the_journal_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    _three_batches(path)
    before = path.read_bytes()
    real = os.write

    def full(file: int, data: bytes) -> int:
        if state["calls"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        state["calls"] += 1
        return real(file, data[:20])

    state = {"calls": 0}
    with Journal(path) as journal:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="the disk is full"):
            journal.append(Answered("d", "v", (Reply("x"),), 0.5))
        assert path.read_bytes() == before
        assert "d" not in journal
        monkeypatch.setattr(os, "write", real)
        journal.append(Answered("d", "v", (Reply("x"),), 0.5))
    with Journal(path) as journal:
        assert len(journal) == 4


class Failing(Counting):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        raise self.error


def test_a_victim_that_breaks_costs_its_batch_and_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        replies = JournaledVictim(Failing(RuntimeError("out of memory")), journal).reply(asks("a", "b"))
        assert [r.outcome for r in replies] == ["error", "error"]
        assert "RuntimeError: out of memory" in replies[0].reason
        assert len(journal) == 0
        assert JournaledVictim(Counting(), journal).reply(asks("a", "b"))[0].text == "batch 1, ask 0"


def test_a_helper_that_breaks_is_not_called_the_victim(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        (reply,) = JournaledHelpers(journal)(Failing(RuntimeError("x")))([Ask(Chat.user("q"))])
    assert reply.reason.startswith("helper ")


def test_a_victim_that_answers_too_few_asks_gives_no_answer_at_all(tmp_path: Path) -> None:
    class Short(Counting):
        def reply(self, asks: Sequence[Ask]) -> list[Reply]:
            return [Reply("only one")]

    with Journal(tmp_path / "j") as journal:
        replies = JournaledVictim(Short(), journal).reply(asks("a", "b"))
    assert [r.outcome for r in replies] == ["error", "error"]
    assert "1 replies to 2 asks" in replies[0].reason


def test_what_the_user_can_mend_is_not_blamed_on_the_samples(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, pytest.raises(UsageError, match="no weights"):
        JournaledVictim(Failing(UsageError("no weights")), journal).reply(asks("a"))
