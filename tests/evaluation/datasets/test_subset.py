"""Parts of a data set: in proportion, the same ones always, and never a question on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofglass.errors import UsageError
from proofglass.evaluation.datasets.subset import Subset
from proofglass.interfaces import Dataset
from proofglass.types import BadSample, Chat, Sample


@dataclass(frozen=True)
class Listed(Dataset):
    name = "listed"
    judges = ("misled",)
    rows: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for k, row in enumerate(self.rows):
            category, _, cluster = row.partition("/")
            if category == "bad":
                yield BadSample(f"bad{k}", "listed", "broken")
            else:
                yield Sample(row, "listed", Chat.user("q"), category=category, cluster=cluster.split(".")[0])


SIZES = {"tea": 60, "bread": 30, "rye": 9}
ROWS = tuple(f"{name}/{name}{k // 3}.{k}" for name, n in SIZES.items() for k in range(n))


def ids(dataset: Dataset) -> list[str]:
    return [row.id for row in dataset]


def test_so_many_are_taken_in_proportion_and_in_order() -> None:
    found = list(Subset(Listed(ROWS), take=33))
    assert Counter(row.category for row in found) == {"tea": 20, "bread": 10, "rye": 3}
    assert ids(Subset(Listed(ROWS), take=33)) == [row for row in ROWS if row in {each.id for each in found}]
    assert ids(Subset(Listed(ROWS), take=33, seed=1)) != ids(Subset(Listed(ROWS), take=33))
    assert len(ids(Subset(Listed(ROWS), take=34, by=""))) == 34
    assert ids(Subset(Listed(ROWS), take=1000)) == list(ROWS)


def test_what_is_crafted_on_is_never_judged_and_a_question_stays_whole() -> None:
    parted = Subset(Listed(ROWS), craft=0.4)
    judged, crafted = list(parted), list(parted.crafting())
    assert {row.id for row in judged} | {row.id for row in crafted} == set(ROWS)
    assert not {row.cluster for row in judged} & {row.cluster for row in crafted}
    assert crafted
    assert judged


def test_bad_rows_stay_in_sight_and_the_data_set_speaks_through() -> None:
    parted = Subset(Listed(("tea/1", "bad/x", "tea/2")), take=1)
    assert [type(row).__name__ for row in parted].count("BadSample") == 1
    assert parted.judges == ("misled",)
    assert parted.key != Subset(Listed(("tea/1", "bad/x")), take=1).key


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(ROWS), min_size=1), st.integers(1, 50), st.randoms())
def test_a_row_is_parted_by_itself_whatever_else_is_there(rows: set[str], take: int, random: object) -> None:
    some = tuple(sorted(rows))
    whole = {row.id for row in Subset(Listed(ROWS), craft=0.3).crafting()}
    assert {row.id for row in Subset(Listed(some), craft=0.3).crafting()} == whole & rows
    drawn = ids(Subset(Listed(some), take=take))
    assert len(drawn) == min(take, len(some))
    assert set(ids(Subset(Listed(some[::-1]), take=take))) == set(drawn)


def test_a_study_names_what_it_is_a_part_of() -> None:
    with pytest.raises(ValueError, match="take: expected a whole number"):
        Subset(Listed(ROWS), take=1.5)  # type: ignore[arg-type]


def test_groups_that_share_a_question_are_parted_together() -> None:
    @dataclass(frozen=True)
    class Linked(Dataset):
        name = "linked"

        def __iter__(self) -> Iterator[Sample | BadSample]:
            for k in range(40):
                yield Sample(f"s{k}", "linked", Chat.user("q"), cluster=f"c{k // 2}", group=f"g{(k + 1) // 2 % 15}")

    parted = Subset(Linked(), craft=0.3)
    for which in ("cluster", "group"):
        judged = {getattr(row, which) for row in parted if isinstance(row, Sample)}
        assert not judged & {getattr(row, which) for row in parted.crafting()}


@dataclass(frozen=True)
class Paired(Dataset):
    """`n` groups of `size`: the categories of the groups in turn, twins of the second half in another category."""

    name = "paired"
    n: int = 60
    size: int = 2

    def __iter__(self) -> Iterator[Sample | BadSample]:
        for k in range(self.n):
            for side in range(self.size):
                category = ("tea", "bread", "rye")[(k + (side if k >= self.n // 2 else 0)) % 3]
                expected = "comply" if side else "refuse"
                yield Sample(
                    f"{k}/{side}", "paired", Chat.user("q"), category=category, expected=expected, group=f"g{k}"
                )


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 130), st.sampled_from(["category", "expected", ""]), st.integers(0, 5), st.sampled_from([2, 3]))
def test_a_question_is_taken_with_its_twin_or_not_at_all(take: int, by: str, seed: int, size: int) -> None:
    if take < size:
        return
    found = list(Subset(Paired(size=size), take=take, by=by, seed=seed))  # type: ignore[arg-type]
    groups = Counter(row.group for row in found if isinstance(row, Sample))
    assert set(groups.values()) == {size}
    assert min(take, 60 * size) - size < len(found) <= take
    more = {row.id for row in Subset(Paired(n=61, size=size), take=999, by=by, seed=seed)}  # type: ignore[arg-type]
    assert {row.id for row in found} <= more


def test_groups_stand_in_proportion_too() -> None:
    found = Counter(row.category for row in Subset(Paired(n=30), take=30) if isinstance(row, Sample))
    assert all(8 <= n <= 12 for n in found.values())
    assert Counter(row.expected for row in Subset(Paired(), take=20) if isinstance(row, Sample)).keys() == {
        "refuse",
        "comply",
    }


def test_some_of_each_group_is_taken_where_that_is_asked_for() -> None:
    found = [row for row in Subset(Paired(n=5, size=10), take=20, by="group") if isinstance(row, Sample)]
    assert set(Counter(row.group for row in found).values()) == {4}


def test_a_part_that_is_smaller_than_every_group_is_an_error_and_never_all_of_them() -> None:
    with pytest.raises(UsageError, match=r"subset\.take: 3 is less than the samples of any group \(at least 6\)"):
        list(Subset(Paired(size=6), take=3))
