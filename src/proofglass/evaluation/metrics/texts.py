"""Rows as texts beside their references: what a metric of a whole set of replies (BLEU, CIDEr) is counted from.

Which rows count: a reply that failed is left out, and one that was cut off before it said a word (in thought); so is a
row whose references hold no word. A reply that was withheld whole (blocked, filtered, refused by the provider) counts
as an empty text: whoever asked for a description got none, as a withheld answer counts as 0 in every rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.metrics.answers import withheld
from proofglass.evaluation.statistics import bootstrap
from proofglass.interfaces import Measure

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Texts:
    """Of each row: what was said, its references (at least one), its cluster; in an order that the frame's does not
    change. missing: why there is no row, "" if there is one."""

    said: list[str]
    references: list[list[str]]
    clusters: list[str]
    missing: str = ""


def texts_of(rows: pl.DataFrame) -> Texts:
    """rows: outcome, finish, reply, references, cluster, sample_id, cell."""
    import polars as pl

    unsaid = (pl.col("outcome") == "ok") & (pl.col("finish") == "length") & (pl.col("reply").str.strip_chars() == "")
    answered = rows.with_columns(withheld=withheld()).filter((pl.col("outcome") != "error") & ~unsaid.fill_null(False))
    said, references, clusters = [], [], []
    for row in answered.sort("cluster", "cell", "sample_id").iter_rows(named=True):
        wanted = [one for one in row["references"] or () if one and one.strip()]
        if any(map(str.isalnum, "".join(wanted))):
            said.append("" if row["withheld"] else row["reply"] or "")
            references.append(wanted)
            clusters.append(row["cluster"])
    missing = "" if said else "no row has a reference" if answered.height else "no row was answered"
    return Texts(said, references, clusters, missing)


def resampled(sums: np.ndarray, clusters: list[str], statistic: Callable[[np.ndarray], np.ndarray]) -> Measure:
    """`statistic` of the sum over rows, with the 95 % interval of clusters drawn again, widened to hold it."""
    value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    ends = bootstrap(sums, clusters, statistic)
    low, high = (min(ends[0], value), max(ends[1], value)) if ends else (None, None)
    return Measure(value, low, high, len(sums))
