"""A run folder: what was planned, asked, answered and judged. Reading needs no lock and sees whole files only.

manifest.json                      the study, its plan, plugs and versions (records.manifest)
journal.jsonl                      every answered batch (records.journal)
samples/<data set key>.parquet     every sample that was asked about, once (records.samples)
cells/<cell>.parquet, .json        attempts of a measured cell; its status and cost (records.cells)
scores/<cell>.<judge key>.parquet  a judge's scores: a table of its own, so judging anew asks nobody
sealed/                            the same three, of many cells, in a few files
added/<judge>.parquet              scores that were added later, by people or other tools (records.scores)
artefacts/<key>.json, ab/<sha>.png what crafting bought; every picture (records.crafts)
drafts/<key>/                      checkpoints of a craft that is not finished
fits/<key>/                        what a defense learned about a victim: vectors, thresholds, adapters
ledger/<model>/                    what was sent to an API, what came back and what it cost (victims.api.ledger)
labels/<aspect>.json               what people said about replies that were drawn for it (records.labels)
faults/<kind>-<name>-<place>.txt   tracebacks of plugs that failed; the reason of a record names its file
limit-<n>/                         the run of the first n samples: a run folder of its own, which shares journal,
                                   artefacts, drafts, fits and ledger with the folder it lies in

Every line and every file carries a checksum (records.checksums), pictures are named by their pixels: what is read was
compared with it, a Parquet file when it is opened first. Damage is a StoreError that says how to go on; a damaged
checkpoint is made anew. Folders of older schema versions are read (records.older), and nothing is written into them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofglass.errors import NothingMeasured, StoreError, UsageError
from proofglass.interfaces import key_of
from proofglass.records import views
from proofglass.records.cells import Table
from proofglass.records.crafts import Crafted
from proofglass.records.files import guarded, sweep_temporaries, unlink, write_whole
from proofglass.records.labels import Labels, drawn_by, write_labels
from proofglass.records.lock import Lock
from proofglass.records.manifest import (
    check_ours,
    check_study,
    check_writable,
    continued,
    read_manifest,
    with_judges,
    write_json,
)
from proofglass.records.reader import Reader
from proofglass.records.schema import Record, utf8
from proofglass.records.scores import cell_schema, rows_of
from proofglass.types import Image, Score


@dataclass(frozen=True)
class Swept:
    """What `gc` removed: how many files less there are, and bytes."""

    files: int
    bytes: int


class Store(Reader):
    """The run folder at `path`, for reading; `locked` and `create` give the right to write."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._lock: Lock | None = None

    @classmethod
    @contextmanager
    def create(cls, path: Path | str, manifest: Mapping[str, Any]) -> Iterator[Store]:
        """A new run folder, or the one at `path` to go on with; locked until the `with` ends.

        Start time and further judges of an earlier run stay. Raises StoreError if another process writes, if
        the folder holds something else, a study of another name, or a run of an older schema version.
        """
        path = Path(path)
        shared = path.parent if manifest.get("beside") else path
        for folder in {shared, path}:
            check_ours(folder)
        lock = Lock(shared)
        try:
            sweep_temporaries(shared)
            check_study(shared, manifest)
            if (path / "manifest.json").exists():
                manifest = continued(read_manifest(path), manifest)
            write_json(path / "manifest.json", manifest)
            with cls(path)._writing(lock) as store:
                yield store
        finally:
            lock.release()

    @contextmanager
    def locked(self) -> Iterator[Store]:
        """The right to write to this run until the `with` ends. Raises StoreError if another process has it, or if the
        run is of an older schema version."""
        check_writable(self.path, self._manifest)
        lock = Lock(self.shared)
        try:
            sweep_temporaries(self.shared)
            self._manifest = read_manifest(self.path)
            with self._writing(lock):
                yield self
        finally:
            lock.release()

    @contextmanager
    def _writing(self, lock: Lock) -> Iterator[Store]:
        """With the right to write; at the end many small files become few."""
        self._lock = lock
        try:
            try:
                yield self
            except NothingMeasured:  # said after everything was written
                self._cells.compact(self._planned())
                raise
            self._cells.compact(self._planned())
        finally:
            self._lock = None

    def put_image(self, image: Image) -> str:
        """Keep `image`; returns its sha256. Raises ImageError if its pixels cannot be read."""
        self._check_lock()
        return self._crafts.pictures.put(image)

    def put_crafted(self, crafted: Crafted, origin: Mapping[str, Any]) -> None:
        """Keep artefacts and their pictures. origin: what the key was made of, JSON-able."""
        self._check_lock()
        self._crafts.put(crafted, origin)

    def seal(self, cell: str, records: Sequence[Record], status: Mapping[str, Any]) -> None:
        """Close a cell. The status file is written last: it is what makes the cell count as done."""
        self._check_lock()
        samples, attempts = views.split(records)
        if records:
            self._samples.put(records[0].dataset_key, samples)
        self._cells.put_rows("cells", cell, attempts)
        self.put_status(cell, status)

    def put_status(self, cell: str, status: Mapping[str, Any]) -> None:
        """status: status, reason, seconds, peak_bytes, craft and what else the runner counts (see `cells`); success:
        key of the judge by which it was decided; batches: batch -> queries, tokens in and out, money of its answers."""
        self._check_lock()
        self._cells.put_status(cell, status)

    def put_scores(self, cell: str, judge_key: str, scores: Mapping[str, Score]) -> None:
        """A judge's scores of a cell, sample id -> score; they replace earlier ones of the same judge."""
        self._check_lock()
        rows = rows_of(scores, cell_schema(), "sample_id", cell=cell, judge_key=judge_key)
        self._cells.put_rows("scores", f"{cell}.{judge_key}", rows)

    def add_scores(self, judge: str, scores: Mapping[str, Score], about: Mapping[str, Any] | None = None) -> int:
        """Add what people, or another tool, said about attempts: key of the attempt (`Record.attempt`) -> score, of one
        rater; it replaces what the same rater said before. They stay after a rerun and count for every row with that
        attempt. about: of a judge that the run does not have yet, what the manifest says of a judge (column, aspect,
        valid_in, measured). Returns how many of the attempts are in this run.

        Raises UsageError if none is, for a name that is no plain word, and for scores without a rater in the name of a
        judge that scored here itself.
        """
        self._check_lock()
        here = self.scan().select("attempt").unique().collect()["attempt"].to_list()
        known = len(set(here) & set(scores))
        if not known:
            raise UsageError(
                f"{judge}: none of {len(scores)} attempts is in {self.path}; the column attempt names them"
            )
        plugs = self._manifest["plugs"]["judges"]
        ran_here = judge in plugs and not plugs[judge].get("added")
        if ran_here and not all(score.rater for score in scores.values()):
            raise UsageError(f"{judge}: scored this run itself: name a rater (Score.rater), or add under another name")
        self._added.put(judge, scores)
        if judge not in plugs:
            blank = {"name": judge, "key": key_of(["added", judge]), "version": 1, "settings": {}, "paper": None}
            blank |= {"column": "", "aspect": "", "valid_in": None, "measured": None}
            plugs[judge] = {**blank, **(about or {}), "added": True}
            self._manifest["judges"].append(judge)
            write_json(self.path / "manifest.json", self._manifest)
        return known

    def put_labels(self, labels: Labels) -> None:
        """Replies drawn for labelling and the labels that came back; replaces what was there in this aspect."""
        self._check_lock()
        write_labels(self.path, labels)

    def put_fault(self, name: str, traceback: str) -> str:
        """Keep the traceback of a plug that failed, once; returns the file's place in the run folder."""
        self._check_lock()
        path = self.path / "faults" / name
        if not path.exists():
            write_whole(path, utf8(traceback).encode())
        return f"faults/{name}"

    def put_judges(
        self,
        judges: Mapping[str, Any],
        success: str,
        study_text: str | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Judges (label -> description) of a later judging, in front of those already there; its metrics and the study
        that names both (None: those that are there)."""
        self._check_lock()
        text = self._manifest.get("study_text") if study_text is None else study_text
        self._manifest = {**with_judges(self._manifest, judges, success), "study_text": text}
        if metrics is not None:
            self._manifest |= {"metrics": list(metrics), "plugs": {**self._manifest["plugs"], "metrics": dict(metrics)}}
        write_json(self.path / "manifest.json", self._manifest)

    def put_card(self, victim: str, card: Mapping[str, Any]) -> None:
        """The card of the victim with this label, as it stands after it was asked."""
        self._check_lock()
        if self._manifest["cards"].get(victim) != card:
            self._manifest["cards"][victim] = dict(card)
            write_json(self.path / "manifest.json", self._manifest)

    def drafts(self, key: str) -> Path:
        """Where the craft `key` keeps its checkpoints while it runs."""
        self._check_lock()
        return self.shared / "drafts" / key

    def drop_drafts(self, key: str) -> None:
        """The craft `key` is bought: its checkpoints are of no more use."""
        import shutil

        folder = self.drafts(key)
        if folder.exists():
            with guarded(folder):
                shutil.rmtree(folder)

    @property
    def fits(self) -> Path:
        """Where the run keeps what defenses learned about victims. `gc` leaves it alone: it may have cost hours."""
        return self.shared / "fits"

    def gc(self) -> Swept:
        """Delete cells, scores, samples, artefacts and pictures that neither the plan's records name nor those of a run
        of a limit, which shares the last two; in the folder of such a run: the first three only. Scores by which
        replies were drawn for labelling stay, even if the run has another judge now.

        Raises StoreError while cells are pending: their artefacts are bought but not yet named by a record.
        """
        self._check_lock()
        pending = [cell for cell in self.cells() if cell["status"] == "pending"]
        if pending:
            raise StoreError(
                f"{self.path}: {len(pending)} cells are not finished. Finish the run first, then clean up."
            )
        judges = dict.fromkeys([*map(self._judge_key, self._manifest["judges"]), *drawn_by(self.path)])
        cells = self._planned()
        kept: dict[Table, list[str]] = {"cells": cells, "scores": [f"{cell}.{key}" for cell in cells for key in judges]}
        files, size = self._cells.keep(kept)
        unused = [path for path in self._samples.files() if path not in self._asked_about()]
        if self.shared == self.path:
            limited = [Store(p) for p in self.path.glob("limit-*") if (p / "manifest.json").exists()]
            named = self._named().union(*(store._named() for store in limited))
            here = (path for folder in ("artefacts", "drafts") for path in (self.path / folder).rglob("*"))
            unused += [path for path in here if path.is_file() and path not in named]
        swept = Swept(files + len(unused), size + sum(path.stat().st_size for path in unused))
        for path in unused:
            unlink(path)
        return swept

    def _asked_about(self) -> set[Path]:
        """The files of the samples that records name."""
        keys = self.scan().select("dataset_key").unique().collect()["dataset_key"]
        return {self._samples.file(key) for key in keys}

    def _named(self) -> set[Path]:
        """Every artefact and picture that the records need, and those that the samples hold."""
        import polars as pl

        rows, samples = self._rows(), self._samples.scan()
        keys = self.scan().select("artefact").unique().drop_nulls().collect()["artefact"].to_list()
        shas = views.pictures(pl.concat(rows), samples) if rows else set()
        shas = shas.union(*(self._crafts.shas(key) for key in keys))
        return {self._crafts.path(key) for key in keys} | {self.image_path(sha) for sha in shas}

    def _check_lock(self) -> None:
        if self._lock is None:
            raise StoreError(f"{self.path}: open for reading. Write inside `with store.locked():`.")
