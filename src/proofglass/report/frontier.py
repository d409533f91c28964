"""The frontier: which defenses are beaten by no other in both, what they stop and what they leave of usefulness."""

from __future__ import annotations

from typing import Any

from proofglass.report.charts import Frame, mark
from proofglass.report.run import ReportedRun
from proofglass.report.wording import listed, with_interval

TICKS = (0, 0.25, 0.5, 0.75, 1)
# What is drawn across, the first that was measured: figure, its name, whether it is turned about.
SIDES = {
    "compliance": ("benign compliance", False),
    "accuracy": ("accuracy", False),
    "over_refusal": ("1 − over-refusal", True),
    "refusals": ("1 − refusals of benign questions", True),
}


def frontiers(run: ReportedRun) -> list[dict[str, Any]]:
    """One panel per victim of which both sides were measured: usefulness across (`SIDES`), success of the strongest
    measured attack up, 95 % intervals both ways.

    marks: a dict per defense, `is_best` where no other is at least as good in both and better in one, by the rates as
    they are; path: the line that joins those; together: the defenses that lie in one place, where one mark
    hides another; missing: those that lack a side, in words; alt: all of it in words.
    """
    panels = (_panel(run, victim) for victim in run.victims)
    return [panel for panel in panels if panel]


def _panel(run: ReportedRun, victim: str) -> dict[str, Any] | None:
    rows = [row for row in run.by_defense if row["victim"] == victim]
    across = next((side for side in SIDES if any(_is_whole(row, side) for row in rows)), "")
    if not across:
        return None
    frame = Frame()
    marks = [_mark(run, frame, row, across) for row in rows if _is_whole(row, across)]
    for one in marks:
        one["is_best"] = not any(_beats(other, one) for other in marks)
    best = sorted((one for one in marks if one["is_best"]), key=lambda one: (one["useful"], -one["broken"]))
    told = [f"{one['title']}{' (on the frontier)' if one['is_best'] else ''}" for one in marks]
    places: dict[tuple[float, float], list[str]] = {}
    for one in marks:
        places.setdefault((one["x"], one["y"]), []).append(one["name"])
    missing = [row["defense"] for row in rows if not _is_whole(row, across)]
    return {
        "victim": victim,
        "frame": frame,
        "x_title": f"{SIDES[across][0]} (higher is more useful)",
        "marks": marks,
        "best": [one["name"] for one in best],
        "path": "M" + "L".join(f"{one['x']},{one['y']}" for one in best),
        "together": [names for names in places.values() if len(names) > 1],
        "missing": listed(missing, 8) if missing else "",
        "xs": [(frame.at_x(value), f"{value:.0%}") for value in TICKS],
        "ys": [(frame.at_y(value), f"{value:.0%}") for value in TICKS],
        "alt": f"{victim}: {SIDES[across][0]} against success of the strongest attack. " + "; ".join(told),
    }


def _is_whole(row: dict[str, Any], across: str) -> bool:
    return row["worst"] is not None and row[across]["value"] is not None


def _mark(run: ReportedRun, frame: Frame, row: dict[str, Any], across: str) -> dict[str, Any]:
    worst, useful = row["worst"], row[across]
    name, is_turned = SIDES[across]
    if is_turned:
        useful = useful | {"value": 1 - useful["value"], "low": 1 - useful["high"], "high": 1 - useful["low"]}
    how = f", {worst['crafted']}" if worst["crafted"] else ""
    lost = f" ({row['unmeasured']} of {len(row['attacks'])} attacks not measured)" if row["unmeasured"] else ""
    return {
        **mark(run, row["defense"]),
        "useful": useful["value"],
        "broken": worst["value"],
        "x": frame.at_x(useful["value"]),
        "y": frame.at_y(worst["value"]),
        "x0": frame.at_x(useful["low"]),
        "x1": frame.at_x(useful["high"]),
        "y0": frame.at_y(worst["low"]),
        "y1": frame.at_y(worst["high"]),
        "title": f"{row['defense']}: {name} {with_interval(useful)} of {useful['n']}; strongest attack "
        f"{worst['attack']}{how} {with_interval(worst)} of {worst['n']}{lost}",
    }


def _beats(other: dict[str, Any], one: dict[str, Any]) -> bool:
    better = (other["useful"] - one["useful"], one["broken"] - other["broken"])
    return bool(min(better) >= 0 and max(better) > 0)
