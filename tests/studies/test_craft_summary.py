"""What a study keeps of a cell's crafting: distances are the farthest picture's, a mean trace says what it can."""

from __future__ import annotations

import pytest

from proofglass.records.crafts import Crafted
from proofglass.registry import build
from proofglass.studies.craft import summary
from proofglass.types import Artefact


def kept(*traces):
    artefacts = tuple(Artefact(f"s{k}", trace=trace) for k, trace in enumerate(traces))
    return summary(build("attacks", "pgd"), [Crafted("key", artefacts)], "direct")


def test_the_distance_of_a_cell_is_that_of_its_farthest_picture():
    # A stated radius holds for every picture: their mean would hide one that leaves it.
    found = kept({"linf_levels": 7, "l2": 0.5}, {"linf_levels": 153, "l2": 0.25}, {"linf_levels": 0, "l2": 0.0})
    assert (found["linf_levels"], found["l2"]) == (153, 0.5)
    without = kept({"loss": [1.0]}, {"loss": [2.0]})  # no clean picture is known
    assert (without["linf_levels"], without["l2"]) == (None, None)


def test_a_mean_curve_is_plain_from_where_its_first_curve_is():
    # The mean of 1, 2 | 3 and of 5 | 1 mixes a draw and a whole loss from the second point on.
    found = kept({"loss": [1.0, 2.0, 3.0], "loss_plain_from": 2}, {"loss": [5.0, 1.0], "loss_plain_from": 1})
    assert found["trace"]["loss"] == [3.0, 1.5, 3.0]
    assert found["trace"]["loss_plain_from"] == 1
    assert "loss_plain_from" not in kept({"loss": [1.0]}, {"loss": [2.0]})["trace"]


@pytest.mark.parametrize("first", [{}, {"loss_plain_from": 3}])
def test_one_artefact_keeps_its_own_trace(first):
    assert kept({"loss": [1.0], **first})["trace"] == {"loss": [1.0], **first}
