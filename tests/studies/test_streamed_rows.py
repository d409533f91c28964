"""A plan keeps what names its rows, not the rows: read again they are the same ones, or that is an error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofglass.attacks.crafting.apart import check_apart
from proofglass.errors import NothingMeasured, UsageError
from proofglass.interfaces import Dataset
from proofglass.studies import rows as rows_module
from proofglass.studies.rows import Seen, read, rows_key
from proofglass.types import BadSample, Chat, Image, Sample
from scripted_plugs import Lines, noise
from scripted_study import WHOLE, run, tables


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set is small enough to be kept."""
    monkeypatch.setattr(rows_module, "KEPT", 0)


@dataclass(frozen=True)
class Numbers(Dataset):
    """n questions; the one at `odd` is another one; after `n` come `more`."""

    name = "numbers"
    n: int = 10
    odd: int = -1
    same_id: bool = False

    def __iter__(self) -> Iterator[Sample]:
        for k in range(self.n):
            name = "s" if self.same_id else f"s{k}"
            yield Sample(name, "numbers", Chat.user("odd" if k == self.odd else f"{k}?"))


def test_rows_that_are_read_again_are_those_that_were_kept(monkeypatch) -> None:
    kept = read(Lines(n=9, faults=True), "l", "s", None, 4)
    monkeypatch.setattr(rows_module, "KEPT", 0)
    again = read(Lines(n=9, faults=True), "l", "s", None, 4)
    assert (kept.kept is None, again.kept is None) == (False, True)
    assert list(kept.chunks()) == list(again.chunks()) == list(again.chunks())
    assert [len(chunk) for chunk in again.chunks()] == [4, 4, 1]
    assert (again.count, again.good, again.expected, again.key) == (kept.count, kept.good, "refuse", kept.key)
    assert kept.key == rows_key(kept)
    assert len(again.marks) == 3 * 8


def test_a_limit_reads_the_first_rows_only(streamed) -> None:
    first = read(Numbers(), "l", "s", 3, 2)
    assert [row.id for row in first] == ["s0", "s1", "s2"]
    assert first.key == rows_key(list(Numbers())[:3]) != read(Numbers(), "l", "s", None, 2).key


def test_rows_are_named_by_all_that_they_hold_and_not_by_their_chunks() -> None:
    keys = [read(Numbers(), "l", "s", None, size).key for size in (1, 3, 10, 99)]
    assert len(set(keys)) == 1
    assert read(Numbers(odd=9), "l", "s", None, 3).key not in keys
    sample = Sample("a", "d", Chat.user("x"), meta={"m": 1})
    others = [
        Sample("a", "d", Chat.user("x"), meta={"m": 2}),
        Sample("a", "d", Chat.user("x"), meta={"m": 1}, group="g"),
        Sample("a", "d", Chat.user(noise("p"), "x"), meta={"m": 1}),
        BadSample("a", "d", "why"),
    ]
    assert len({rows_key([row]) for row in [sample, *others]}) == 5


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (Numbers(odd=5), "rows 5 to 8 are others"),
        (Numbers(n=9), "rows 9 to 9 are others"),
        (Numbers(n=8), "8 rows where there were 10"),
        (Numbers(n=11), "rows 9 to 11 are others"),
        (Numbers(n=0), "0 rows where there were 10"),
    ],
)
def test_a_data_set_that_changed_since_it_was_planned_says_where(streamed, changed: Numbers, says: str) -> None:
    import dataclasses

    planned = dataclasses.replace(read(Numbers(), "numbers", "s.yaml", None, 4), dataset=changed)
    with pytest.raises(
        UsageError, match=rf"^s\.yaml: data set numbers: has changed since this run was planned: {says}\. R"
    ):
        list(planned.chunks())


def test_one_row_more_after_whole_chunks_is_noticed(streamed) -> None:
    import dataclasses

    planned = dataclasses.replace(read(Numbers(n=8), "l", "s", None, 4), dataset=Numbers(n=9))
    with pytest.raises(UsageError, match="more rows where there were 8"):
        list(planned.chunks())


def test_what_is_asked_before_a_change_is_kept_and_the_cell_fails(study, streamed, tmp_path: Path, monkeypatch) -> None:
    real, passes = Lines.__iter__, []

    def drifts(self: Lines) -> Iterator[Sample | BadSample]:
        passes.append(1)
        for k, row in enumerate(real(self)):
            yield Sample(row.id, "lines", Chat.user("drifted")) if len(passes) > 2 and k == 5 else row

    monkeypatch.setattr(Lines, "__iter__", drifts)
    with pytest.raises(
        NothingMeasured, match="data set lines/first: has changed since this run was planned: rows 5 to 8"
    ):
        run(study(WHOLE), tmp_path / "run")


def test_a_streamed_run_is_the_run_of_kept_rows(study, tmp_path: Path, monkeypatch) -> None:
    text = WHOLE.replace("{n: 10}", "{n: 10, faults: true}")
    kept = tables(run(study(text), tmp_path / "kept"))
    monkeypatch.setattr(rows_module, "KEPT", 0)
    assert tables(run(study(text), tmp_path / "streamed")) == kept


def test_a_data_set_that_breaks_while_it_is_read_again_names_the_row(streamed, monkeypatch) -> None:
    planned = read(Numbers(), "numbers", "s.yaml", None, 4)

    def breaks(self: Numbers) -> Iterator[Sample]:
        yield Sample("s0", "numbers", Chat.user("0?"))
        raise ZeroDivisionError("gone")

    monkeypatch.setattr(Numbers, "__iter__", breaks)
    with pytest.raises(UsageError, match=r"s\.yaml: data set numbers: row 2: ZeroDivisionError: gone"):
        list(planned)


def test_an_id_that_stands_twice_becomes_a_bad_row_with_an_id_of_its_own() -> None:
    found = list(read(Numbers(n=4, same_id=True), "l", "s", None, 10))
    assert [row.id for row in found] == ["s", "s#2", "s#3", "s#4"]
    assert isinstance(found[3], BadSample)


@given(st.lists(st.text(max_size=3), max_size=200))
def test_seen_is_a_set(texts: list[str]) -> None:
    seen, known = Seen(), set[str]()
    for text in texts:
        assert seen.add(text) == (text not in known)
        known.add(text)


def test_seen_grows_and_forgets_nothing() -> None:
    seen = Seen()
    assert all(seen.add(str(k)) for k in range(5_000))
    assert not any(seen.add(str(k)) for k in range(5_000))


def test_the_memory_of_a_plan_hardly_grows_with_its_rows(streamed) -> None:
    def peak(n: int) -> int:
        tracemalloc.start()
        try:
            read(Numbers(n=n), "l", "s", None, 100)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(2_000), peak(12_000)  # until 2,000 rows it is what waits for the garbage collector
    assert (
        many - few
    ) / 10_000 < 64  # bytes a row: the mark of its id, in a table that is half empty and has just grown


# ------------------------------------------------------------------------------------------------ crafting apart


def brute(crafting: list[Sample], judged: list[Sample]) -> bool:
    """Whether they share a sample, by the rule as `check_apart` states it, all rows at hand."""

    def key(sample: Sample) -> tuple[str, tuple[str, ...]]:
        return " ".join(sample.chat.last_text.casefold().split()), tuple(i.sha256 for i in sample.chat.images)

    for one in crafting:
        for other in judged:
            if one.id == other.id:
                return True
            if key(one)[0] == key(other)[0]:
                sides = [{key(s)[1] for s in side if key(s)[0] == key(one)[0]} for side in (crafting, judged)]
                if max(map(len, sides)) == 1 or key(one)[1] == key(other)[1]:
                    return True
    return False


PICTURES: list[Image] = [noise(str(k)) for k in range(3)]
QUESTIONS = st.tuples(st.sampled_from(["a", "A ", "b"]), st.sampled_from([None, *PICTURES]))


@given(st.lists(QUESTIONS, max_size=4), st.lists(QUESTIONS, max_size=4), st.booleans())
def test_streamed_samples_are_kept_apart_by_the_same_rule(crafting, judged, shares_id: bool) -> None:
    def samples(prefix: str, questions: list) -> list[Sample]:
        return [
            Sample(f"{prefix}{k}", "d", Chat.user(text) if picture is None else Chat.user(picture, text))
            for k, (text, picture) in enumerate(questions)
        ]

    one, other = samples("c", crafting), samples("c" if shares_id else "j", judged)
    if brute(one, other):
        with pytest.raises(UsageError, match="is in the crafting split and is judged too"):
            check_apart(one, iter(other))
    else:
        check_apart(one, iter(other))


# ------------------------------------------------------------------------------------------------ pictures


def test_a_picture_of_a_file_lets_its_pixels_go(tmp_path: Path) -> None:
    import weakref

    from proofglass import images

    images.write(noise("x"), tmp_path / "x.png")
    picture = images.read(tmp_path / "x.png")
    pixels = weakref.ref(picture.array())
    assert pixels() is None
    assert (picture.array() == noise("x").array()).all()
    made = noise("y")
    assert made.array() is made.array()  # it has no file to be read from again
