"""People's labels: drawn, written as a sheet, read back, and what the report makes of them."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import scripted_plugs as plugs
from proofglass import api
from proofglass.errors import StoreError, UsageError
from proofglass.evaluation.correction.labelled import FEWEST
from proofglass.interfaces import Calibration, Judge, Measured
from proofglass.records.schema import Record
from proofglass.types import Score

pytestmark = pytest.mark.filterwarnings("ignore:measure:UserWarning")

# The truth is the word that the victim says; the judge looks at a digit of the reply too, and so errs in one of four.
COUNTS = tuple(Calibration("a set", "vision-language model", model, "", 45, 15, 5, 55) for model in "abcd")


@dataclass(frozen=True)
class Errs(Judge):
    name = "errs"
    column = "said yes"
    calibration: tuple[Calibration, ...] = ()

    @property
    def measured(self) -> Measured:  # type: ignore[override]
        return Measured("so so", "a set", "nobody", self.calibration)

    def score(self, attempts):
        return [Score("errs", float(truth(a.reply.text) != (a.reply.text[-1] in "0123"))) for a in attempts]


def corrected(run: api.Run) -> dict:
    return next(row for row in run.corrected() if row["judge"] == "errs")


def truth(reply: str) -> bool:
    return reply.startswith("yes")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory.mktemp("made"), Errs()).folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> api.Run:
    return api.Run(shutil.copytree(made, tmp_path / "run"))


def measured(tmp_path: Path, judge: Judge, n: int = 400) -> api.Run:
    api.measure(plugs.EchoVictim(), plugs.Plain(), plugs.Lines(n=n), judges=[judge], out=tmp_path / "run")
    return api.Run(tmp_path / "run")


def fill(sheet: Path, column: str = "errs") -> int:
    """Label every row of a sheet by the truth; how many there were."""
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    write(sheet, [{**row, column: int(truth(row["reply"]))} for row in rows])
    return len(rows)


def write(sheet: Path, rows: list[dict]) -> None:
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_pilot_comes_first_then_the_rest(run):
    first = api.plan_labels(run, "errs", 120)
    assert (first.rows, first.pilot, first.meaning) == (30, True, "said yes")
    assert first.file == run.folder / "labels" / "errs.csv"
    assert fill(first.file) == 30
    assert api.add_labels(run, first.file).taken == 30
    rest = api.plan_labels(run, "errs", 120)
    assert (rest.rows, rest.pilot, rest.rates) == (90, False, "30 labels")
    fill(rest.file)
    api.add_labels(run, rest.file)
    assert api.plan_labels(run, "errs", 120).rows == 0
    assert len(run.store.labels("errs").given) == 120


def test_the_sheet_is_blind(run):
    rows = rows_of(api.plan_labels(run, "errs", 100).file)
    assert list(rows[0]) == ["row", "question", "pictures", "reply", "errs"]
    assert {row["errs"] for row in rows} == {""}
    scores = run.store.scores()
    verdicts = dict(scores.filter(scores["judge"] == "errs").select("sample_id", "value").rows())
    order = [verdicts[row["question"].removesuffix("?")] for row in rows]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)


def test_the_same_plan_draws_the_same_replies_and_another_seed_others(tmp_path, made):
    def drawn(seed: int, place: str) -> set[str]:
        other = api.Run(shutil.copytree(made, tmp_path / place))
        return {row["row"] for row in rows_of(api.plan_labels(other, "errs", 100, seed=seed).file)}

    assert drawn(0, "a") == drawn(0, "b") != drawn(1, "c")


def test_the_corrected_rate_is_about_the_truth(run):
    sheet = api.plan_labels(run, "errs", 200, pilot=False)
    fill(sheet.file)
    api.add_labels(run, sheet.file)
    frame = run.frame()
    rate = sum(truth(reply) for reply in frame["reply"]) / frame.height
    row = corrected(run)
    assert (row["judge"], row["labels"], row["replies"]) == ("errs", 200, 400)
    assert row["basis"] == "labels of these replies"
    assert row["corrected_low"] <= rate <= row["corrected_high"]
    # Over eight draws, by seed, 0.129 to 0.144: a guess splits the labels, as many without the judge give 0.138.
    assert row["corrected_high"] - row["corrected_low"] < 0.15
    assert "Corrected for judge error" in api.write_report(run).read_text()


def test_labels_stay_when_the_study_runs_again(tmp_path, run):
    sheet = api.plan_labels(run, "errs", 100).file
    fill(sheet)
    api.add_labels(run, sheet)
    before = run.corrected()
    assert measured(tmp_path, Errs()).corrected() == before
    with run.store.locked() as store:
        store.gc()
    assert run.corrected() == before


def test_a_reply_that_changed_in_a_rerun_is_open_again_and_the_others_keep_their_labels(tmp_path, run):
    sheet = api.plan_labels(run, "errs", 100).file
    fill(sheet)
    api.add_labels(run, sheet)
    labels = run.store.labels("errs")
    (cell,) = run.store.cells()
    with run.store.locked() as store:
        # The same cell measured again: the victim says something else in every second sample.
        rows = store.frame(cell["cell"]).to_dicts()
        for row in rows[::2]:
            row |= {"reply": f"{row['reply']}9", "attempt": ""}
        store.seal(cell["cell"], [Record(**row) for row in rows], store.status(cell["cell"]))
    place = (cell["victim"], cell["attack"], cell["defense"], cell["dataset"])
    attempts = dict(run.frame().select("sample_id", "attempt").iter_rows())
    kept = labels.of(place, attempts)
    changed = {row["sample_id"] for row in rows[::2]}
    assert set(kept) == labels.samples(place) - changed
    again = api.plan_labels(run, "errs", 100).file
    asked = {row["row"] for row in rows_of(again)}
    assert asked >= {attempts[sample] for sample in labels.samples(place) & changed}
    assert not asked & set(labels.given)


def test_a_row_that_is_not_right_costs_itself_and_is_named(run):
    sheet = api.plan_labels(run, "errs", 100).file
    rows = rows_of(sheet)
    for row, word in zip(rows, ["maybe", "1", "no", "YES", "", *["0"] * 20], strict=True):
        row["errs"] = word
    write(sheet, [*rows, {**rows[0], "row": "nothing", "errs": "1"}, {**rows[1], "errs": "0"}])
    added = api.add_labels(run, sheet)
    assert (added.taken, added.empty, added.changed) == (23, 1, 0)
    assert [fault.removeprefix(f"{sheet}:") for fault in added.faults] == [
        "2: errs: expected 1 or 0 (yes, no), found 'maybe'",
        "27: row: 'nothing' was not drawn in this run; leave that column as it is",
        f"28: errs: row {rows[1]['row']} was labelled otherwise further up; that one is kept",
    ]


def test_a_reply_over_several_lines_is_named_by_its_first(run):
    sheet = api.plan_labels(run, "errs", 100).file
    rows = rows_of(sheet)
    rows[0]["reply"], rows[1]["errs"] = "two\nlines", "x"
    write(sheet, rows)
    assert api.add_labels(run, sheet).faults[0].startswith(f"{sheet}:4: errs")


def test_labels_that_nobody_added_are_not_written_over(run):
    sheet = api.plan_labels(run, "errs", 100).file
    fill(sheet)
    with pytest.raises(UsageError, match=r"errs.csv:2: holds labels that were not added"):
        api.plan_labels(run, "errs", 100)
    api.add_labels(run, sheet)
    api.plan_labels(run, "errs", 100)


def test_semicolons_of_a_spreadsheet_are_read(run):
    sheet = api.plan_labels(run, "errs", 100).file
    rows = rows_of(sheet)
    lines = [";".join(rows[0]), *(";".join([row["row"], "q", "", "r", "1.0"]) for row in rows)]
    sheet.write_text("\ufeff" + "\n".join(lines))
    assert api.add_labels(run, sheet).taken == len(rows)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"judge": "nobody"}, "--judge: 'nobody' judged nothing"),
        ({"cells": ["zz"]}, "--cell: no measured cell begins with 'zz'"),
        ({"victims": ["gpt"]}, "--victim: no measured cell of 'gpt'; measured: echo"),
        ({"budget": 5}, "--budget: 5 labels for 1 cells are 5 for each"),
    ],
)
def test_what_cannot_be_planned_is_said(run, given, error):
    with pytest.raises(UsageError, match=error):
        api.plan_labels(run, **{"judge": "errs", "budget": 100, **given})


def test_two_judges_do_not_draw_for_one_aspect(tmp_path, run):
    api.plan_labels(run, "errs", 100)
    other = measured(tmp_path, Errs(COUNTS))  # the same name, another key
    with pytest.raises(UsageError, match="mixed, neither would be a sample"):
        api.plan_labels(other, "errs", 100)


@pytest.mark.parametrize("content", ["", "row,reply\n1,2\n", "a,b\n1,2\n"])
def test_a_file_that_is_no_sheet_is_refused(run, tmp_path, content):
    api.plan_labels(run, "errs", 100)
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UsageError, match="expected the columns row, question, pictures, reply and one for the labels"):
        api.add_labels(run, tmp_path / "x.csv")


def test_damaged_labels_are_told(run):
    api.plan_labels(run, "errs", 100)
    path = run.folder / "labels" / "errs.json"
    path.write_bytes(path.read_bytes().replace(b"errs", b"mess", 1))
    with pytest.raises(StoreError, match=r"errs\.json"):
        run.corrected()


def test_without_labels_the_card_of_the_judge_is_the_basis(tmp_path):
    row = corrected(measured(tmp_path, Errs(COUNTS)))
    assert (row["basis"], row["method"], row["labels"]) == ("labels of other replies", "error rates", 480)
    # (q + 55/60 - 1) / (45/60 + 55/60 - 1)
    assert row["corrected"] == pytest.approx((row["value"] - 5 / 60) / (40 / 60))


def test_no_calibration_is_said_plainly(tmp_path, run):
    row = corrected(run)
    assert row["corrected"] is None
    assert row["reason"] == "no calibration for this judge on this kind of model (vision-language model)"
    other = tuple(Calibration("a set", "language model", "a", "", 45, 15, 5, 55) for _ in "a")
    row = corrected(measured(tmp_path / "other", Errs(other)))
    assert row["reason"].endswith("; there is one on: language model")


def test_a_few_labels_do_not_replace_the_card(tmp_path):
    run = measured(tmp_path, Errs(COUNTS))
    sheet = api.plan_labels(run, "errs", 100)
    rows = rows_of(sheet.file)
    for row in rows[: FEWEST - 1]:
        row["errs"] = "1"
    write(sheet.file, rows)
    api.add_labels(run, sheet.file)
    assert sheet.rates == "the judge's card"
    assert corrected(run)["basis"] == "labels of other replies"


def test_a_judge_that_decides_by_definition_is_not_corrected(tmp_path):
    run = measured(tmp_path, plugs.Long(), n=20)
    assert [row["judge"] for row in run.corrected()] == ["not-refused"]
