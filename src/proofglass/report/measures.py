"""What the metrics of a study say: computed from the records whenever a report is written, no victim is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proofglass.console import cut
from proofglass.errors import ProofglassError
from proofglass.evaluation.metrics import kinds
from proofglass.evaluation.metrics.rows import judge_for, scored_rows
from proofglass.faults import briefly, stops_the_run, told
from proofglass.interfaces import CELL, SUCCESS, Group, Measure, Metric
from proofglass.registry import build
from proofglass.report.run import ReportedRun
from proofglass.report.tables import LENGTH, Table

if TYPE_CHECKING:
    import polars as pl

RATE = "rate"  # the metric that the tables of attacks and defenses show already
COLUMNS = ("metric", *CELL, "judges", "value", "low", "high", "n", "least", "most", "better", "reason")


@dataclass(frozen=True)
class _Asked:
    """A metric of the study: its label, itself, what it needs -> label of that judge. wrong: why it cannot be told."""

    label: str
    metric: Metric | None
    judges: dict[str, str]
    wrong: str = ""


def measured_by(run: ReportedRun) -> Table:
    return Table("metrics", "Metrics", COLUMNS, run.metrics)


def measures(run: ReportedRun) -> list[dict[str, Any]]:
    """One dict per metric of the study and group, in the order of the plan, see `COLUMNS`. Columns of CELL by which a
    metric does not group are "". least, most: the ends of its range, None for an open one. A value of None has its
    reason; a metric that breaks costs the groups on which it breaks, and nothing else."""
    asked = [_asked(run, label) for label in run.manifest.get("metrics", [])]
    judges = {need: judge for each in asked for need, judge in each.judges.items()}
    rows = _rows(run, judges)
    return [row for each in asked for row in sorted(_told(run, each, rows), key=_place_in(run))]


def _place_in(run: ReportedRun) -> Callable[[dict[str, Any]], list[int]]:
    """The key by which groups stand in plan order, whatever order a metric gives them in."""
    labels = (run.victims, run.attacks, run.defenses, run.datasets, kinds.ORDER)
    places = [{label: k for k, label in enumerate(every)} for every in labels]
    return lambda row: [place.get(row[name], -1) for name, place in zip(CELL, places, strict=True)]


def shown(run: ReportedRun) -> list[dict[str, Any]]:
    """One dict per metric that the page and the terminal show: metric, column, better, by (the columns in which its
    groups differ), is_share (0..1), rows. Not the rate by the judge of success: other tables are made of it."""
    found = []
    for label in run.manifest.get("metrics", []):
        plug = run.plug("metrics", label)
        rows = [row for row in run.metrics if row["metric"] == label]
        if plug.get("name") == RATE and (plug.get("settings") or {}).get("judge") in (SUCCESS, run.success):
            continue
        by = [name for name in CELL if len({row[name] for row in rows}) > 1] or list(CELL[:1])
        found.append(
            {
                "metric": label,
                "column": plug.get("column") or label.replace("-", " "),
                "better": plug.get("better", ""),
                "is_share": plug.get("range") == [0, 1],
                "by": by,
                "rows": rows,
            }
        )
    return found


def _asked(run: ReportedRun, label: str) -> _Asked:
    plug = run.plug("metrics", label)
    try:
        metric = build("metrics", plug["name"], **plug["settings"])
        needs = tuple(metric.needs)
    except BaseException as error:
        if stops_the_run(error):
            raise
        why = str(error) if isinstance(error, ProofglassError) else briefly(error)
        return _Asked(label, None, {}, f"cannot be made: {why}")
    known = {judge: run.plug("judges", judge) for judge in run.judges}
    judges = {need: judge_for(need, known, run.success) for need in needs}
    missing = [need for need, judge in judges.items() if not judge]
    if missing:
        return _Asked(label, metric, {}, f"needs the judge {missing[0]}, which did not judge this run")
    return _Asked(label, metric, judges)


def _rows(run: ReportedRun, judges: dict[str, str]) -> pl.DataFrame:
    """The rows of the cells that are done, with the scores of these judges."""
    done = [plan["cell"] for plan in run.plan if plan["status"] == "done"]
    frame = run.frame.filter(run.frame["cell"].is_in(done))
    return scored_rows(
        frame,
        run.scores,
        judges,
        undefended=run.undefended,
        unattacked=run.baselines,
        of_thoughts=run.of_thoughts,
        of_refusals=run.of_refusals,
        picture=run.store.image_path,
    )


def _told(run: ReportedRun, asked: _Asked, rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    metric = asked.metric
    if metric is None or asked.wrong:
        yield _row(asked, (), Measure.none(asked.wrong))
        return
    judges = asked.judges.values()
    # What `not-refused` sees of any victim is shown everywhere beside its error, and so are metrics of it.
    doubted = [judge for judge in dict.fromkeys(judges) if judge != run.not_refused]
    closed = [victim for victim in run.victims if any(not run.valid(judge, victim) for judge in doubted)]
    mine = rows.filter(~rows["victim"].is_in(closed)) if closed else rows
    groups = list(_groups(metric, mine)) if mine.height else []
    for group, found in groups:
        yield _row(asked, group, found)
    for victim in closed:
        judge = next(judge for judge in doubted if not run.valid(judge, victim))
        yield _row(asked, (), Measure.none(f"{judge} is not valid for this victim")) | {"victim": victim}
    if not groups and not closed:
        yield _row(asked, (), Measure.none("no cell is measured" if not mine.height else "no group was found"))


def _groups(metric: Metric, rows: pl.DataFrame) -> Iterator[tuple[Group, Measure]]:
    """Each group with what the metric says of it, or why it broke there; of a metric that counts all at once, why it
    broke at all."""
    if type(metric).over_groups is not Metric.over_groups:
        try:
            found = [(_named(metric, group), _checked(metric, one)) for group, one in metric.over_groups(rows)]
        except BaseException as error:
            found = [((), _broken(metric, error))]
        yield from found
        return
    for group, mine in rows.group_by(metric.by, maintain_order=True):
        try:
            one = _checked(metric, metric.over(mine))
        except BaseException as error:
            one = _broken(metric, error)
        yield tuple(str(name) for name in group), one


def _named(metric: Metric, group: Group) -> Group:
    if len(group) != len(metric.by):
        raise ValueError(f"group {group}: expected the values of {', '.join(metric.by)}")
    return tuple(str(name) for name in group)


def _checked(metric: Metric, found: Measure) -> Measure:
    """Raises TypeError, ValueError for what is no measure, or none of this range."""
    if not isinstance(found, Measure):
        raise TypeError(f"a {type(found).__name__}, expected a Measure")
    least, most = metric.range
    if found.value is not None and not (least is None or found.value >= least):
        raise ValueError(f"value: {found.value} is below the range, which begins at {least}")
    if found.value is not None and not (most is None or found.value <= most):
        raise ValueError(f"value: {found.value} is above the range, which ends at {most}")
    return found


def _broken(metric: Metric, error: BaseException) -> Measure:
    if stops_the_run(error):
        raise error
    return Measure.none(f"the metric broke: {told(error, 'metric', metric)}")


def _row(asked: _Asked, group: Group, found: Measure) -> dict[str, Any]:
    metric = asked.metric
    by = metric.by if metric and group else ()
    least, most = metric.range if metric else (None, None)
    return {
        "metric": asked.label,
        **dict.fromkeys(CELL, ""),
        **dict(zip(by, group, strict=True)),
        "judges": ", ".join(dict.fromkeys(asked.judges.values())),
        **{name: getattr(found, name) for name in ("value", "low", "high", "n")},
        "least": least,
        "most": most,
        "better": metric.better if metric else "",
        "reason": cut(found.reason, LENGTH),
    }
