"""Every check of metrics passes on sound ones and fails on one that is broken in the way it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proofglass.interfaces import Group, Measure, Metric
from proofglass.registry import build, entries
from proofglass.testing import measuring, suite
from strangers.defense_gain import DefenseGain

CHECKS = (
    measuring.groups_by_what_it_says,
    measuring.stays_in_its_range,
    measuring.order_of_rows_changes_nothing,
    measuring.says_why_where_nothing_is,
    measuring.groups_are_counted_alone,
)


@dataclass(frozen=True)
class Share(Metric):
    """The mean score, broken in the way that `fault` says."""

    name = "share"
    needs = ("success",)
    fault: str = ""

    @property
    def by(self) -> Group:  # type: ignore[override]
        return ("victim", "weather") if self.fault == "groups by a column that is none" else ("victim", "attack")

    def over(self, rows) -> Measure:
        if self.fault == "leaves its range":
            return Measure(2.0, n=rows.height)
        if self.fault == "reads the first row":
            return Measure(rows["score:success"].fill_null(0.5).to_list()[0]) if rows.height else Measure.none("no row")
        if self.fault == "takes nothing for 0":
            return Measure(rows["score:success"].mean() or 0.0)
        value = rows["score:success"].mean()
        if value is None:
            return Measure.none("nothing was judged")
        return Measure(value + 0.25 * (self.fault == "counts a group alone otherwise") * (1 - value))

    def over_groups(self, rows) -> Iterator[tuple[Group, Measure]]:
        sound = Share()
        if self.fault == "names a group twice":
            yield from [*super().over_groups(rows), *super().over_groups(rows)]
        elif self.fault == "invents a group":
            yield ("nobody", "nothing"), self.over(rows)
        elif self.fault == "counts a group alone otherwise":
            yield from sound.over_groups(rows)
        else:
            yield from super().over_groups(rows)


FAULTS = {
    "groups by a column that is none": measuring.groups_by_what_it_says,
    "names a group twice": measuring.groups_by_what_it_says,
    "invents a group": measuring.groups_by_what_it_says,
    "leaves its range": measuring.stays_in_its_range,
    "reads the first row": measuring.order_of_rows_changes_nothing,
    "takes nothing for 0": measuring.says_why_where_nothing_is,
    "counts a group alone otherwise": measuring.groups_are_counted_alone,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_metric_passes(check):
    for metric in (Share(), DefenseGain()):
        check(metric, measuring.scored(metric))


@pytest.mark.parametrize(("fault", "check"), FAULTS.items(), ids=list(FAULTS))
def test_a_broken_metric_is_found(fault, check):
    metric = Share(fault)
    with pytest.raises(AssertionError):
        check(metric, measuring.scored(metric))


def test_every_check_is_shown_to_bite():
    assert set(FAULTS.values()) == set(CHECKS)


@pytest.mark.parametrize("name", list(entries("metrics")))
def test_every_registered_metric_keeps_its_contract(name):
    for case in suite.cases(lambda: build("metrics", name)):
        if not case.why_not:
            case()
