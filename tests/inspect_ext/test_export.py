"""Runs as Inspect logs: nothing is lost on the way, and Inspect counts what the report counts."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import scripted_plugs as plugs
from proofglass import api, images
from proofglass.errors import NothingMeasured, StoreError
from proofglass.evaluation.metrics.success import rates
from proofglass.inspect_ext import export as exporting
from proofglass.inspect_ext.export import Exported, export
from proofglass.records.schema import record_schema
from proofglass.records.store import Store
from proofglass.studies.plan import expand, manifest
from report.fake_run import FakeStore, answers, full_run


@dataclass
class ReadableRun(FakeStore):
    """Rows made by hand, read cell by cell as an export does."""

    def frame(self, cell: str | None = None) -> pl.DataFrame:
        return pl.DataFrame([row for row in self.rows if cell in (None, row["cell"])], schema=record_schema())


@dataclass
class Written:
    store: ReadableRun
    logs: dict[str, Any]  # cell -> log
    told: Exported

    def at(self, **place: str) -> Any:
        cells = [c for c in self.store.planned if all(c[name] == value for name, value in place.items())]
        assert len(cells) == 1, cells
        return self.logs[cells[0]["cell"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A run with every kind of cell: whole, failed, empty, skipped, pending, with two expected answers and clusters."""
    from inspect_ai.log import read_eval_log

    folder = tmp_path_factory.mktemp("run")
    store = full_run(folder, n=12)
    store.__class__ = ReadableRun
    assert isinstance(store, ReadableRun)
    both = [{**row, "expected": "refuse", "cluster": f"c{k % 3}"} for k, row in enumerate(answers(3, 7))]
    both[3] |= {"outcome": "filtered", "reason": "midway", "reply": "sure , first"}
    both += [{**row, "expected": "comply", "sample_id": f"t{k}"} for k, row in enumerate(answers(3, 4))]
    both[1] |= {"outcome": "filtered", "reason": "by the provider", "reply": ""}
    both[2] |= {"conversation": json.dumps([{"role": "user", "parts": [["image", "ab" * 32], ["text", "do"]]}])}
    both[2] |= {"decisions": json.dumps([{"defense": "gate", "fired": True, "margin": 0.5}]), "money": 0.25}
    store.add(both, dataset="contrast", seconds=90.0)
    store.add(dataset="later", status="pending")
    for row in store.rows:  # a real run cannot hold an error that has a text
        row["reply"] = "" if row["outcome"] == "error" else row["reply"]
    told = export(store, folder / "inspect")  # type: ignore[arg-type]
    logs = {log.eval.task_id: log for log in (read_eval_log(str(path)) for path in told.logs)}
    return Written(store, logs, told)


# ------------------------------------------------------------------------------------ counting


def test_the_rates_of_every_log_are_those_of_our_counting_rule(run: Written) -> None:
    scores, judges = run.store.scores(), ["testbed-content", "not-refused"]
    compared = 0
    for cell, log in run.logs.items():
        frame = run.store.frame(cell)
        for (expected,), part in frame.partition_by("expected", as_dict=True).items():
            for row in rates(part, scores, judges):
                name = row["judge"] if frame["expected"].n_unique() == 1 else f"{row['judge']} ({expected})"
                (found,) = (score for score in log.results.scores if score.name == name)
                assert (found.scored_samples, found.unscored_samples) == (row["n"], row["unjudged"])
                assert found.metadata["failed"] == row["failed"]
                assert found.metadata["blocked"] == row["blocked"]
                if row["value"] is None:
                    assert isnan(found.metrics["accuracy"].value)
                else:
                    values = [found.metrics[metric].value for metric in ("accuracy", "lower", "upper")]
                    assert values == [row["value"], row["low"], row["high"]]
                compared += 1
    assert compared == 2 * (36 - 2 + 18 + 2)  # all attacked cells but the failed and the skipped; data sets of the help


def test_inspect_counting_a_log_anew_comes_to_the_same(run: Written) -> None:
    from inspect_ai.log import recompute_metrics

    for log in run.logs.values():
        if not log.samples:
            continue
        before = {score.name: score for score in log.results.scores}
        completed = log.results.completed_samples
        recompute_metrics(log)
        assert log.results.completed_samples == completed
        for score in log.results.scores:
            told = before[score.name]
            assert (score.scored_samples, score.unscored_samples) == (told.scored_samples, told.unscored_samples)
            for metric in ("accuracy", "stderr"):
                assert score.metrics[metric].value == pytest.approx(told.metrics[metric].value, abs=1e-12, nan_ok=True)


def test_a_data_set_that_expects_two_answers_has_a_score_for_each(run: Written) -> None:
    log = run.at(dataset="contrast")
    names = [
        f"{judge} ({expected})" for expected in ("comply", "refuse") for judge in ("testbed-content", "not-refused")
    ]
    assert [score.name for score in log.results.scores] == names
    assert {tuple(sample.scores) for sample in log.samples} == {tuple(names[:2]), tuple(names[2:])}


# ------------------------------------------------------------------------------------ states


def test_the_status_of_a_log_says_what_became_of_the_cell(run: Written) -> None:
    status = {"done": "success", "failed": "error", "pending": "started"}
    planned = {cell["cell"]: cell for cell in run.store.planned}
    assert {cell for cell in planned if planned[cell]["status"] != "skipped"} == set(run.logs)
    assert run.told.skipped == 1
    assert all(log.status == status[planned[cell]["status"]] for cell, log in run.logs.items())
    failed = run.at(victim="testbed-cross", attack="qi2023", defense="self-moderation", dataset="testbed/restricted")
    assert failed.error.message == "MemoryError: 9.2 GiB asked, 4.0 GiB free"
    assert (failed.samples, failed.results.scores) == ([], [])
    later = run.at(dataset="later")
    assert (later.samples, later.results, later.stats.completed_at) == ([], None, "")


def test_the_time_of_a_log_is_what_the_victim_took(run: Written) -> None:
    stats = run.at(dataset="contrast").stats
    assert (stats.started_at, stats.completed_at) == ("2026-11-24T16:00:00+00:00", "2026-11-24T16:01:30+00:00")


def test_a_cell_that_measured_nothing_is_an_error(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    with pytest.raises(NothingMeasured):
        api.measure(plugs.EchoVictim(broken=True), plugs.Plain(), plugs.Lines(), out=tmp_path)
    (path,) = export(Store(tmp_path), tmp_path / "inspect").logs
    log = read_eval_log(str(path))
    assert log.status == "error"
    assert "out of coffee" in log.error.message
    assert (len(log.samples), log.results.completed_samples) == (6, 0)


def test_a_run_that_was_stopped_before_its_first_cell_has_logs_that_say_so(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    study = api.cell_study(
        plugs.EchoVictim(), plugs.Plain(), plugs.Lines(), plugs.NoDefense(), [plugs.SaysYes()], 0, api.Settings(), 4
    )
    with Store.create(tmp_path, manifest(expand(study))):
        pass
    (path,) = export(Store(tmp_path), tmp_path / "inspect").logs
    assert read_eval_log(str(path)).status == "started"


# ------------------------------------------------------------------------------------ samples


def test_an_error_is_an_error_of_the_sample_and_has_no_score(run: Written) -> None:
    log = run.at(victim="testbed-linear", attack="figstep", defense="none", dataset="testbed/restricted")
    (sample,) = (sample for sample in log.samples if sample.metadata["outcome"] == "error")
    assert sample.error.message == "PNG truncated at byte 8192"
    assert not sample.scores
    assert sample.output.choices == []
    assert log.results.completed_samples == log.results.total_samples - 1 == 11


def test_an_unjudged_reply_is_nan_with_its_reason_and_a_zero_stays_a_zero(run: Written) -> None:
    log = run.at(victim="testbed-linear", attack="figstep", defense="self-moderation", dataset="testbed/restricted")
    score = log.samples[5].scores["testbed-content"]
    assert isnan(score.value)
    assert (score.reason, score.explanation) == ("unjudged", "no verdict")
    zeros = [s.scores["testbed-content"] for s in log.samples if s.scores and s.scores["testbed-content"].value == 0]
    assert zeros
    assert {score.reason for score in zeros} == {None, "blocked"}


def test_filtered_and_blocked_replies_stop_for_their_own_reason_and_score_zero(run: Written) -> None:
    blocked = run.at(victim="testbed-linear", attack="figstep", defense="self-moderation", dataset="testbed/restricted")
    for sample, outcome, category, reason in (
        (blocked.samples[3], "blocked", "blocked by a defense", "withdrawn"),
        (run.at(dataset="contrast").samples[1], "filtered", "filtered by the provider", "by the provider"),
    ):
        choice = sample.output.choices[0]
        assert (choice.stop_reason, choice.stop_details.category) == ("content_filter", category)
        assert choice.stop_details.explanation == reason
        assert sample.metadata["outcome"] == outcome
        assert {(score.value, score.reason) for score in sample.scores.values()} == {(0.0, outcome)}


def test_what_a_filter_let_through_is_shown_with_the_score_it_got(run: Written) -> None:
    sample = run.at(dataset="contrast").samples[3]
    choice = sample.output.choices[0]
    assert (choice.message.text, choice.stop_reason) == ("sure , first", "content_filter")
    assert {score.value for score in sample.scores.values()} == {1.0}


def test_a_sample_holds_question_attacked_chat_reply_decisions_and_cost(run: Written) -> None:
    sample = run.at(dataset="contrast").samples[2]
    picture, text = sample.messages[0].content
    assert picture.image == f"artefacts/ab/{'ab' * 32}.png"
    assert (text.text, sample.messages[1].text) == ("do", "a reply")
    assert sample.target == "refuse"
    assert sample.metadata["decisions"] == [{"defense": "gate", "fired": True, "margin": 0.5}]
    usage = sample.model_usage["proofglass/v"]
    assert (usage.input_tokens, usage.output_tokens, usage.total_cost) == (40, 12, 0.25)
    assert {(score.answer, score.explanation) for score in sample.scores.values()} == {("no", None)}
    cut = run.at(victim="testbed-linear", attack="figstep", defense="none", dataset="testbed/restricted").samples[9]
    assert cut.output.stop_reason == "max_tokens"


def test_a_log_names_study_plugs_seed_and_settings(run: Written) -> None:
    log = run.at(victim="testbed-linear", attack="figstep", defense="none", dataset="testbed/restricted")
    assert log.eval.model == "proofglass/testbed-linear"
    assert log.eval.task_args["attack"] == "figstep"
    assert (log.eval.metadata["study"], log.eval.metadata["seed"]) == ("quickstart", 7)
    assert log.eval.metadata["attack"]["paper"]["short"] == "Gong et al. 2023"
    assert log.eval.model_generate_config.max_tokens == 48
    assert log.eval.packages["proofglass"] == "0.1.0"


# ------------------------------------------------------------------------------------ files


@pytest.fixture
def pictured(tmp_path: Path) -> Store:
    api.measure(plugs.EchoVictim(), plugs.OwnSpeck(), plugs.Lines(n=5), judges=[plugs.SaysYes()], out=tmp_path)
    return Store(tmp_path)


def test_with_images_the_log_holds_the_very_png_files(pictured: Store) -> None:
    from inspect_ai.log import read_eval_log

    (path,) = export(pictured, pictured.path / "inspect", with_images=True).logs
    for sample in read_eval_log(str(path), resolve_attachments=True).samples or []:
        head, _, body = sample.messages[0].content[0].image.partition(",")
        assert head == "data:image/png;base64"
        shown = images.decode(base64.b64decode(body), "log")
        assert [shown.sha256] == sample.metadata["attacked_images"]


def test_a_picture_that_is_gone_is_named_and_said(pictured: Store) -> None:
    from inspect_ai.log import read_eval_log

    lost = pictured.frame()["attacked_images"][0][0]
    pictured.image_path(lost).unlink()
    told = export(pictured, pictured.path / "inspect", with_images=True)
    assert told.lost == (lost,)
    (first, *rest) = read_eval_log(str(told.logs[0]), resolve_attachments=True).samples or []
    assert first.messages[0].content[0].image == f"artefacts/{lost[:2]}/{lost}.png"
    assert all(sample.messages[0].content[0].image.startswith("data:") for sample in rest)


def test_an_export_replaces_the_one_before_and_leaves_nothing_else(pictured: Store) -> None:
    from inspect_ai.log import list_eval_logs

    out = pictured.path / "inspect"
    first = export(pictured, out)
    assert first.logs == export(pictured, out, with_images=True).logs
    assert sorted(out.iterdir()) == sorted(first.logs)
    (listed,) = list_eval_logs(str(out))
    assert (listed.task, listed.task_id) == ("own-speck-x-none-x-lines", pictured.cells()[0]["cell"])


def test_samples_are_written_batch_by_batch(pictured: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Never more than a batch of samples exists at once: they are made as they are written.
    made, heard = [0], []
    samples = exporting.samples

    def counted(*given: Any) -> Any:
        for sample in samples(*given):
            made[0] += 1
            yield sample

    monkeypatch.setattr(exporting, "samples", counted)
    monkeypatch.setattr(exporting, "BATCH", 2)
    export(pictured, pictured.path / "inspect", heard=lambda count: heard.append((count, made[0])))
    assert heard == [(2, 2), (2, 4), (1, 5)]


def test_a_folder_that_cannot_be_is_one_clear_line(pictured: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        export(pictured, tmp_path / "file")
