"""What judging by models cost: asks, tokens and money of each judge and each model that it asked."""

from __future__ import annotations

from typing import Any

from proofglass.report.run import ReportedRun

# As tables head it -> as the status of a cell holds it.
_NEW = {
    "new_answers": "asks_new",
    "queries": "queries_new",
    "tokens_in": "tokens_in_new",
    "tokens_out": "tokens_out_new",
    "money": "money_new",
}
COLUMNS = ("judge", "model", "asks", *_NEW)


def judging(run: ReportedRun) -> list[dict[str, Any]]:
    """A row per judge and model. asks: all; the rest is of the answers that no judge and no cell before it has too, so
    that a sum over the rows counts every answer once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (row for cell in run.plan for row in cell.get("judging") or () if row["judge"] in run.judges):
        blank = {"judge": row["judge"], "model": row["name"], "asks": 0, **dict.fromkeys(_NEW, 0)}
        told = found.setdefault((row["judge"], row["helper"]), blank)
        told["asks"] += row["asks"]
        for name, source in _NEW.items():
            told[name] += row[source]
    return list(found.values())
