"""What an attack or a defense changes on the same samples: equal to the paired comparisons of `compare`."""

from pathlib import Path

import pytest

from proofglass.evaluation.metrics.compare import compare
from proofglass.evaluation.metrics.effects import Effect
from proofglass.evaluation.metrics.rows import scored_rows
from proofglass.interfaces import CELL
from report import fake_run


@pytest.mark.parametrize("of", ["attack", "defense"])
def test_an_effect_is_the_paired_difference_of_the_cell(of):
    run = fake_run.full_run(Path("nowhere"), n=20)
    done = [cell["cell"] for cell in run.cells() if cell["status"] == "done"]
    frame = run.frame().filter(run.frame()["cell"].is_in(done))
    rows = scored_rows(frame, run.scores(), {"success": fake_run.SUCCESS})
    found = dict(Effect(of).over_groups(rows))
    kinds = (of, "utility") if of == "defense" else (of,)
    compared = [
        each
        for each in compare(frame, run.scores(), fake_run.SUCCESS)
        if each.kind in kinds and each.difference is not None
    ]
    assert compared
    for each in compared:
        places = {"victim": each.victim, "attack": each.attack, "defense": each.defense, "dataset": each.dataset}
        (group,) = [group for group in found if group[:-1] == tuple(places[name] for name in CELL[:-1])]
        one = found[group]
        assert (one.value, one.low, one.high, one.n) == pytest.approx((each.difference, each.low, each.high, each.n))


def test_a_cell_without_its_counterpart_has_no_effect_and_says_so():
    run = fake_run.full_run(Path("nowhere"), n=10)
    rows = scored_rows(run.frame(), run.scores(), {"success": fake_run.SUCCESS}, unattacked=["another"])
    found = [one for _, one in Effect("attack").over_groups(rows)]
    assert {one.value for one in found} == {None}
    assert {one.reason for one in found} == {"no sample was judged both with and without the attack"}


def test_there_are_two_kinds():
    with pytest.raises(ValueError, match="of: expected attack or defense, found 'victim'"):
        Effect("victim")
