"""A run of the first samples only: it takes what the folder holds already and writes beside, never over.

`RUN/limit-20/` is a run folder of its own (manifest, cells, scores, report) that shares journal, artefacts, drafts and
ledger with `RUN`. Cells that the full run, or one of a larger limit, has measured are taken from its records. What the
limited run asks lies in the shared journal: a larger run takes over each batch, and each craft, that is one of its own,
so all of it where the limit is a multiple of the chunk.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from proofglass.records.crafts import Crafted
from proofglass.records.schema import Record
from proofglass.records.store import Store
from proofglass.studies.craft import summary
from proofglass.studies.plan import Cell, Plan, expand
from proofglass.studies.study import Study


def folder_of(root: Path, limit: int | None) -> Path:
    """Where a run of `limit` samples per data set goes, if the full one goes to `root`."""
    return root if limit is None else root / f"limit-{limit}"


def take(study: Study, plan: Plan, store: Store) -> None:
    """Seal the cells of `plan` (of a limit) that a larger run in the same folder has measured, with its records."""
    for source in _larger(store.shared, plan.limit or 0):
        todo = [cell for cell in plan.cells if not cell.skip and not store.done(cell.key)]
        if not todo:
            return
        larger = {_names(cell): cell for cell in expand(study, source.manifest()["limit"]).cells}
        for cell in todo:
            found = larger.get(_names(cell))
            if found and source.done(found.key) and _begins_with(found, cell):
                _seal(cell, found, source, store)


def _larger(root: Path, limit: int) -> Iterator[Store]:
    """The runs in `root` of more samples, largest first."""
    if (root / "manifest.json").exists():
        yield Store(root)
    # A copy such as limit-20-old is not ours to read.
    found = {path: path.name.removeprefix("limit-") for path in root.glob("limit-*") if path.is_dir()}
    limits = {path: int(number) for path, number in found.items() if number.isdecimal()}
    for path in sorted(limits, key=lambda path: -limits[path]):
        if limits[path] > limit and (path / "manifest.json").exists():
            yield Store(path)


def _names(cell: Cell) -> tuple[str, ...]:
    return cell.victim.label, cell.attack.label, cell.defense.label, cell.dataset.label


def _begins_with(larger: Cell, cell: Cell) -> bool:
    """Whether the rows of `cell` are the first of `larger`: a data set may draw others for another length."""
    return all(one.id == other.id for one, other in zip(larger.rows, cell.rows, strict=False))


def _seal(cell: Cell, larger: Cell, source: Store, store: Store) -> None:
    wanted = {row.id for row in cell.rows}
    rows = [row for row in source.frame(larger.key).to_dicts() if row["sample_id"] in wanted]
    records = [Record(**{**row, "cell": cell.key}) for row in rows]
    status = source.status(larger.key)
    share = len(rows) / max(len(larger.rows), 1)
    keys = dict.fromkeys(record.artefact for record in records if record.artefact)
    bought = [_of(source.crafted(key), wanted) for key in keys]
    crafting = next((record.crafting for record in records if record.artefact), "")
    store.seal(
        cell.key,
        records,
        {
            "status": "done",
            "reason": "",
            "seconds": status["seconds"] * share,
            "peak_bytes": status["peak_bytes"],
            "craft": summary(cell.attack.plug, [crafted for crafted in bought if crafted], crafting),
            "taken_from": os.path.relpath(source.path, store.path),
        },
    )


def _of(crafted: Crafted | None, wanted: set[str]) -> Crafted | None:
    """What of a purchase serves these samples, and its share of the time."""
    if crafted is None:
        return None
    own = tuple(a for a in crafted.artefacts if a.sample_id is None or a.sample_id in wanted)
    share = len(own) / max(len(crafted.artefacts), 1)
    return dataclasses.replace(crafted, artefacts=own, seconds=crafted.seconds * share)
