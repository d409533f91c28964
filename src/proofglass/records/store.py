"""A run folder: what was planned, asked, answered and judged. Reading needs no lock and sees whole files only.

manifest.json                      the study, its plan, plugs and versions
journal.jsonl                      every answered batch (records.journal)
cells/<cell>.parquet, .json        records of a finished cell; its status and cost
scores/<cell>.<judge key>.parquet  a judge's scores: a table of its own, so judging anew asks nobody
artefacts/<key>.json, ab/<sha>.png what crafting bought; every picture
drafts/<key>/                      checkpoints of a craft that is not finished
ledger/<model>/                    what was sent to an API, what came back and what it cost (victims.api.ledger)
labels/<aspect>.json               what people said about replies (records.labels)
faults/<kind>-<name>-<place>.txt   tracebacks of plugs that failed; the reason of a record names its file
limit-<n>/                         the run of the first n samples: a run folder of its own, which shares journal,
                                   artefacts, drafts and ledger with the folder it lies in

Every line and every file carries a checksum (records.checksums), pictures are named by their pixels: whatever is read
is checked, and damage is a StoreError that says how to go on. A damaged checkpoint is made anew.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import StoreError
from proofglass.records.checksums import read_parquet_bytes, signed_parquet
from proofglass.records.files import guarded, sweep_temporaries, write_whole
from proofglass.records.labels import Labels, read_labels, write_labels
from proofglass.records.lock import Lock
from proofglass.records.manifest import check_study, continued, read_json, read_manifest, with_judges, write_json
from proofglass.records.pictures import Pictures
from proofglass.records.schema import Record, plain, record_schema, score_schema, utf8
from proofglass.types import Artefact, Cost, Image, Score

if TYPE_CHECKING:
    import polars as pl

_MINE = {"manifest.json", "journal.jsonl", "lock", "cells", "scores", "artefacts", "drafts", "faults", "labels"}
_BESIDE = {"report", "ledger"}
_LIMITED = re.compile(r"limit-\d+")
_SCORE = ("judge", "value", "label", "reason")
_COSTS = ("queries", "tokens_in", "tokens_out", "money")
_AGAIN = "run the same command again"
_FIXES = {
    "cells": f"delete the two files of this cell and {_AGAIN}: its answers are taken from the journal",
    "scores": f"delete it and {_AGAIN}: what was answered is judged anew",
    "artefacts": f"delete it and the folder cells of this run and {_AGAIN}: it is crafted anew",
}


@dataclass(frozen=True)
class Crafted:
    """What one call of `craft` bought. key: empty where the attack has nothing to buy. Costs of the whole call."""

    key: str
    artefacts: tuple[Artefact, ...]
    seconds: float = 0.0
    peak_bytes: int = 0

    def of(self, sample_id: str) -> Artefact | None:
        """The artefact that serves this sample: its own, else the universal one."""
        own = (a for a in self.artefacts if a.sample_id == sample_id)
        universal = (a for a in self.artefacts if a.sample_id is None)
        return next(own, None) or next(universal, None)


@dataclass(frozen=True)
class Swept:
    """What `gc` removed."""

    files: int
    bytes: int


class Store:
    """The run folder at `path`, for reading; `locked` and `create` give the right to write.

    shared: the folder of what it has in common with others: its own, or, for the run of a limit, the one around it.

    Raises StoreError if there is no run, or one of another schema version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._manifest = read_manifest(self.path)
        self.shared = self.path.parent if self._manifest.get("beside") else self.path
        self._pictures = Pictures(self.shared / "artefacts")
        self._lock: Lock | None = None

    @classmethod
    @contextmanager
    def create(cls, path: Path | str, manifest: Mapping[str, Any]) -> Iterator[Store]:
        """A new run folder, or the one at `path` to go on with; locked until the `with` ends.

        Start time and further judges of an earlier run stay. Raises StoreError if another process writes, if
        the folder holds something else, or a study of another name.
        """
        path = Path(path)
        shared = path.parent if manifest.get("beside") else path
        for folder in {shared, path}:
            _check_ours(folder)
        lock = Lock(shared)
        try:
            sweep_temporaries(shared)
            check_study(shared, manifest)
            if (path / "manifest.json").exists():
                manifest = continued(read_manifest(path), manifest)
            write_json(path / "manifest.json", manifest)
            store = cls(path)
            store._lock = lock
            yield store
            store._lock = None
        finally:
            lock.release()

    @contextmanager
    def locked(self) -> Iterator[Store]:
        """The right to write to this run until the `with` ends. Raises StoreError if another process has it."""
        lock = Lock(self.shared)
        try:
            sweep_temporaries(self.shared)
            self._manifest = read_manifest(self.path)
            self._lock = lock
            yield self
        finally:
            self._lock = None
            lock.release()

    # Reading

    def manifest(self) -> dict[str, Any]:
        """The study, its plan, plugs, cards of the victims, and versions."""
        return json.loads(json.dumps(self._manifest))

    def cells(self) -> list[dict[str, Any]]:
        """Every planned cell, in plan order: names, status (done, failed, pending, skipped), reason, cost.

        unsent: asks that were not sent; their samples have no record. judge_faults: label -> on how many replies
        that judge broke, of how many, and why. queries_new, tokens_in_new, tokens_out_new, money_new: what its
        answers cost, without those that a cell before it has, too: their sum counts every answer once.
        """
        told = [self._status(planned) for planned in self._manifest["plan"]]
        seen: set[str] = set()
        for cell in told:
            batches = cell.pop("batches")
            new = [costs for batch, costs in batches.items() if batch not in seen]
            seen |= set(batches)
            cell |= {f"{name}_new": sum(costs[k] for costs in new) for k, name in enumerate(_COSTS)}
        return told

    def _status(self, planned: Mapping[str, Any]) -> dict[str, Any]:
        names = {k: planned[k] for k in ("cell", "victim", "attack", "defense", "dataset", "planned")}
        blank = {"status": "pending", "reason": "", "seconds": 0.0, "peak_bytes": 0, "craft": None}
        blank |= {"success": "", "judge_faults": {}, "unsent": 0, "batches": {}}
        if planned["skip"]:
            return {**names, **blank, "status": "skipped", "reason": planned["skip"]}
        return {**names, **blank, **self.status(planned["cell"])}

    def status(self, cell: str) -> dict[str, Any]:
        """What `put_status` kept of a cell; empty if nothing was."""
        path = self.path / "cells" / f"{cell}.json"
        return self._json(path) if path.exists() else {}

    def done(self, cell: str) -> bool:
        """Whether the cell is measured and sealed. A failed cell is not, nor one whose records are gone: the next run
        tries it again."""
        return self._is_done(cell) and self._records(cell).exists()

    def _is_done(self, cell: str) -> bool:
        return self.status(cell).get("status") == "done"

    def _records(self, cell: str) -> Path:
        return self.path / "cells" / f"{cell}.parquet"

    def frame(self, cell: str | None = None) -> pl.DataFrame:
        """One row per (cell, sample), columns of `Record`, in plan order. cell: of this cell only."""
        import polars as pl

        wanted = [cell] if cell else self._planned()
        frames = [_read_parquet(self._records(key)) for key in wanted if self._is_there(key, self._records(key))]
        return pl.concat(frames) if frames else pl.DataFrame(schema=record_schema())

    def scores(self) -> pl.DataFrame:
        """One row per (cell, sample, judge): cell, sample_id, judge (label), value (null: unjudged), label, reason."""
        import polars as pl

        judges = self._manifest["plugs"]["judges"]
        frames = [
            _read_parquet(path).with_columns(judge=pl.lit(label))
            for cell in self._planned()
            for label in self._manifest["judges"]
            if self._is_there(cell, path := self._score_path(cell, judges[label]["key"]))
        ]
        return pl.concat(frames) if frames else pl.DataFrame(schema=score_schema())

    def _is_there(self, cell: str, path: Path) -> bool:
        """Whether a file of the cell exists. Raises StoreError where it has to, since the cell was sealed with it: its
        records, and what the judge said by whom success was decided."""
        if path.exists():
            return True
        success = self.status(cell).get("success", "")
        if self._is_done(cell) and path in (self._records(cell), self._score_path(cell, success)):
            raise StoreError(f"{path}: gone, though its cell is done. Restore it from a copy, or {_AGAIN}.")
        return False

    def has_scores(self, cell: str, judge_key: str) -> bool:
        return self._score_path(cell, judge_key).exists()

    def scores_of(self, cell: str, judge_key: str) -> dict[str, Score]:
        """Sample id -> what the judge of this key said about this cell."""
        rows = _read_parquet(self._score_path(cell, judge_key)).select("sample_id", *_SCORE).iter_rows(named=True)
        return {row.pop("sample_id"): Score(**row) for row in rows}

    def labels(self, aspect: str) -> Labels | None:
        """What people said about replies of this run in this aspect; None if nobody was asked."""
        return read_labels(self.path, aspect)

    def image(self, sha256: str) -> Image:
        """The picture of this sha256. Raises StoreError if its file is gone or damaged."""
        return self._pictures.get(sha256)

    def image_path(self, sha256: str) -> Path:
        return self._pictures.path(sha256)

    def crafted(self, key: str) -> Crafted | None:
        """What was crafted under this key, its pictures read back from their PNG files; None if nothing was."""
        path = self.shared / "artefacts" / f"{key}.json"
        if not path.exists():
            return None
        told = self._json(path)
        artefacts = tuple(self._artefact(a) for a in told["artefacts"])
        return Crafted(key, artefacts, told["seconds"], told["peak_bytes"])

    def _artefact(self, told: Mapping[str, Any]) -> Artefact:
        return Artefact(
            sample_id=told["sample_id"],
            images=tuple(self.image(sha) for sha in told["images"]),
            texts=tuple(told["texts"]),
            clean=self.image(told["clean"]) if told["clean"] else None,
            crafted_on=told["crafted_on"],
            cost=Cost(**told["cost"]),
            trace=told["trace"],
            meta=told["meta"],
        )

    @staticmethod
    def _json(path: Path) -> dict[str, Any]:
        return read_json(path, _FIXES[path.parent.name])

    def _planned(self) -> list[str]:
        return [planned["cell"] for planned in self._manifest["plan"]]

    def _score_path(self, cell: str, judge_key: str) -> Path:
        return self.path / "scores" / f"{cell}.{judge_key}.parquet"

    # Writing: each needs the lock

    def put_image(self, image: Image) -> str:
        """Keep `image`; returns its sha256. Raises ImageError if its pixels cannot be read."""
        self._check_lock()
        return self._pictures.put(image)

    def put_crafted(self, crafted: Crafted, origin: Mapping[str, Any]) -> None:
        """Keep artefacts and their pictures. origin: what the key was made of, JSON-able."""
        self._check_lock()
        told = {**origin, "key": crafted.key, "seconds": crafted.seconds, "peak_bytes": crafted.peak_bytes}
        told["artefacts"] = [
            {
                "sample_id": a.sample_id,
                "images": [self.put_image(image) for image in a.images],
                "texts": list(a.texts),
                "clean": self.put_image(a.clean) if a.clean else None,
                "crafted_on": a.crafted_on,
                "cost": dataclasses.asdict(a.cost),
                "trace": plain(a.trace),
                "meta": dict(a.meta),
            }
            for a in crafted.artefacts
        ]
        write_json(self.shared / "artefacts" / f"{crafted.key}.json", told)

    def seal(self, cell: str, records: Sequence[Record], status: Mapping[str, Any]) -> None:
        """Close a cell. The status file is written last: it is what makes the cell count as done."""
        import polars as pl

        self._check_lock()
        rows = [dataclasses.asdict(record) for record in records]
        _write_parquet(self._records(cell), pl.DataFrame(rows, schema=record_schema()))
        self.put_status(cell, status)

    def put_status(self, cell: str, status: Mapping[str, Any]) -> None:
        """status: status, reason, seconds, peak_bytes, craft and what else the runner counts (see `cells`); success:
        key of the judge by which it was decided; batches: batch -> queries, tokens in and out, money of its answers."""
        self._check_lock()
        write_json(self.path / "cells" / f"{cell}.json", status)

    def put_scores(self, cell: str, judge_key: str, scores: Mapping[str, Score]) -> None:
        """A judge's scores of a cell, sample id -> score; they replace earlier ones of the same judge."""
        import polars as pl

        self._check_lock()
        rows = [{"cell": cell, "sample_id": sample, **vars(score)} for sample, score in scores.items()]
        _write_parquet(self._score_path(cell, judge_key), pl.DataFrame(rows, schema=score_schema()))

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

    def gc(self) -> Swept:
        """Delete cells, scores, artefacts and pictures that neither the plan's records name nor those of a run of a
        limit, which shares them; in the folder of such a run: cells and scores only.

        Raises StoreError while cells are pending: their artefacts are bought but not yet named by a record.
        """
        self._check_lock()
        pending = [cell for cell in self.cells() if cell["status"] == "pending"]
        if pending:
            raise StoreError(
                f"{self.path}: {len(pending)} cells are not finished. Finish the run first, then clean up."
            )
        limited = [Store(p) for p in self.path.glob("limit-*") if (p / "manifest.json").exists()]
        kept = self._named().union(*(store._named() for store in limited))
        mine = ("cells", "scores") if self.shared != self.path else ("cells", "scores", "artefacts", "drafts")
        unused = [
            path for folder in mine for path in (self.path / folder).rglob("*") if path.is_file() and path not in kept
        ]
        swept = Swept(len(unused), sum(path.stat().st_size for path in unused))
        for path in unused:
            with guarded(path):
                path.unlink()
        return swept

    def _named(self) -> set[Path]:
        """Every file that the plan and its records need."""
        keys = [self._manifest["plugs"]["judges"][label]["key"] for label in self._manifest["judges"]]
        kept = {self._score_path(cell, key) for cell in self._planned() for key in keys}
        kept |= {self.path / "cells" / f"{c}.{end}" for c in self._planned() for end in ("json", "parquet")}
        frame = self.frame()
        shas = set(frame["clean_image"].drop_nulls())
        shas |= {sha for row in frame["attacked_images"] for sha in row}
        shas |= {sha for row in frame["conversation"] for turn in json.loads(row) for sha in turn["images"]}
        for key in frame["artefact"].drop_nulls().unique():
            path = self.shared / "artefacts" / f"{key}.json"
            kept.add(path)
            for artefact in self._json(path)["artefacts"]:
                shas |= {*artefact["images"], artefact["clean"]} - {None}
        return kept | {self.image_path(sha) for sha in shas}

    def _check_lock(self) -> None:
        if self._lock is None:
            raise StoreError(f"{self.path}: open for reading. Write inside `with store.locked():`.")


def _check_ours(path: Path) -> None:
    """Raises StoreError if a run may not go to the folder `path`."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path}: is a file. Name a folder for the run, new or empty.")
    if path.is_dir() and not (path / "manifest.json").exists():
        mine = _MINE | (_BESIDE if (path / "journal.jsonl").exists() else set())  # its manifest was lost
        names = {p.name for p in path.iterdir() if not p.name.startswith("manifest.json")} - mine
        foreign = sorted(name for name in names if not _LIMITED.fullmatch(name))
        if foreign:
            raise StoreError(f"{path}: holds {foreign[0]!r} but no run. Name a folder that is new or empty.")


def _write_parquet(path: Path, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_whole(path, signed_parquet(buffer.getvalue(), path.name))


def _read_parquet(path: Path) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(io.BytesIO(read_parquet_bytes(path, _FIXES[path.parent.name])))
