"""Rates corrected for judge error: per cell and judge that can be wrong, beside the uncorrected rate.

From people's labels of the cell's own replies where there are any (`proofglass labels`), else from the counts on the
judge's card if they are about this kind of model, else it is said that there is no calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proofglass.evaluation.correction import Corrected, from_calibration, from_labels
from proofglass.evaluation.correction.labelled import FEWEST
from proofglass.evaluation.correction.rows import Rows, rows_of
from proofglass.evaluation.metrics.answers import given_by
from proofglass.interfaces import Calibration
from proofglass.records.labels import Labels
from proofglass.report.run import ReportedCell, ReportedRun

_NOT = "not "
LABELS = ("victim", "attack", "defense", "dataset")
COLUMNS = (
    *(*LABELS, "expected", "judge", "value", "low", "high", "n"),
    *("corrected", "corrected_low", "corrected_high", "replies", "labels", "questions", "basis", "method", "reason"),
)


def corrected(run: ReportedRun) -> list[dict[str, Any]]:
    """One dict per measured cell and judge that is not exact there, see `COLUMNS`: the rate as judged with its n; the
    corrected one, None where there is no basis, with the replies it is about, the labels that it rests on, and why."""
    replies = _Replies(run)
    labels = {judge: run.store.labels(aspect_of(run.plug("judges", judge))) for judge in run.judges}
    return [
        _row(run, cell, judge, labels[judge], replies)
        for cell in run.cells
        if cell.state == "measured"
        for judge in cell.rates
        if judge in labels
        and judge not in run.of_thoughts  # people labelled answers, and cards are about answers
        and run.measures(judge, cell.expected)
        and is_fallible(run, judge, cell.victim, labelled=labels[judge] is not None)
    ]


def is_fallible(run: ReportedRun, judge: str, victim: str, *, labelled: bool) -> bool:
    """Whether this judge may be wrong about this victim and yet says something: it is not exact there, and its error
    was measured, or people labelled replies in its aspect."""
    return not run.is_exact(judge, victim) and (bool(run.plug("judges", judge).get("measured")) or labelled)


def aspect_of(plug: Mapping[str, Any]) -> str:
    """What people are asked so that this judge can be corrected: its aspect, or its name. plug: of the manifest."""
    return str(plug.get("aspect") or plug["name"]).removeprefix(_NOT)


def in_its_sense(plug: Mapping[str, Any], label: float) -> float:
    """What a person said, as this judge would score it: the complement where it scores "not ..."."""
    return 1 - label if str(plug.get("aspect") or "").startswith(_NOT) else label


def calibration_of(plug: Mapping[str, Any]) -> list[Calibration]:
    """The counts on a judge's card. plug: of the manifest."""
    return [Calibration(**counts) for counts in (plug.get("measured") or {}).get("calibration") or ()]


def kind_of(plug: Mapping[str, Any]) -> str:
    """The kind of model that a victim is, as calibrations name it. plug: of the manifest."""
    return str(plug.get("world") or ("vision-language model" if plug.get("sees_images", True) else "language model"))


class _Replies:
    """What was answered and said, cut into cells once: a filter per cell would read the whole run again each time."""

    def __init__(self, run: ReportedRun) -> None:
        answers = run.frame.select("cell", "expected", "sample_id", "outcome", "reply", "cluster", "attempt")
        self._answers = answers.partition_by("cell", "expected", as_dict=True)
        self._scores = run.scores.partition_by("cell", "judge", as_dict=True)
        self._nothing = run.scores.clear()

    def rows(self, cell: ReportedCell, judge: str) -> Rows:
        """The replies of a cell with this judge's verdicts; of several raters as `answers.given_by` says."""
        said = given_by(self._scores.get((cell.key, judge), self._nothing), judge)
        scores = {row["sample_id"]: (row["value"], row["label"]) for row in said.iter_rows(named=True)}
        return rows_of(self._answers[cell.key, cell.expected].iter_rows(named=True), scores)

    def attempts(self, cell: ReportedCell) -> dict[str, str]:
        """Sample id -> key of the attempt."""
        return dict(self._answers[cell.key, cell.expected].select("sample_id", "attempt").iter_rows())


def _row(run: ReportedRun, cell: ReportedCell, judge: str, labels: Labels | None, replies: _Replies) -> dict[str, Any]:
    rate, found = cell.rates[judge], _correct(run, cell, judge, labels, replies)
    return {
        **{label: getattr(cell, label) for label in LABELS},
        "expected": cell.expected,
        "judge": judge,
        **{name: rate[name] for name in ("value", "low", "high", "n")},
        "corrected": found.value,
        "corrected_low": found.low,
        "corrected_high": found.high,
        "replies": found.n,
        **{name: getattr(found, name) for name in ("labels", "questions", "basis", "method", "reason")},
    }


def _correct(run: ReportedRun, cell: ReportedCell, judge: str, labels: Labels | None, replies: _Replies) -> Corrected:
    plug = run.plug("judges", judge)
    rows = replies.rows(cell, judge)
    told = labels.of(cell.place, replies.attempts(cell)) if labels else {}
    given = {sample: in_its_sense(plug, label) for sample, label in told.items()}
    mine = [given.get(sample) for sample in rows.ids]
    withheld = float(judge in run.of_refusals)
    there = len(mine) - mine.count(None)
    if labels and there >= FEWEST:
        return from_labels(
            rows.verdicts,
            mine,
            kinds=rows.kinds,
            clusters=rows.clusters,
            drawn=_drawn(run, cell, labels, rows),
            withheld=withheld,
        )
    found = _carried_over(plug, kind_of(run.plug("victims", cell.victim)), rows, withheld)
    return (
        found
        if found.value is not None or not there
        else Corrected.none(found.n, f"{there} labels of these replies, {FEWEST} are needed; {found.reason}", there)
    )


def _carried_over(plug: Mapping[str, Any], kind: str, rows: Rows, withheld: float) -> Corrected:
    """From the counts on the card, of this kind of model only."""
    every = calibration_of(plug)
    counts = [each for each in every if each.model_kind == kind]
    if not counts:
        others = ", ".join(dict.fromkeys(each.model_kind for each in every))
        return Corrected.none(
            len(rows.ids),
            f"no calibration for this judge on this kind of model ({kind})"
            + (f"; there is one on: {others}" if others else ""),
        )
    return from_calibration(rows.verdicts, counts, kinds=rows.kinds, clusters=rows.clusters, withheld=withheld)


def _drawn(run: ReportedRun, cell: ReportedCell, labels: Labels, rows: Rows) -> list[str]:
    """Within what each reply was drawn for labelling: the verdict of the judge that the draw went by. Raises StoreError
    if those scores are gone or damaged."""
    by = run.store.scores_of(cell.key, labels.judge_key)
    scores = {sample: (score.value, score.label) for sample, score in by.items()}
    frame = run.frame.filter(run.frame["cell"] == cell.key).select("sample_id", "outcome", "reply", "cluster")
    told = rows_of(frame.iter_rows(named=True), scores)
    verdicts = dict(zip(told.ids, told.verdicts, strict=True))
    return [verdicts[sample] for sample in rows.ids]
