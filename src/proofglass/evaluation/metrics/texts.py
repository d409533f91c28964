"""Rows as texts beside their references: what a metric of a whole set of replies (BLEU, CIDEr) is counted from.

Which rows count: a reply that failed is left out, and one that was cut off before it said a word (in thought); so is a
row whose references hold no word. A reply that was withheld whole (blocked, filtered, refused by the provider) counts
as an empty text: whoever asked for a description got none, as a withheld answer counts as 0 in every rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.evaluation.metrics.answers import withheld

if TYPE_CHECKING:
    import polars as pl

BARE = "row without a reference"  # of what is left out


@dataclass(frozen=True)
class Texts:
    """Of each row: what was said, its references (at least one), its cluster; in an order that the frame's does not
    change. bare: answered rows without a reference, which are left out; missing: why there is no row, "" if there is
    one."""

    said: list[str]
    references: list[list[str]]
    clusters: list[str]
    bare: int = 0
    missing: str = ""


def texts_of(rows: pl.DataFrame) -> Texts:
    """rows: outcome, finish, reply, references, cluster, sample_id, cell."""
    import polars as pl

    unsaid = (pl.col("outcome") == "ok") & (pl.col("finish") == "length") & (pl.col("reply").str.strip_chars() == "")
    answered = rows.with_columns(withheld=withheld()).filter((pl.col("outcome") != "error") & ~unsaid.fill_null(False))
    said, references, clusters = [], [], []
    for row in answered.sort("cluster", "cell", "sample_id").iter_rows(named=True):
        if wanted := [one for one in row["references"] or () if one and any(map(str.isalnum, one))]:
            said.append("" if row["withheld"] else row["reply"] or "")
            references.append(wanted)
            clusters.append(row["cluster"])
    missing = "" if said else "no row has a reference" if answered.height else "no row was answered"
    return Texts(said, references, clusters, answered.height - len(said), missing)
