"""A run folder, for reading: needs no lock and sees whole files only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import StoreError
from proofglass.records import older, views
from proofglass.records.cells import Cells
from proofglass.records.columns import attempt_of, sample_of
from proofglass.records.crafts import Crafted, Crafts
from proofglass.records.labels import Drawn, Labels, read_labels
from proofglass.records.manifest import is_flat, read_manifest
from proofglass.records.samples import Samples, whole
from proofglass.records.schema import record_schema, score_schema
from proofglass.records.scores import Added, agreed, score_of
from proofglass.records.tables import Tables
from proofglass.types import Attempt, Image, Score

if TYPE_CHECKING:
    import polars as pl

_COSTS = ("queries", "tokens_in", "tokens_out", "money")


class Reader:
    """The run in the folder `path`; `records.store.Store` is one that may write too.

    shared: the folder of what it has in common with others: its own, or, for the run of a limit, the one around it.

    Raises StoreError if there is no run, or one of a schema version that cannot be read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._manifest = read_manifest(self.path)
        self.shared = self.path.parent if self._manifest.get("beside") else self.path
        tables = Tables()
        self._cells = Cells(self.path, tables)
        self._samples = Samples(self.path, tables)
        self._added = Added(self.path, tables)
        self._crafts = Crafts(self.shared / "artefacts")

    def manifest(self) -> dict[str, Any]:
        """The study, its plan, plugs, cards of the victims, and versions."""
        return dict(json.loads(json.dumps(self._manifest)))

    def cells(self) -> list[dict[str, Any]]:
        """Every planned cell, in plan order: names, status (done, failed, pending, skipped), reason, cost.

        unsent: asks that were not sent; their samples have no record. judge_faults: label -> on how many replies
        that judge broke, of how many, and why. queries_new, tokens_in_new, tokens_out_new, money_new: what its
        answers cost, without those that a cell before it has, too: their sum counts every answer once. judging: what
        each judge asked of each helper: judge, helper (its key), name, asks; and asks_new, queries_new, tokens_in_new,
        tokens_out_new, money_new, without answers that a judge before it, or a cell before it, has, too.
        """
        told = [self._status(planned) for planned in self._manifest["plan"]]
        seen: set[str] = set()
        judged: set[str] = set()
        for cell in told:
            cell["judging"] = _judging(cell.pop("judge_batches"), judged)
            batches = cell.pop("batches")
            new = [costs for batch, costs in batches.items() if batch not in seen]
            seen |= set(batches)
            cell |= {f"{name}_new": sum(costs[k] for costs in new) for k, name in enumerate(_COSTS)}
        return told

    def _status(self, planned: Mapping[str, Any]) -> dict[str, Any]:
        names = {k: planned[k] for k in ("cell", "victim", "attack", "defense", "dataset", "planned")}
        blank = {"status": "pending", "reason": "", "seconds": 0.0, "peak_bytes": 0, "craft": None}
        blank |= {"success": "", "judge_faults": {}, "unsent": 0, "batches": {}}
        blank |= {"judge_batches": {}}
        if planned["skip"]:
            return {**names, **blank, "status": "skipped", "reason": planned["skip"]}
        return {**names, **blank, **self.status(planned["cell"])}

    def status(self, cell: str) -> dict[str, Any]:
        """What `put_status` kept of a cell; empty if nothing was."""
        return self._cells.status(cell)

    def done(self, cell: str) -> bool:
        """Whether the cell is measured and sealed. A failed cell is not, nor one whose records are gone: the next run
        tries it again."""
        return self._is_done(cell) and self._cells.has("cells", cell)

    def _is_done(self, cell: str) -> bool:
        return self.status(cell).get("status") == "done"

    def scan(self, cell: str | None = None) -> pl.LazyFrame:
        """One row per (cell, sample), columns of `Record`, in plan order; a query reads the columns that it needs.
        cell: of this cell only. Raises StoreError if a file is damaged or gone: all are compared with their checksums
        here, so collect what you need before somebody writes to the run again."""
        import polars as pl

        rows = self._rows(cell)
        if not rows:
            return pl.LazyFrame(schema=record_schema())
        if is_flat(self._manifest):
            return older.flat(pl.concat(rows))
        return views.flat(pl.concat(rows), self._samples.scan())

    def frame(self, cell: str | None = None) -> pl.DataFrame:
        """The rows of `scan`, in memory."""
        return whole(self.scan(cell).collect())

    def samples(self) -> pl.DataFrame:
        """Every sample that was asked about, once: the columns of `Record` that are its own, and its question. Empty
        for a run of schema version 2, whose records held what was kept of them."""
        return views.flat_samples(self._samples.scan()).collect()

    def attempts(self, cell: str | None = None) -> dict[str, Attempt]:
        """What a judge sees, by the key of the attempt: sample, dialogue and reply, as they were recorded. cell: of
        this cell only. Rows without a question (a bad row of the data set) are left out. Raises StoreError for a run of
        schema version 2, which kept no samples."""
        if is_flat(self._manifest):
            raise StoreError(f"{self.path}: holds a run of schema version 2, which kept no samples to judge anew by.")
        frame = self.frame(cell).unique("attempt", keep="first", maintain_order=True)
        rows = (row for row in frame.iter_rows(named=True) if row["asked"] != "[]")
        return {row["attempt"]: attempt_of(row, sample_of(row, self.image), self.image) for row in rows}

    def _attempts(self, cell: str | None) -> pl.LazyFrame:
        """Cell, sample id and attempt of every row."""
        import polars as pl

        names = [pl.col(name).cast(pl.String()) for name in ("cell", "sample_id", "attempt")]
        rows = [] if is_flat(self._manifest) else self._rows(cell)
        return (pl.concat(rows) if rows else self.scan(cell)).select(names)

    def _rows(self, cell: str | None = None) -> list[pl.LazyFrame]:
        """The records as they lie on disk. Raises StoreError if those of a cell that is done are gone."""
        wanted = [cell] if cell else self._planned()
        for name in wanted:
            if not self._cells.has("cells", name):
                self._check_not_done(name, self._cells.file("cells", name))
        return self._cells.rows("cells", wanted)

    def scan_scores(self, cell: str | None = None) -> pl.LazyFrame:
        """One row per (cell, sample, judge, rater), see `scores`, lazily."""
        import polars as pl

        labels = pl.LazyFrame(
            [(self._judge_key(label), label) for label in self._manifest["judges"]],
            {"judge_key": pl.String(), "judge": pl.String()},
            orient="row",
        )
        columns = score_schema()
        attempts = self._attempts(cell)
        said = [each.with_columns(pl.col("cell", "judge_key").cast(pl.String())) for each in self._said(cell)]
        found = [
            pl.concat(said)
            .join(labels, on="judge_key", how="inner", maintain_order="left")
            .join(attempts, on=["cell", "sample_id"], how="left", maintain_order="left")
        ] if said else []  # fmt: skip
        known = pl.col("judge").cast(pl.String()).is_in(self._manifest["judges"])
        found += [each.filter(known).join(attempts, on="attempt", maintain_order="left") for each in self._added.scan()]
        kept = [pl.col(name).cast(kind) for name, kind in columns.items()]
        return pl.concat([each.select(kept) for each in found]) if found else pl.LazyFrame(schema=columns)

    def scores(self) -> pl.DataFrame:
        """One row per (cell, sample, judge, rater): cell, sample_id, judge (label), value (null: unjudged), label,
        reason; rater ("": the judge itself), time and source; attempt. In plan order, those that were added behind.
        `records.scores.agreed` makes one of several raters'."""
        return self.scan_scores().collect()

    def _said(self, cell: str | None) -> list[pl.LazyFrame]:
        """What judges of this run said, as it lies on disk. Raises StoreError if what the judge of success said about a
        cell that is done is gone."""
        keys = list(dict.fromkeys(self._judge_key(label) for label in self._manifest["judges"]))
        pairs = [(name, key) for name in ([cell] if cell else self._planned()) for key in keys]
        for name, key in pairs:
            if not self._cells.has("scores", f"{name}.{key}") and self.status(name).get("success") == key:
                self._check_not_done(name, self._cells.file("scores", f"{name}.{key}"))
        return self._scores(pairs)

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> list[pl.LazyFrame]:
        """What was said in these cells by the judges of these keys."""
        if is_flat(self._manifest):
            read = {pair: self._cells.rows("scores", [".".join(pair)]) for pair in pairs}
            return [older.scores(said, key) for (_, key), found in read.items() for said in found]
        return self._cells.rows("scores", [f"{cell}.{key}" for cell, key in pairs])

    def _check_not_done(self, cell: str, path: Path) -> None:
        if self._is_done(cell):
            again = "Restore it from a copy, or run the same command again."
            raise StoreError(f"{path}: gone, though its cell is done. {again}")

    def has_scores(self, cell: str, judge_key: str) -> bool:
        return self._cells.has("scores", f"{cell}.{judge_key}")

    def scores_of(self, cell: str, judge_key: str) -> dict[str, Score]:
        """Sample id -> what the judge of this key said about this cell, where several raters did, on the whole
        (`records.scores.agreed`). Raises StoreError if nothing is kept of it."""
        labels = [label for label in self._manifest["judges"] if self._judge_key(label) == judge_key]
        if not (self.has_scores(cell, judge_key) or (labels and self._added.has(labels[0]))):
            path = self._cells.file("scores", f"{cell}.{judge_key}")
            raise StoreError(f"{path}: cannot be read: no such file. Restore it from a copy.")
        if not labels:  # a judge that the study has no more, or under other settings: labels were drawn by its verdicts
            (said,) = self._scores([(cell, judge_key)])
            return {row["sample_id"]: score_of(judge_key, row) for row in said.collect().iter_rows(named=True)}
        rows = self.scan_scores(cell).filter(judge=labels[0]).collect()
        return {row["sample_id"]: score_of(labels[0], row) for row in agreed(rows).iter_rows(named=True)}

    def labels(self, aspect: str) -> Labels | None:
        """What people said about replies of this run in this aspect; None if nobody was asked."""

        def find(cell: str, sample_id: str) -> tuple[str, Drawn] | None:
            import polars as pl

            names = ("attempt", "victim", "attack", "defense", "dataset", "sample_id")
            if cell not in found:
                rows = self.scan(cell).select(*names).collect() if cell in self._planned() else pl.DataFrame()
                found[cell] = {row[-1]: (row[0], row[1:]) for row in rows.iter_rows()}
            return found[cell].get(sample_id)

        found: dict[str, dict[str, tuple[str, Drawn]]] = {}
        return read_labels(self.path, aspect, find)

    def image(self, sha256: str) -> Image:
        """The picture of this sha256. Raises StoreError if its file is gone or damaged."""
        return self._crafts.pictures.get(sha256)

    def image_path(self, sha256: str) -> Path:
        return self._crafts.pictures.path(sha256)

    def crafted(self, key: str) -> Crafted | None:
        """What was crafted under this key, its pictures read back from their PNG files; None if nothing was."""
        return self._crafts.get(key)

    def _planned(self) -> list[str]:
        return [planned["cell"] for planned in self._manifest["plan"]]

    def _judge_key(self, label: str) -> str:
        return str(self._manifest["plugs"]["judges"][label]["key"])


def _judging(asked: Mapping[str, Any], seen: set[str]) -> list[dict[str, Any]]:
    """What the judges of a cell asked, a row per judge and helper. seen: batches that were counted before; it grows."""
    rows = []
    for judge, helpers in asked.items():
        for key, told in helpers.items():
            batches = told["batches"]
            new = [costs for batch, costs in batches.items() if batch not in seen]
            seen |= set(batches)
            sums = {f"{name}_new": sum(costs[k] for costs in new) for k, name in enumerate(("asks", *_COSTS))}
            asks = sum(costs[0] for costs in batches.values())
            rows.append({"judge": judge, "helper": key, "name": told["name"], "asks": asks, **sums})
    return rows
