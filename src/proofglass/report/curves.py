"""Success against budget: the same attacks on the same samples, at several budgets, as one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proofglass.report.charts import COLOURS, SHAPES, Frame
from proofglass.report.run import ReportedRun
from proofglass.report.source import Source
from proofglass.report.tables import Table
from proofglass.report.wording import number, with_interval

COLUMNS = (
    "victim",
    "dataset",
    "attack",
    "judge",
    "budget",
    "forward_equivalents",
    "seconds",
    "value",
    "low",
    "high",
    "n",
)


def points(stores: Sequence[Source]) -> Table:
    """One row per victim, data set, attack and budget: what was spent per picture, and the success it bought.

    forward_equivalents: forward + 2 x backward passes + queries; seconds: wall time of crafting. Both are 0 for what
    crafts nothing, whose budget is None. Only cells without a defense and with a rate; `value`, `low`, `high` as in
    every report. judge: whose rate it is; "not-refused" on a victim about which the judge of success says nothing.
    """
    rows = []
    for store in stores:
        run = ReportedRun(store)
        for cell in run.cells:
            rate = cell.rates.get(cell.judge)
            if not rate or rate["value"] is None or cell.defense not in run.undefended:
                continue
            craft = cell.plan.get("craft") or {}
            pictures = max(craft.get("artefacts") or 1, 1)
            spent = (craft.get("forward") or 0) + 2 * (craft.get("backward") or 0) + (craft.get("queries") or 0)
            rows.append(
                {
                    "victim": cell.victim,
                    "dataset": cell.dataset,
                    "attack": cell.attack,
                    "judge": cell.judge,
                    "budget": run.manifest.get("budget") if spent else None,
                    "forward_equivalents": spent / pictures,
                    "seconds": (craft.get("seconds") or 0.0) / pictures if spent else 0.0,
                    **{name: rate[name] for name in ("value", "low", "high", "n")},
                }
            )
    return Table("curve", "Success against budget", COLUMNS, rows)


def charts(table: Table) -> list[dict[str, Any]]:
    """Per victim and data set two charts: against forward equivalents and against seconds, both logarithmic."""
    places = list(dict.fromkeys((row["victim"], row["dataset"]) for row in table.rows))
    attacks = list(dict.fromkeys(row["attack"] for row in table.rows))
    found = []
    for victim, dataset in places:
        rows = [row for row in table.rows if (row["victim"], row["dataset"]) == (victim, dataset)]
        for axis, title in (
            ("forward_equivalents", "forward equivalents per picture"),
            ("seconds", "seconds per picture (this machine)"),
        ):
            spent = [row[axis] for row in rows if row[axis] > 0]
            if spent:
                found.append(_chart(rows, attacks, axis, title, min(spent), max(spent)) | _named(victim, dataset))
    return found


def _named(victim: str, dataset: str) -> dict[str, str]:
    return {"victim": victim, "dataset": dataset}


def _chart(
    rows: Sequence[dict[str, Any]], attacks: Sequence[str], axis: str, title: str, low: float, high: float
) -> dict[str, Any]:
    decades = (math.floor(math.log10(low)), math.ceil(math.log10(high * 1.0001)))
    frame = Frame(width=430, x=(float(decades[0]), float(decades[1])))
    lines: list[dict[str, Any]] = []
    for k, attack in enumerate(attacks):
        mine = sorted((row for row in rows if row["attack"] == attack), key=lambda row: row[axis])
        if mine:
            lines.append(
                {"name": attack, "ink": k % COLOURS, "shape": SHAPES[k % len(SHAPES)]} | _line(frame, mine, axis)
            )
    return {
        "frame": frame,
        "title": title,
        "lines": lines,
        "xs": [(frame.at_x(d), number(10.0**d)) for d in range(decades[0], decades[1] + 1)],
        "ys": [(frame.at_y(v), f"{v:.0%}") for v in (0, 0.25, 0.5, 0.75, 1)],
        "alt": f"Success against {title}: "
        + "; ".join(f"{line['name']} up to {line['marks'][-1]['title']}" for line in lines),
    }


def _line(frame: Frame, rows: Sequence[dict[str, Any]], axis: str) -> dict[str, Any]:
    """Marks with intervals; what spends nothing is a level across the whole chart. A budget too small for a first
    step buys nothing and has no place on a logarithmic scale."""
    free = all(row[axis] == 0 for row in rows)
    rows = rows if free else [row for row in rows if row[axis] > 0]
    marks = [
        {
            "x": frame.at_x(frame.x[1] if free else math.log10(row[axis])),
            "y": frame.at_y(row["value"]),
            "y0": frame.at_y(row["low"]),
            "y1": frame.at_y(row["high"]),
            "title": f"{with_interval(row)} for {number(row[axis])}, n = {row['n']}",
        }
        for row in (rows[:1] if free else rows)
    ]
    start = f"M{frame.at_x(frame.x[0])},{marks[0]['y']}" if free else f"M{marks[0]['x']},{marks[0]['y']}"
    path = start + "".join(f"L{mark['x']},{mark['y']}" for mark in (marks if free else marks[1:]))
    return {"marks": marks, "path": path, "free": free}


def write(stores: Sequence[Source], out: Path) -> Path:
    """Write index.html (no script, nothing loaded) and curve.csv into `out`; returns the page.

    Raises StoreError if the folder cannot be written.
    """
    from markupsafe import Markup

    from proofglass.report.findings import judge_errors
    from proofglass.report.page import TEMPLATES, environment, policy
    from proofglass.report.written import csv_bytes, write_files

    table = points(stores)
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    run = ReportedRun(stores[0])
    page = (
        environment()
        .get_template("curves.html.j2")
        .render(
            name=run.manifest["name"],
            success=run.column(run.success),
            cautions=judge_errors(run),
            headings={victim: run.columns(victim)[0] for victim in run.victims},
            seed=run.manifest["seed"],
            charts=charts(table),
            rows=table.rows,
            style=style,
            policy=policy(style),
        )
    )
    write_files(out, {"index.html": page.encode(), "curve.csv": csv_bytes(table)})
    return out / "index.html"
