"""What made a difference: the paired comparisons of `evaluation.metrics.compare`, as table, page and sentences."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from proofglass.evaluation.metrics.compare import KINDS, MARGIN, Comparison, Kind
from proofglass.evaluation.metrics.success import few_clusters
from proofglass.report.run import ReportedRun
from proofglass.report.tables import Table
from proofglass.report.wording import chance, percent, plural, points

SHOWN = 24  # rows of one kind on the page; the table has all

TITLES: dict[Kind, str] = {
    "attack": "Attacks against no attack",
    "defense": "Defenses against none",
    "victim": "Victims against each other",
    "utility": "What defenses cost on harmless questions",
}
CLAIMS: dict[Kind, str] = {
    "attack": "attacked cells differ from no attack",
    "defense": "defended cells differ from no defense",
    "victim": "pairs of victims differ",
    "utility": f"defended cells are shown to lose less than {100 * MARGIN:.0f} points of compliance",
}


def differences(run: ReportedRun) -> Table:
    """One row per comparison: the fields of `Comparison`, `found`, `lost` and `few_clusters`."""
    columns = (*(field.name for field in fields(Comparison)), "found", "lost", "few_clusters")
    return Table("differences", "Paired differences", columns, [_row(each) for each in run.differences])


def shown(run: ReportedRun) -> list[dict[str, Any]]:
    """One dict per kind that has comparisons: kind, title, claim, rows (those with a finding first, at most `SHOWN`),
    every (their number), adjustment."""
    groups = []
    for kind in KINDS:
        rows = [_row(each) for each in run.differences if each.kind == kind]
        if rows:
            first = sorted(rows, key=lambda row: not (row["found"] or row["lost"]))[:SHOWN]
            adjustment = next((row["adjustment"] for row in rows if row["adjustment"]), "")
            told = {"kind": kind, "title": TITLES[kind], "claim": _claim(kind, rows)}
            groups.append({**told, "rows": first, "every": len(rows), "adjustment": adjustment})
    return groups


def sentences(run: ReportedRun) -> list[str]:
    """One per kind in which something was found, with its largest difference; of utility the largest loss."""
    told = []
    for kind in KINDS:
        rows = [_row(each) for each in run.differences if each.kind == kind]
        found = [row for row in rows if row["found"] or row["lost"]]
        if found:
            largest = max(found, key=lambda row: -row["difference"] if kind == "utility" else abs(row["difference"]))
            told.append(f"{_claim(kind, rows)}; {_largest(kind, largest)}.")
    return told


def _claim(kind: Kind, rows: list[dict[str, Any]]) -> str:
    lost = sum(row["lost"] for row in rows)
    beyond = f", {lost} to lose more (each by its own interval, unadjusted)" if lost else ""
    return f"{sum(row['found'] for row in rows)} of {len(rows)} {CLAIMS[kind]}{beyond}"


def _largest(kind: Kind, row: dict[str, Any]) -> str:
    said, mine = ("most lost", row["defense"]) if kind == "utility" else ("largest", row[kind])
    place = " x ".join(row[name] for name in ("victim", "attack", "defense", "dataset") if row[name] != mine)
    sides = f"{percent(row['rate'], row['n'])} against {percent(row['versus_rate'], row['n'])}"
    # The p value of a loss would be that of the claim that there is none.
    tested = "" if row["lost"] else f"adjusted p {chance(row['adjusted'])}, "
    difference = f"{points(row)} points, {tested}{plural(row['n'], 'pair')}"
    return f"{said}: {mine} against {row['versus']} in {place}, {sides}, {difference}"


def _row(each: Comparison) -> dict[str, Any]:
    row = vars(each) | {"found": each.found, "lost": each.lost}
    return row | {"few_clusters": few_clusters(row)}
