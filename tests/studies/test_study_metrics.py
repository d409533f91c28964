"""The metrics of a study: what its data sets name, what they need, and that a report computes them from the records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import scripted_plugs
from proofglass import Run
from proofglass.errors import UsageError
from proofglass.evaluation import datasets, metrics
from proofglass.interfaces import Measure, Metric
from proofglass.studies import judge_study
from proofglass.studies.study import default_judges
from scripted_study import asked, run

STUDY = """\
name: measured
chunk: 2
victims: [echo: {log: LOG}]
attacks: [no-attack, speck]
datasets: [lines: {n: 4}]
judges: [long]
"""


@dataclass(frozen=True)
class Replies(Metric):
    """How many replies there are."""

    name = "replies"
    range = (0.0, None)

    def over(self, rows) -> Measure:
        return Measure(float(rows.height), n=rows.height)


@pytest.fixture
def known(scripted, monkeypatch):
    metrics.CONTENTS["replies"] = f"{__name__}:Replies"


def labels(study) -> tuple[list[str], list[str], str]:
    return [item.label for item in study.metrics], [item.label for item in study.judges], study.success


def test_a_study_that_names_none_takes_what_its_data_sets_name(study, known, monkeypatch):
    assert labels(study(STUDY)) == (["rate"], ["not-refused", "long"], "long")
    monkeypatch.setattr(scripted_plugs.Lines, "metrics", ("replies", "rate"))
    assert labels(study(STUDY))[0] == ["replies", "rate"]


def test_a_metric_brings_its_judge_where_the_study_names_none(study, known):
    text = STUDY.replace("judges: [long]\n", "metrics: [yes-no-f1, rate: {judge: loud}]\n")
    assert labels(study(text)) == (["yes-no-f1", "rate"], ["not-refused", "unsafe", "yes-no", "loud"], "unsafe")


def test_a_metric_whose_judge_is_missing_is_a_fault_with_its_line(study, known):
    needs = r"study.yaml:7: metrics\[1\]: needs the judge yes-no. .* found not-refused, long"
    with pytest.raises(UsageError, match=needs):
        study(STUDY + "metrics: [rate, yes-no-f1]\n")


def test_what_only_a_data_set_names_is_left_out_without_its_judge(study, known, monkeypatch):
    monkeypatch.setattr(scripted_plugs.Lines, "metrics", ("rate", "yes-no-f1"))
    assert labels(study(STUDY)) == (["rate"], ["not-refused", "long"], "long")


def test_an_unknown_metric_is_told_with_the_nearest(study, known):
    with pytest.raises(UsageError, match=r"metric 'rat': no such metric. Did you mean 'rate'"):
        study(STUDY + "metrics: [rat]\n")


def test_a_run_states_its_metrics_and_a_later_judging_others_asking_nobody(study, known, tmp_path: Path):
    log = tmp_path / "log"
    text = STUDY.replace("LOG", str(log))
    folder = run(study(text), tmp_path / "run").path
    before = Run(folder).metrics()
    assert {row["metric"] for row in before} == {"rate"}
    rates = {(r["attack"], r["judge"]): r["value"] for r in Run(folder).rates()}
    assert {row["attack"]: row["value"] for row in before} == {a: v for (a, j), v in rates.items() if j == "long"}
    count = len(asked(log))
    judge_study(study(text + "metrics: [replies]\n"), folder)
    after = Run(folder).metrics()
    assert [(row["metric"], row["attack"], row["value"]) for row in after] == [
        ("replies", "no-attack", 4.0),
        ("replies", "speck", 4.0),
    ]
    assert len(asked(log)) == count


@dataclass(frozen=True)
class Victim:
    world: str


@pytest.mark.parametrize(
    ("worlds", "names", "judges"),
    [
        (["the Vale"], ["testbed"], ["testbed-content"]),
        ([""], ["testbed"], ["unsafe"]),
        ([""], ["safebench"], ["unsafe"]),
        ([""], ["unicorns-ood"], ["answer-match"]),
        ([""], ["safebench", "unicorns-sketch"], ["unsafe", "yes-no"]),
        # No judge of these is right about both victims, or about both data sets.
        (["the Vale", ""], ["testbed"], ["not-refused"]),
        (["the Vale"], ["safebench"], ["not-refused"]),
        (["the Vale"], ["testbed", "safebench"], ["not-refused"]),
    ],
)
def test_the_judge_of_success_is_the_first_that_a_data_set_names_and_that_is_valid_for_all(worlds, names, judges):
    from proofglass.registry import entry

    assert set(names) <= set(datasets.CONTENTS)
    found = default_judges([Victim(world) for world in worlds], [entry("datasets", name).load() for name in names])
    assert found == judges


def test_two_judges_of_success_are_one_too_many_unless_the_study_says(study, known, monkeypatch):
    monkeypatch.setattr(scripted_plugs.Lines, "judges", ("long",))
    text = STUDY.replace("judges: [long]\n", "").replace("[lines: {n: 4}]", "[lines: {n: 4}, testbed: {n: 2}]")
    monkeypatch.setattr(scripted_plugs.EchoVictim, "world", "the Vale", raising=False)
    with pytest.raises(UsageError, match=r"success: missing. Expected the judge that decides success"):
        study(text)
    assert labels(study(text + "success: long\n"))[1:] == (["not-refused", "long", "testbed-content"], "long")
