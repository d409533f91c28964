"""The Python API on scripted plugs: one cell, kept or not, with its rates."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import proofglass as pg
from conformance.broken_plugs import Long, Scripted, Suffix, Three
from proofglass.errors import NothingMeasured, UsageError
from proofglass.evaluation.metrics.success import Rate

# That a rate is no success rate is said on purpose; one test here looks at it.
pytestmark = pytest.mark.filterwarnings("ignore:measure:UserWarning")


def cell(**changed: object) -> dict[str, Rate]:
    given: dict = {"victim": Scripted(), "attack": Suffix("now"), "dataset": Three(), "judges": [Long()]}
    return pg.measure(**{**given, **changed})


def test_measure_gives_the_rate_of_every_judge_not_refused_among_them() -> None:
    # "you said 0? now" has four words: long, and no refusal, for each of the three questions.
    found = cell()
    assert set(found) == {"long", "not-refused"}
    assert (found["long"].value, found["long"].n, found["not-refused"].value) == (1.0, 3, 1.0)


def test_measure_says_which_judges_give_no_success_rate_about_a_strangers_victim() -> None:
    with pytest.warns(UserWarning, match="gives no success rate") as warned:
        cell(judges=[Long(), "testbed-content"])
    said = sorted(str(w.message) for w in warned)
    # Long is right by definition; the other two are about the testbed's world alone.
    assert [text.split()[1] for text in said] == ["not-refused", "testbed-content"]
    assert "is valid for the Vale only" in said[0]
    assert "kappa" in said[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pg.measure("testbed-linear", "no-attack", "testbed", limit=1)


def test_measure_takes_names_and_objects_alike() -> None:
    # Two words "you said" and the question make three; the limit of tokens leaves two, which is not long.
    found = cell(attack="no-attack", settings=pg.Settings(max_new_tokens=2))
    assert (found["long"].value, found["long"].truncated) == (0.0, 3)


def test_measure_keeps_its_run_only_if_told_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cell()
    assert list(tmp_path.iterdir()) == []
    found = cell(out=tmp_path / "kept", limit=2)
    assert found["long"].n == 2
    assert pg.api.Run(tmp_path / "kept" / "limit-2").frame().height == 2


def test_the_loaded_victim_is_used_as_it_is() -> None:
    asked: list[int] = []

    class Watched(Scripted):
        def reply(self, asks):  # type: ignore[no-untyped-def]
            asked.append(id(self))
            return super().reply(asks)

    victim = Watched()
    cell(victim=victim)
    assert set(asked) == {id(victim)}


def test_a_cell_without_a_judged_sample_raises() -> None:
    with pytest.raises(NothingMeasured, match="has no target"):
        cell(judges=["target-string"])


def test_a_plug_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="attacks: expected Attack or a name, found Long"):
        cell(attack=Long())
    with pytest.raises(UsageError, match="judges: expected at least one"):
        cell(judges=[])


def test_run_and_report_of_a_study_file(tmp_path: Path) -> None:
    import proofglass.evaluation.datasets as datasets
    import proofglass.victims as victims

    study = tmp_path / "small.yaml"
    study.write_text("victims: [scripted]\ndatasets: [three]\njudges: [not-refused]\nsuccess: not-refused\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(victims.CONTENTS, "scripted", "conformance.broken_plugs:Scripted")
        patch.setitem(datasets.CONTENTS, "three", "conformance.broken_plugs:Three")
        run = pg.run(study, out=tmp_path / "run", progress=False)
        assert [row["n"] for row in run.rates()] == [3]
        assert pg.judge_study(study, out=tmp_path / "run").rates() == run.rates()
    page = pg.write_report(run)
    assert page == tmp_path / "run" / "report" / "index.html"
    assert page.is_file()


def test_the_summary_of_a_run_can_be_asked_for_twice(tmp_path: Path) -> None:
    # A module of the same name as a function of its package takes its place as soon as it is imported.
    cell(out=tmp_path / "kept")
    run = pg.api.Run(tmp_path / "kept")
    assert run.summary() is not None
    assert run.summary() is not None


def test_a_run_of_one_cell_has_no_differences(tmp_path: Path) -> None:
    cell(out=tmp_path / "kept")
    assert pg.api.Run(tmp_path / "kept").differences() == []
