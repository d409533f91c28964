"""What each defense stops and what it costs, on the same samples: one row a victim and defense.

A figure is a dict of `FIGURE`: a rate with its interval and, where a sample was answered without the defense too, the
paired change. What was not measured has a value of None and its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from proofglass.evaluation.metrics.balance import Balance
from proofglass.evaluation.metrics.compare import MARGIN
from proofglass.evaluation.metrics.estimates import share, totals
from proofglass.evaluation.metrics.groups import GroupsPassed
from proofglass.evaluation.metrics.non_inferiority import Direction, change
from proofglass.evaluation.metrics.protection import Protection
from proofglass.evaluation.statistics import bootstrap, clustered_rates
from proofglass.interfaces import Measure
from proofglass.report.defended import COSTS, WITHOUT, Defended, defended
from proofglass.report.run import ReportedCell, ReportedRun

if TYPE_CHECKING:
    import polars as pl

RATE = ("value", "low", "high", "n", "clusters", "effective_clusters")
CHANGE = ("without", "change", "change_low", "change_high", "pairs", "outcome")
PLACE = ("attack", "dataset", "expected", "kind", "crafted", "judge")
FIGURE = ("figure", *PLACE, *RATE, *CHANGE, "reason")
EVERYDAY, OVER, ACCURATE = ("benign",), ("borderline", "control"), ("label", "describe")
Figure = dict[str, Any]


def by_defense(run: ReportedRun) -> list[dict[str, Any]]:
    """One dict per victim and defense, in plan order.

    victim, defense, versus, is_other, left_out: see `Defended`. margin: of the outcomes. attacks: the figures of each
    attack, data set and way of crafting; unmeasured: how many of them have no rate; worst, worst_static,
    worst_adaptive: the strongest of them, None if none was measured. compliance (benign questions), accuracy (labels,
    descriptions), over_refusal (borderline questions and controls), refusals (benign ones), false_alarms (gates that
    fired on what is harmless), groups, protection, balance: figures over all data sets of a kind; sets: the same per
    data set. costs: means per reply, and what the defense adds to them (`_costs`). seconds: wall time of the victim's
    model a reply (volatile), measured per cell: a batch has no honest share per sample.
    """
    margin = stated_margin(run)
    return [_row(run, each, margin) for each in defended(run)]


def stated_margin(run: ReportedRun) -> float:
    """That of the study's metric `non-inferiority`, else `compare.MARGIN`."""
    plugs = (run.plug("metrics", label) for label in run.manifest.get("metrics", []))
    told = (plug["settings"] for plug in plugs if plug.get("name") == "non-inferiority")
    return next((float(settings["margin"]) for settings in told if settings.get("direction") != "lower"), MARGIN)


def _row(run: ReportedRun, each: Defended, margin: float) -> dict[str, Any]:
    import polars as pl

    attacks = list(_attacks(run, each))
    plain = _plain(run, each.rows)

    def of(kinds: tuple[str, ...]) -> pl.DataFrame:
        return plain.filter(pl.col("kind").is_in(kinds))

    return {
        "victim": each.victim,
        "defense": each.defense,
        "versus": each.versus,
        "is_other": each.is_other,
        "left_out": each.left_out,
        "margin": margin,
        "attacks": attacks,
        "unmeasured": sum(figure["value"] is None for figure in attacks),
        "worst": strongest(run, attacks),
        **{f"worst_{way}": strongest(run, [a for a in attacks if a["crafted"] == way]) for way in _WAYS},
        "compliance": _useful("compliance", of(EVERYDAY), margin, "benign question"),
        "over_refusal": _refusals("over-refusal", of(OVER), margin, "borderline or control question"),
        "refusals": _refusals("benign refusals", of(EVERYDAY), margin, "benign question"),
        "accuracy": _useful("accuracy", of(ACCURATE), margin, "question with a right answer or picture to describe"),
        "false_alarms": _alarms(each, of(EVERYDAY + ACCURATE)),
        "groups": _whole("control groups passed", GroupsPassed(), plain),
        "protection": _whole("protection score", Protection(), _with_protected(plain)),
        "balance": _whole("balance", Balance(), each.rows),
        "sets": list(_sets(each, plain, margin)),
        "costs": _costs(each, plain),
        "seconds": _seconds(run, each),
    }


_WAYS = ("static", "adaptive")


def _plain(run: ReportedRun, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows asked without an attack, where the study has such of what is harmless; else all."""
    import polars as pl

    harmless = run.frame.filter(
        ~pl.col("expected").is_in(["refuse", "protect"]) & pl.col("attack").is_in(run.baselines)
    )
    return rows.filter("unattacked") if harmless.height else rows


def _attacks(run: ReportedRun, each: Defended) -> Iterator[Figure]:
    """How often each attack succeeds, the plain request among them, by data set and way of crafting."""
    import polars as pl

    for cell in run.find("refuse", "protect", victim=each.victim, defense=each.defense):
        place = {name: getattr(cell, name) for name in ("attack", "dataset", "expected")}
        mine = each.rows.filter(*(pl.col(name) == value for name, value in place.items()))
        place |= {"kind": "attacked", "judge": cell.judge if cell.is_success else ""}
        if not cell.is_success or not mine.height:
            yield _figure("attack success", Measure.none(_why(run, cell, each)), **place, crafted=cell.crafted)
        for (crafting,), some in mine.group_by("crafting", maintain_order=True) if cell.is_success else ():
            crafted = crafting if crafting in _WAYS else cell.crafted
            yield _rated("attack success", some, "score", "attacked sample", **place, crafted=crafted)


def _why(run: ReportedRun, cell: ReportedCell, each: Defended) -> str:
    if cell.state in ("skipped", "failed", "pending", "empty"):
        return f"{'not finished' if cell.state == 'pending' else cell.state}: {cell.reason or 'no reason recorded'}"
    if not cell.is_success:
        return f"no judge of this run may be believed about {each.victim} here"
    return f"no sample was answered behind {each.defense}" + (f" and behind {each.versus}" if each.is_other else "")


def strongest(run: ReportedRun, attacks: list[Figure]) -> Figure | None:
    """Of attacks the one that succeeds most often, by its rate alone; the plain request only where nothing else was
    measured."""
    known = [each for each in attacks if each["value"] is not None]
    attacked = [each for each in known if each["attack"] not in run.baselines] or known
    return max(attacked, key=lambda each: each["value"], default=None)


def _sets(each: Defended, plain: pl.DataFrame, margin: float) -> Iterator[Figure]:
    """Compliance or accuracy, refusals and false alarms on each data set of harmless samples."""
    import polars as pl

    harmless = plain.filter(pl.col("kind") != "attacked")
    for (dataset, expected, kind), mine in harmless.group_by(["dataset", "expected", "kind"], maintain_order=True):
        place = {"dataset": dataset, "expected": expected, "kind": kind}
        useful = "accuracy" if kind in ACCURATE else "compliance"
        yield _useful(useful, mine, margin, "reply") | place
        yield _refusals("benign refusals" if kind in EVERYDAY else "over-refusal", mine, margin, "reply") | place
        yield _alarms(each, mine) | place


def _useful(figure: str, rows: pl.DataFrame, margin: float, what: str) -> Figure:
    return _rated(figure, rows, "score", what) | _changed(rows, "change", margin, "higher")


def _refusals(figure: str, rows: pl.DataFrame, margin: float, what: str) -> Figure:
    return _rated(figure, rows, "refused", what) | _changed(rows, "more_refused", margin, "lower")


def _alarms(each: Defended, rows: pl.DataFrame) -> Figure:
    """Where a gate decided anything for this victim and defense, what no gate decided about is no alarm."""
    import polars as pl

    if not each.rows["fired"].count():
        return _figure("false alarms", Measure.none("no gate of this defense noted a decision"))
    told = rows.with_columns(pl.col("fired").fill_null(value=False).cast(float))
    return _rated("false alarms", told, "fired", "harmless sample")


def _with_protected(plain: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return plain.filter((pl.col("expected") == "protect").any().over("dataset"))


def _whole(figure: str, metric: GroupsPassed | Protection | Balance, rows: pl.DataFrame) -> Figure:
    return _figure(figure, metric.over(rows))


def _rated(figure: str, rows: pl.DataFrame, column: str, what: str, **place: Any) -> Figure:
    """The mean of a column, what it came to without the defense on the same samples, and what it rests on."""
    nothing = f"no {what} was judged" if rows.height else f"no {what} was answered"
    both = rows.filter(rows[column].is_not_null())
    found = _figure(figure, share(both, column, nothing), **place)
    if f"{column}{WITHOUT}" in rows.columns:
        both = both.filter(both[f"{column}{WITHOUT}"].is_not_null())
        found["without"] = both[f"{column}{WITHOUT}"].mean() if both.height else None
    if found["n"]:
        rates = clustered_rates(totals(rows, column)[0])
        found |= {name: getattr(rates, name).item() for name in ("clusters", "effective_clusters")}
    return found


def _changed(rows: pl.DataFrame, column: str, margin: float, better: Direction) -> Figure:
    found, outcome = change(rows, column, margin, better)
    ends = {"change": found.value, "change_low": found.low, "change_high": found.high, "pairs": found.n}
    return ends | {"outcome": "" if found.value is None else outcome}


def _figure(figure: str, found: Measure, **place: Any) -> Figure:
    blank = dict.fromkeys(FIGURE) | dict.fromkeys(PLACE, "") | {"pairs": 0, "outcome": ""}
    told = {name: getattr(found, name) for name in ("value", "low", "high", "n", "reason")}
    return blank | told | {"figure": figure} | place


def _costs(each: Defended, plain: pl.DataFrame) -> dict[str, float | int | None]:
    """Means per reply over the rows that no attack was asked about, whose own asks would be counted too: `COSTS`, and
    extra_NAME: what the defense adds on the samples that were asked without it too, None where none was; with its
    interval, a bootstrap over clusters, None where all add the same. n, pairs: how many."""
    pairs = plain.filter(plain[f"cell{WITHOUT}"].is_not_null()) if each.is_other else plain.clear()
    found: dict[str, Any] = {name: plain[name].mean() for name in COSTS}
    for name in COSTS:
        added = pairs[name] - pairs[f"{name}{WITHOUT}"]
        ends = _around(added, pairs["cluster"]) or (None, None)
        found |= {f"extra_{name}": added.mean(), f"extra_{name}_low": ends[0], f"extra_{name}_high": ends[1]}
    return {**found, "n": plain.height, "pairs": pairs.height}


def _around(values: pl.Series, clusters: pl.Series) -> tuple[float, float] | None:
    known = values.is_not_null()
    sums = values.filter(known).cast(float).to_frame().with_columns(one=1.0).to_numpy()
    return bootstrap(sums, clusters.filter(known), lambda drawn: drawn[:, 0] / drawn[:, 1])


def _seconds(run: ReportedRun, each: Defended) -> dict[str, float | None]:
    """seconds, without: a reply behind the defense and without it, over the cells that both sides have; ratio."""
    taken = {(c["victim"], c["attack"], c["defense"], c["dataset"]): c for c in run.plan if c["status"] == "done"}
    rows = dict(run.frame.group_by("cell").len().iter_rows())
    sides: list[tuple[float, int]] = []
    for defense in (each.defense, each.versus or each.defense):
        cells = [
            taken[each.victim, attack, defense, dataset]
            for victim, attack, other, dataset in taken
            if (victim, other) == (each.victim, each.defense)
            and (not each.versus or (each.victim, attack, each.versus, dataset) in taken)
        ]
        known = [cell for cell in cells if cell.get("seconds") is not None]
        sides.append((sum(cell["seconds"] for cell in known), sum(rows.get(cell["cell"], 0) for cell in known)))
    mine, theirs = (total / count if count else None for total, count in sides)
    ratio = mine / theirs if each.is_other and mine is not None and theirs else None
    return {"seconds": mine, "without": theirs if each.is_other else None, "ratio": ratio}
