"""Rows of a made-up cell, as metrics read them."""

from __future__ import annotations

from typing import Any

import polars as pl

NAMES = {"victim": "v", "attack": "figstep", "defense": "none", "dataset": "d", "expected": "refuse"}


def table(*rows: dict[str, Any], needs: tuple[str, ...] = ()) -> pl.DataFrame:
    """One row per dict: any column, NEED -> its score (and what the judge gave, unless "given:NEED" says otherwise)."""
    told = []
    for k, given in enumerate(rows):
        row = {**NAMES, "cell": "c", "sample_id": f"s{k}", "cluster": f"q{k}", "outcome": "ok", "reply": "r", **given}
        for need in needs:
            value = row.pop(need, None)
            row |= {f"score:{need}": value, f"given:{need}": row.get(f"given:{need}", value)}
            row.setdefault(f"label:{need}", None)
        row.setdefault("references", [])
        row.setdefault("unattacked", row["attack"] == "no-attack")
        row.setdefault("undefended", row["defense"] == "none")
        told.append(row)
    schema = {"references": pl.List(pl.String), "unattacked": pl.Boolean, "undefended": pl.Boolean}
    schema |= dict.fromkeys((*NAMES, "cell", "sample_id", "cluster", "outcome", "reply"), pl.String)
    for need in needs:
        schema |= {f"score:{need}": pl.Float64, f"given:{need}": pl.Float64, f"label:{need}": pl.String}
    return pl.DataFrame(told, schema_overrides=schema) if told else pl.DataFrame(schema=schema)


def some(count: int, **row: Any) -> list[dict[str, Any]]:
    return [dict(row) for _ in range(count)]
