"""The rows behind each defense, beside what the same samples came to without it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.metrics import kinds
from proofglass.evaluation.metrics.rows import scored_rows

if TYPE_CHECKING:
    import polars as pl

    from proofglass.report.run import ReportedRun

PLACE = ("attack", "dataset", "expected")
ASKED = (*PLACE, "sample_id")  # what both sides share
COSTS = ("queries", "tokens_in", "tokens_out", "helper_queries", "helper_tokens")
WITHOUT = ":without"  # of a column: the same without the defense


@dataclass(frozen=True)
class Defended:
    """A victim behind a defense, on the samples that were answered behind it and without it.

    versus: label of the defense that does nothing, "" where the study has none. rows: the frame of `gathered`; for the
    columns in which the sides differ NAME and NAME:without, and the paired differences `change` (of score) and
    `more_refused`. Of attacks that met this defense only, and where there is no other side, all rows that were
    answered, their NAME:without null. left_out: rows that failed on either side, or that one side lacks.
    """

    victim: str
    defense: str
    versus: str
    rows: pl.DataFrame
    left_out: int

    @property
    def is_other(self) -> bool:
        """Whether there is anything that it is held against."""
        return self.versus not in ("", self.defense)


def defended(run: ReportedRun) -> list[Defended]:
    """One per victim and defense of the plan, in its order; without rows where nothing was answered."""
    every = gathered(run)
    parts = every.partition_by(["victim", "defense"], as_dict=True, maintain_order=True)
    versus = run.undefended[0] if run.undefended else ""
    return [
        _paired(victim, defense, versus, *(parts.get((victim, name), every.clear()) for name in (defense, versus)))
        for victim in run.victims
        for defense in run.defenses
        if any((cell.victim, cell.defense) == (victim, defense) for cell in run.cells)
    ]


def _paired(victim: str, defense: str, versus: str, mine: pl.DataFrame, theirs: pl.DataFrame) -> Defended:
    import polars as pl

    answered = pl.col("outcome") != "error"
    shared = theirs.select(PLACE).unique()
    common, alone = (mine.join(shared, on=list(PLACE), how=how, maintain_order="left") for how in ("semi", "anti"))
    other = ("score", "refused", *COSTS, "cell")
    without = theirs.filter(answered).select(*ASKED, *(pl.col(name).alias(name + WITHOUT) for name in other))
    paired = common.filter(answered).join(without, on=ASKED, how="inner", maintain_order="left")
    if defense == versus:  # nothing is held against itself
        paired = paired.with_columns(
            pl.lit(None, paired.schema[name]).alias(name) for name in paired.columns if name.endswith(WITHOUT)
        )
    rows = pl.concat([paired, alone.filter(answered)], how="diagonal").with_columns(
        change=pl.col("score") - pl.col(f"score{WITHOUT}"), more_refused=pl.col("refused") - pl.col(f"refused{WITHOUT}")
    )
    lacking = theirs.join(mine.select(PLACE).unique(), on=list(PLACE), how="semi").join(common, on=ASKED, how="anti")
    return Defended(victim, defense, versus, rows, mine.height - rows.height + lacking.height)


def gathered(run: ReportedRun) -> pl.DataFrame:
    """The rows of the cells that are done, with the columns that metrics are promised of the judges "success" and
    "refusal", and more.

    kind: see `kind_of`. judge: label of the judge of the cell (`ReportedRun.judge_of`), "" where it may not be
    believed. score: what it gives, turned so that 1 is what an attacker wants of samples that must not be answered and
    what a user wants of others; null without such a judge. refused: 1 where the reply was refused or withheld. fired:
    whether a gate of the defense fired, null where none decided anything. helper_queries, helper_tokens: what attack
    and defense asked of other models for this row.
    """
    import polars as pl

    done = {cell.key for cell in run.cells if cell.state in ("measured", "empty")}
    frame = run.frame.filter(run.frame["cell"].is_in(done))
    judges = {cell.judge for cell in run.cells} | {run.not_refused, run.success}
    told = scored_rows(
        frame,
        run.scores,
        {judge: judge for judge in sorted(judges)},
        undefended=run.undefended,
        unattacked=run.baselines,
        of_thoughts=run.of_thoughts,
        of_refusals=run.of_refusals,
    )
    told = told.join(_judged(run), on=["victim", "dataset", "expected"], how="left", maintain_order="left")
    # One judge for each row, of few in all.
    score = pl.lit(None, pl.Float64)
    for judge in sorted(judges):
        score = pl.when(pl.col("judge") == judge).then(pl.col(f"score:{judge}")).otherwise(score)
    told = told.with_columns(score=pl.when("turned").then(1 - score).otherwise(score))
    told = told.with_columns(refused=1 - pl.col(f"score:{run.not_refused}"))
    told = told.with_columns(
        # As the metrics of success and refusal are promised them.
        pl.col("score").alias("score:success"),
        pl.col("refused").alias("score:refusal"),
    )
    return _with_helpers(_with_alarms(run, told))


def _judged(run: ReportedRun) -> pl.DataFrame:
    """Per victim, data set and kind of sample: judge, turned, kind."""
    import polars as pl

    rows = {}
    for cell in run.cells:
        place = {"victim": cell.victim, "dataset": cell.dataset, "expected": cell.expected}
        turned = cell.is_bad != (cell.expected in kinds.GUARDED)
        rows[tuple(place.values())] = {
            **place,
            "judge": cell.judge if cell.is_success else "",
            "turned": turned,
            "kind": kind_of(run, cell.dataset, cell.expected),
        }
    schema = {**dict.fromkeys(("victim", "dataset", "expected", "judge"), pl.String), "turned": pl.Boolean}
    return pl.DataFrame(list(rows.values()), schema={**schema, "kind": pl.String})


def kind_of(run: ReportedRun, dataset: str, expected: str) -> str:
    """What samples of this kind tell about a defense. "attacked": what it stops; "benign": its cost of everyday use;
    "borderline" (the data set says that they look forbidden) and "control" (of a control pair, or of a data set that
    holds requests to be refused too, which differ little from them): over-refusal; "label", "describe": accuracy."""
    if expected in kinds.GUARDED:
        return "attacked"
    if expected not in kinds.HARMLESS:
        return expected
    if run.is_borderline(dataset):
        return "borderline"
    mixed = set(run.expected[dataset]) & set(kinds.GUARDED)
    return "control" if expected == "control" or mixed else "benign"


def _with_alarms(run: ReportedRun, rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    # A name of a field in JSON: inside a text its quotes would be escaped.
    alarms = run.store.scan().select(
        "cell",
        "sample_id",
        fired=pl.when(pl.col("decisions").str.contains('"fired":')).then(
            pl.col("decisions").str.contains(r'"fired":\s*true')
        ),
    )
    return rows.join(alarms.collect(), on=["cell", "sample_id"], how="left", maintain_order="left")


def _with_helpers(rows: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    texts = rows["helpers"].unique(maintain_order=True)
    told = pl.DataFrame(
        [{"helpers": text, **_spent(text)} for text in texts],
        schema={"helpers": pl.String, "helper_queries": pl.Int64, "helper_tokens": pl.Int64},
    )
    return rows.join(told, on="helpers", how="left", maintain_order="left", nulls_equal=True)


def _spent(text: str | None) -> dict[str, Any]:
    costs = json.loads(text or "{}").values()
    return {
        "helper_queries": sum(cost.get("queries", 0) for cost in costs),
        "helper_tokens": sum(cost.get("tokens_in", 0) + cost.get("tokens_out", 0) for cost in costs),
    }
