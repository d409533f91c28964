"""Recorded rows as what a judge sees, and whether a cell measured anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from proofglass.console import REASON, cut
from proofglass.errors import StoreError
from proofglass.evaluation.metrics.answers import is_withheld
from proofglass.records.columns import attempt_of
from proofglass.records.schema import without_id
from proofglass.records.store import Store
from proofglass.studies.rows import Row
from proofglass.types import Attempt, Sample, Score


def attempts_of(rows: Sequence[Mapping[str, Any]], samples: Mapping[str, Row], store: Store) -> dict[str, Attempt]:
    """Sample id -> what a judge sees, from the records of a cell: at the end of a run and years later alike.

    Raises StoreError if a record names a sample that the data set does not hold.
    """
    attempts = {}
    for row in rows:
        sample = samples.get(row["sample_id"])
        if sample is None:
            raise StoreError(f"{store.path}: sample {row['sample_id']!r} is not in the data set {row['dataset']!r}.")
        if isinstance(sample, Sample):
            attempts[sample.id] = attempt_of(row, sample, store.image)
    return attempts


def nothing_measured(rows: Sequence[Mapping[str, Any]], success: Mapping[str, Score]) -> str:
    """Why a cell has no sample that counts, empty if it has one. success: scores of the success judge."""
    if not rows:
        return "the data set has no samples"
    for row in rows:
        score = success.get(row["sample_id"])
        if is_withheld(row) or (score is not None and score.value is not None):
            return ""
    reasons = Counter(_why(row, success) for row in rows)
    reason, count = reasons.most_common(1)[0]
    return f"none of {len(rows)} samples could be judged; {count} x {cut(reason, REASON)}"


def _why(row: Mapping[str, Any], success: Mapping[str, Score]) -> str:
    """Why a row does not count."""
    reason = row["reason"] if row["outcome"] == "error" else success[row["sample_id"]].reason
    return without_id(reason, row["sample_id"])
