"""Rows of a run as a correction takes them: failed ones left out, every other one with the judge's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proofglass.evaluation.correction.result import WITHHELD, Verdict, verdict_of
from proofglass.evaluation.metrics.answers import is_withheld


@dataclass(frozen=True)
class Rows:
    """Of each row that did not fail: sample id, the judge's verdict, the kind that it predicted (`Score.label`, "" if
    it said none), and the question."""

    ids: list[str]
    verdicts: list[Verdict]
    kinds: list[str]
    clusters: list[str]


def rows_of(rows: Iterable[Mapping[str, Any]], scores: Mapping[str, tuple[float | None, str]]) -> Rows:
    """rows: of one cell, with sample_id, outcome, reply and cluster; scores: sample id -> (value, label); what has none
    is unjudged."""
    found = Rows([], [], [], [])
    for row in rows:
        if row["outcome"] == "error":
            continue
        value, label = scores.get(row["sample_id"], (None, ""))
        verdict = verdict_of(value, is_withheld(row))
        found.ids.append(row["sample_id"])
        found.verdicts.append(verdict)
        found.kinds.append("" if verdict == WITHHELD else label)
        found.clusters.append(row["cluster"])
    return found
